"""Batches of questions beside single ones: lines a second, and what whoever waits for one answer has of a batch.

  single   POST /v1/queries to one web process over 32 connections, nothing else going on (`bench.query`)
  batch    the same questions as one file, worked off by a process of its own, as `qingqiao jobs run` does: once with
           the job's rests and once without
  fetch    all of its parts through the other web process: opened anew at the gate, signed, sealed by HPKE
  beside   single questions over 4 connections, without a batch and while one is being worked off with its rests

`python -m bench.batch [SUBJECTS]`: 10,000 by default, one line each; 100,000 is a whole file. Files are handed in over
HTTP to one web process, and fetched from another. A line that is not permitted, or whose answer does not hold, ends
the run.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from bench import query
from bench.query import PURPOSE, TYPICAL, WARM_UP
from bench.rig.load import HOST, Load, drive
from bench.rig.measure import Figure, resident, show
from bench.rig.serving import free_port, fresh_home, serving, settings
from exchange.bulk import keys, preparing, results, working
from exchange.client import Client, Fetched, Lender, Subject, check_batch, new_client, question
from exchange.home import Home, open_home
from registry import clock, encryption
from registry.canonical import canonical
from registry.identifiers import ResidentId
from registry.suites.hpke import HpkeKey
from registry.trust import TrustPolicy
from sandbox.numbers import resident_id

SUBJECTS: Final = 10_000
CONNECTIONS: Final = 32
BESIDE_CONNECTIONS: Final = 4
BESIDE_QUERIES: Final = 400
_COUNTIES: Final = ("630222", "630202", "630203", "630121", "630122", "632221", "632222", "632321", "632521", "632621")
_OF_A_COUNTY: Final = 12_000  # born every other day from 1940 on


def people(count: int) -> list[ResidentId]:
    """Make distinct synthetic people, sequence 000, county after county."""
    first, made = date(1940, 1, 1), list[ResidentId]()
    for number in range(count):
        county, day = divmod(number, _OF_A_COUNTY)
        made.append(ResidentId.parse(resident_id(_COUNTIES[county], first + timedelta(days=2 * day))))
    return made


def file_of(who: list[ResidentId]) -> bytes:
    """Write a file of one line a person; each is another question than those of any file before."""
    return b"".join(
        canonical(question(Subject.person(one.text), purpose=PURPOSE, business_no=str(uuid4()), items=TYPICAL)) + b"\n"
        for one in who
    )


def handed_in(home: Home, lender: Lender, content: bytes) -> str:
    """Hand a file in over HTTP and have it cut into blocks; give the batch's id."""
    batch = lender.hand_in(content)
    preparing.prepare_all(home)
    return batch.batch_id


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


def worked(home: Home, folder: Path, port: int, batch: str, rest: float) -> float:
    """Have a batch worked off; give its lines a second."""
    with worker(folder, port, rest):
        began = time.perf_counter()
        done, _ = counts(home, batch)
        while not finished(home, batch):
            time.sleep(0.2)
        seconds = time.perf_counter() - began
    return (counts(home, batch)[0] - done) / seconds


def counts(home: Home, batch: str) -> tuple[int, int]:
    """Lines that have an outcome, and those permitted."""
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT count(*), count(*) FILTER (WHERE code IS NULL) FROM bulk_line WHERE batch_id = %s",
            (batch,),
        ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def finished(home: Home, batch: str) -> bool:
    """Say whether a batch is over.

    Raises:
        RuntimeError: a line was not permitted.
    """
    with home.database.transaction() as tx:
        row = tx.execute("SELECT ended_at FROM bulk_batch WHERE batch_id = %s", (batch,)).fetchone()
    done, permitted = counts(home, batch)
    if done != permitted:
        raise RuntimeError(f"not every line was permitted: {refusals(home, batch)}")
    return row is not None and row[0] is not None


