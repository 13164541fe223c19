"""Batches of questions beside single ones: lines a second, and what whoever waits for one answer has of a batch.

  single   POST /v1/queries to one web process over 32 connections, nothing else going on (`bench.query`)
  batch    the same questions as one file, worked off by a process of its own, as `qingqiao jobs run` does: once with
           the job's rests and once without
  fetch    its parts through the web process: opened anew at the gate, signed, sealed by HPKE
  beside   single questions over 4 connections, without a batch and while one is being worked off with its rests

`python -m bench.batch [SUBJECTS]`: 10,000 by default, one line each. The file is put in place without HTTP. A line that
is not permitted ends the run.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import httpx
import orjson
from joserfc import jwt

from bench import query
from bench.query import LENDER, PURPOSE, TYPICAL, WARM_UP
from bench.rig.load import Load, drive
from bench.rig.measure import Figure, show
from bench.rig.serving import free_port, fresh_home, serving, settings
from connectors import uploadfiles
from exchange.bulk import keeping, keys, preparing, results, working
from exchange.bulk.keeping import Batch
from exchange.client import Client, Lender, new_client
from exchange.home import Home, open_home
from exchange.oauth.guard import Caller
from registry import clock
from registry.canonical import b64url
from registry.identifiers import ResidentId
from registry.suites import sha256
from registry.suites.hpke import HpkeKey
from sandbox.numbers import resident_id

SUBJECTS: Final = 10_000
CONNECTIONS: Final = 32
BESIDE_CONNECTIONS: Final = 4
BESIDE_QUERIES: Final = 400
_FETCHED_PARTS: Final = 5


def people(count: int) -> list[ResidentId]:
    """Make distinct synthetic people, sequence 000."""
    first = date(1940, 1, 1)
    return [ResidentId.parse(resident_id("630222", first + timedelta(days=2 * number))) for number in range(count)]


def handed_in(home: Home, who: list[ResidentId], client: Client) -> Batch:
    """Put a file of one line a person in place, and cut it into blocks."""
    lines = [
        orjson.dumps(
            {
                "subject": {"type": "resident_id", "identifier": one.text},
                "purpose": PURPOSE,
                "business_no": str(uuid4()),
                "items": TYPICAL,
            }
        )
        for one in who
    ]
    content, now = b"\n".join(lines), clock.now()
    caller = Caller(client.client_id, LENDER, "lender", frozenset({"queries"}), "", b"", now, now)
    with home.database.transaction() as tx:
        batch, _ = keeping.create(home, tx, caller, uuid4().hex, len(content), sha256(content), now=now)
        files = uploadfiles.begin(keeping.folder(home), home.sealing, batch.batch_id, now=now)
        files.write(0, content)
        keeping.advance(tx, batch, was=0, to=len(content), now=now)
    preparing.prepare_all(home)
    return batch


@contextmanager
def worker(folder: Path, port: int, rest: float) -> Iterator["subprocess.Popen[bytes]"]:
    """Work batches off in a process of its own until the block ends."""
    command = [sys.executable, "-m", "bench.batch", "work", str(folder), str(port), str(rest)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()  # it has begun
            yield process
        finally:
            process.terminate()
            process.wait(30)


def work(folder: str, port: str, rest: str) -> None:
    """Be the worker."""
    with open_home(settings(Path(folder), int(port))) as home:
        print("begun", flush=True)
        while working.work_due(home, rest=float(rest)):
            pass


def worked(home: Home, folder: Path, port: int, batch: Batch, rest: float) -> float:
    """Have a batch worked off; give its lines a second."""
    with worker(folder, port, rest):
        began = time.perf_counter()
        done, _ = counts(home, batch)
        while not finished(home, batch):
            time.sleep(0.2)
        seconds = time.perf_counter() - began
    return (counts(home, batch)[0] - done) / seconds


def counts(home: Home, batch: Batch) -> tuple[int, int]:
    """Lines that have an outcome, and those permitted."""
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT count(*), count(*) FILTER (WHERE code IS NULL) FROM bulk_line WHERE batch_id = %s",
            (batch.batch_id,),
        ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def finished(home: Home, batch: Batch) -> bool:
    """Say whether a batch is over.

    Raises:
        RuntimeError: a line was not permitted.
    """
    with home.database.transaction() as tx:
        row = tx.execute("SELECT ended_at FROM bulk_batch WHERE batch_id = %s", (batch.batch_id,)).fetchone()
    done, permitted = counts(home, batch)
    if done != permitted:
        raise RuntimeError("not every line was permitted")
    return row is not None and row[0] is not None


def fetched(issuer: str, client: Client, batch_id: UUID, parts: int) -> float:
    """Fetch parts; give the lines a second."""
    with Lender(issuer, client) as lender, httpx.Client(base_url=issuer, timeout=60) as http:
        token, proof_key = lender.credentials()
        began = time.perf_counter()
        for number in range(1, parts + 1):
            path = f"/v1/batches/{batch_id}/results/{number}"
            claims = {"htm": "GET", "htu": issuer + path, "iat": int(time.time()), "jti": uuid4().hex}
            claims["ath"] = b64url(sha256(token.encode()))
            header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": proof_key.as_dict(private=False)}
            proof = jwt.encode(header, claims, proof_key)
            http.get(path, headers={"Authorization": f"DPoP {token}", "DPoP": proof}).raise_for_status()
        return parts * results.PART_LINES / (time.perf_counter() - began)


def single(issuer: str, port: int, who: list[ResidentId], client: Client, count: int, connections: int) -> Load:
    """Ask single questions."""
    with Lender(issuer, client) as lender:
        token, proof_key = lender.credentials()
    load = drive(port, query.queries(who, issuer, token, proof_key, count), connections=connections)
    if load.statuses != {200: count}:
        raise RuntimeError(f"not every query was permitted: {dict(load.statuses)}")
    return load


def _spread(load: Load) -> str:
    return f"p50 {load.percentile(0.5):.0f} ms, p95 {load.percentile(0.95):.0f} ms"


def main(subjects: int) -> None:
    """Measure and print."""
    who, client, port = people(subjects), new_client("bench"), free_port()
    with fresh_home() as folder:
        chosen = settings(folder, port)
        with open_home(chosen) as home:
            query.fill(home, who, client)
            key = HpkeKey.generate("P-256")
            with home.database.transaction() as tx:
                keys.register(tx, client.client_id, keys.read(keys.jwk_of(key)), now=clock.now())
        with open_home(chosen) as home, serving("app", folder, port):
            single(chosen.issuer, port, who, client, WARM_UP, CONNECTIONS)
            alone = single(chosen.issuer, port, who, client, query.QUERIES, CONNECTIONS)
            rested = worked(home, folder, port, handed_in(home, who, client), working.REST)
            last = handed_in(home, who, client)
            restless = worked(home, folder, port, last, 0)
            fetching = fetched(
                chosen.issuer, client, last.batch_id, min(_FETCHED_PARTS, subjects // results.PART_LINES)
            )
            quiet = single(chosen.issuer, port, who, client, BESIDE_QUERIES, BESIDE_CONNECTIONS)
            running = handed_in(home, who, client)
            with worker(folder, port, working.REST):
                beside = single(chosen.issuer, port, who, client, BESIDE_QUERIES, BESIDE_CONNECTIONS)
                over = finished(home, running)
    show(
        "batch: lines a second against single queries a second",
        [
            Figure("worked off, with the job's rests", alone.rate, rested, "lines"),
            Figure("worked off, without rests", alone.rate, restless, "lines"),
            Figure("fetched: opened anew, signed, sealed", alone.rate, fetching, "lines"),
            Figure("single questions beside a batch", quiet.rate, beside.rate, "queries"),
        ],
        [
            f"{subjects:,} subjects, a line each; single queries over {CONNECTIONS} connections",
            f"{BESIDE_CONNECTIONS} connections: alone {_spread(quiet)}; beside a batch {_spread(beside)}",
            *(["the batch was over before the single questions were: take more subjects"] if over else []),
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else SUBJECTS)