def refusals(home: Home, batch: str) -> dict[str, int]:
    """Count the refused lines by code."""
    with home.database.transaction() as tx:
        return dict(
            tx.execute(
                "SELECT code, count(*) FROM bulk_line WHERE batch_id = %s AND code IS NOT NULL GROUP BY code", (batch,)
            ).fetchall()
        )


def fetched(lender: Lender, batch: str, parts: int) -> tuple[float, dict[int, bytes]]:
    """Fetch parts; give the lines a second, and the parts as they came."""
    began = time.perf_counter()
    came = {number: lender.fetch_part(batch, number) for number in range(1, parts + 1)}
    return parts * results.PART_LINES / (time.perf_counter() - began), came


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
    who, client, port, other = people(subjects), new_client("bench"), free_port(), free_port()
    key = HpkeKey.generate("P-256")
    with fresh_home() as folder:
        chosen = settings(folder, port)
        with open_home(chosen) as home:
            query.fill(home, who, client)
            with home.database.transaction() as tx:
                keys.register(tx, client.client_id, encryption.read(encryption.jwk_of(key)), now=clock.now())
        with (
            open_home(chosen) as home,
            serving("app", folder, port) as receiver,
            serving("app", folder, other, port) as giver,
            Lender(chosen.issuer, client) as here,
            httpx.Client(base_url=f"http://{HOST}:{other}", timeout=120) as http,
            Lender(chosen.issuer, client, http=http) as there,
        ):
            single(chosen.issuer, port, who, client, WARM_UP, CONNECTIONS)
            alone = single(chosen.issuer, port, who, client, query.QUERIES, CONNECTIONS)
            rested = worked(home, folder, port, handed_in(home, here, file_of(who)), working.REST)
            before = [resident("VmRSS", one.pid) for one in (receiver, giver)]
            content = file_of(who)
            began = time.perf_counter()
            last = handed_in(home, here, content)
            upload = time.perf_counter() - began
            restless = worked(home, folder, port, last, 0)
            fetching, parts = fetched(there, last, there.see_batch(last).parts_ready)
            peaks = [resident("VmHWM", one.pid) for one in (receiver, giver)]
            whole = Fetched(there.see_batch(last), parts, there.fetch_manifest(last))
            began = time.perf_counter()
            verdict, _ = check_batch(whole, key, TrustPolicy.parse(home.keyring.trust_policy()), questions=content)
            checking = verdict.lines / (time.perf_counter() - began)
            if verdict.answers != subjects:
                raise RuntimeError("not every line came back with an answer that holds")
            quiet = single(chosen.issuer, port, who, client, BESIDE_QUERIES, BESIDE_CONNECTIONS)
            running = handed_in(home, here, file_of(who))
            with worker(folder, port, working.REST):
                beside = single(chosen.issuer, port, who, client, BESIDE_QUERIES, BESIDE_CONNECTIONS)
                over = finished(home, running)
    show(
        "batch: lines a second against single queries a second",
        [
            Figure("worked off, with the job's rests", alone.rate, rested, "lines"),
            Figure("worked off, without rests", alone.rate, restless, "lines"),
            Figure("fetched: opened anew, signed, sealed", alone.rate, fetching, "lines"),
            Figure("checked and opened by the lender's kit, offline", alone.rate, checking, "lines"),
            Figure("single questions beside a batch", quiet.rate, beside.rate, "queries"),
        ],
        [
            f"{subjects:,} subjects, a line each; single queries over {CONNECTIONS} connections",
            f"a file of {len(content) >> 20} MB received by one process and cut in {upload:.1f} s",
            f"{peaks[0] - before[0]:.0f} MB more memory of it, {peaks[1] - before[1]:.0f} of that which gave the parts",
            f"{BESIDE_CONNECTIONS} connections: alone {_spread(quiet)}; beside a batch {_spread(beside)}",
            *(["the batch was over before the single questions were: take more subjects"] if over else []),
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else SUBJECTS)
