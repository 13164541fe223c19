"""A large file taken in: reading and judging it beside decoding and splitting it, and the whole way beside a bare COPY.

  read     limit: decode GB18030, split with pyarrow.csv (its defaults, all cores)
           ours:  `connectors.normalise.evaluate` of the same bytes; every person has a basis, answered from memory
  durable  limit: PostgreSQL COPY (binary, prebuilt bytes, one transaction) of the rows that intake made, as they lie,
                  into the table itself, empty; beside it, one of the same shape without index, key or partition
           ours:  `connectors.intake.Intake.take` of the file: judged, consents asked for, keys made, committed to,
                  sealed, copied in, logged, published. First with subjects that have no data key yet, then once more
                  with another day's file of the same people

Each part runs in a process of its own: `python -m bench.intake [--rows N]
[--stored N] [--processes N]`; a million rows need about 2 GB of disk.
Aims (architecture.md, section 7): 0.30 of the limit's rows a second and 600 MB for a million rows; 0.25 of COPY.
"""

import argparse
import gc
import io
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import uuid4

import orjson
import pyarrow.csv

from bench.rig import workbook
from bench.rig.measure import Figure, best_rate, show
from bench.rig.serving import free_port, fresh_home, settings
from connectors import batches, normalise, rawfiles, reading, recording
from connectors import staging as beside
from connectors.executors import Processes
from connectors.intake import Intake
from connectors.reading import Source
from consent import ledger
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import NewConsent, SubjectType
from consent.scope import Mode
from exchange import consents
from exchange.home import Home, open_home
from registry import clock, staging, store
from registry.basis import Basis, BasisKind
from registry.catalogue import current
from registry.datakeys import DataKeys
from registry.identifiers import ResidentId
from registry.records import Provenance
from sandbox import bulk

ROWS: Final = 200_000
AIM_READ: Final = 0.30
AIM_DURABLE: Final = 0.25
AIM_MEGABYTES: Final = 600
_DAYS: Final = (date(2026, 4, 15), date(2026, 4, 16))  # of payment: another day's file is another file
_AS_OF: Final = date(2026, 6, 15)
_MEGABYTE: Final = 2**20
_AT_ONCE: Final = 10_000


def write(path: Path, rows: int) -> None:
    """Write a roster; beyond the people there are, further years of the same people."""
    done = 0
    with path.open("wb") as whole:
        while done < rows:
            part = path.with_suffix(".part")
            bulk.write(part, rows=min(bulk.MOST_ROWS, rows - done), paid_on=date(2026 - done // bulk.MOST_ROWS, 4, 15))
            with part.open("rb") as lines:
                if done:
                    lines.readline()
                while piece := lines.read(_MEGABYTE):
                    whole.write(piece)
            part.unlink()
            done += bulk.MOST_ROWS


# ---- read and judge -------------------------------------------------------------------------------------------------


def split(raw: bytes) -> int:
    """Do the least that reading can be; return the number of rows."""
    return int(pyarrow.csv.read_csv(io.BytesIO(raw.decode("gb18030").encode())).num_rows)


def judge(raw: Source) -> normalise.TableOutcome:
    """Read, normalise and validate; the one table of the file."""
    bases = [Basis(BasisKind.CONSENT, "bench")]

    def basis_of(_kind: str, identifiers: Sequence[str], _at: date) -> Sequence[Basis | None]:
        return bases * len(identifiers)

    (outcome,) = normalise.evaluate(raw, "bench.csv", as_of=_AS_OF, basis_of=basis_of)
    return outcome


def read_rates(path: Path, rows: int) -> dict[str, float]:
    """Rows a second of the limit, of us, and of our reading alone."""
    raw = path.read_bytes()
    repeats = 3 if rows > ROWS else 5
    return {
        "limit": best_rate(rows, lambda: split(raw), repeats=repeats),
        "ours": best_rate(rows, lambda: judge(raw), repeats=repeats),
        "parse": best_rate(rows, lambda: reading.read(raw), repeats=repeats),
    }


def memory(path: Path, rows: int) -> dict[str, float]:
    """Megabytes resident before the file is read, and the most while it is judged, its own bytes included; seconds."""
    before, began = _resident("VmRSS"), time.perf_counter()
    with rawfiles.spooled(path) as raw:
        outcome = judge(raw)
        read, seconds = outcome.rows, time.perf_counter() - began
        for _ in outcome.frames():
            pass
    peak = _resident("VmHWM")
    if read != rows:
        raise RuntimeError("not every row was read")
    return {"before": before, "peak": peak, "file": path.stat().st_size / _MEGABYTE, "seconds": seconds}


def split_memory(path: Path, rows: int) -> dict[str, float]:
    """Measure the same for the limit."""
    before = _resident("VmRSS")
    if split(path.read_bytes()) != rows:
        raise RuntimeError("not every row was read")
    return {"before": before, "peak": _resident("VmHWM")}


def _resident(what: str) -> float:
    """Read megabytes from the kernel's own account: VmRSS is now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


# ---- from file to durable -------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """CPU seconds of our process spent in each part that is timed, in whichever thread."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Add up the CPU time of every call."""

        @wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.thread_time() - began

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the parts of intake while the block runs."""
        watched = [
            ("evaluate", normalise, "evaluate"),
            ("basis", consents, "basis_of"),
            ("mark", batches, "mark_of"),
            ("subjects", store, "ensure_ids"),
            ("records", recording, "record_columns"),
            ("prepare", store.Stager, "prepare"),
            ("written", staging, "Written"),
            ("keys", DataKeys, "ensure_ids"),
            ("seal", beside, "seal_records"),
            ("write", beside.Pipeline, "_write"),
            ("publish", Intake, "_publish"),
        ]
        with ExitStack() as stack:
            for name, owner, attribute in watched:
                timed = self.timed(name, getattr(owner, attribute))
                stack.enter_context(mock.patch.object(owner, attribute, timed))
            yield

    def lines(self, rows: int, seconds: float) -> list[str]:
        """Say what each part takes, in microseconds of CPU a row, once each, in their order."""
        took = defaultdict(float, {name: 1e6 * spent / rows for name, spent in self.seconds.items()})
        parts = {
            "read, normalise, validate": took["evaluate"] - took["basis"],
            "consents": took["basis"],
            "mark of the evaluation": took["mark"],
            "subjects": took["subjects"],
            "rows to columns": took["records"],
            "canonical values": took["written"],
            "data keys": took["keys"],
            "identities, what stands, versions": took["prepare"] - took["written"] - took["keys"],
            "commit, seal, rows of COPY": took["seal"],
            "hold, COPY, look for changes": took["write"],
            "publish": took["publish"],
        }
        parts["the rest"] = 1e6 * seconds / rows - sum(parts.values())
        return [f"    {name:38} {micros:6.1f} µs a row" for name, micros in parts.items()]


_FILL: Final = """
INSERT INTO record (subject_id, record_id, version, kind, identity_mac, payload_mac, sealed, commitment, publication_id,
    chunk_id, chunk_position, sheet, row_no, period, basis, quality)
SELECT s.subject_id, gen_random_uuid(), 1, 'SUBSIDY', sha256(uuid_send(gen_random_uuid())),
    sha256(uuid_send(gen_random_uuid())), decode(repeat('5a', 420), 'hex'), sha256(uuid_send(gen_random_uuid())),
    %(publication)s, %(publication)s, n.n, '', n.n, '2020', 'consent:bench', 'B'
FROM subject s CROSS JOIN generate_series(1, %(each)s) AS n(n)
"""


def fill(home: Home, stored: int, people: int) -> None:
    """Put so many records of these people into the table, made by the server: of the usual size, opening to nothing."""
    each, publication = -(-stored // people), uuid4()
    with home.database.transaction() as tx:
        said = Provenance(publication, "bench", "bench", "SUBSIDY", current().version, bytes(32), _AS_OF)
        store.open_publication(tx, uuid4(), said, raw_sm3=bytes(32), now=clock.now())
        tx.execute(_FILL, {"publication": publication, "each": each})
        tx.execute("UPDATE publication SET published_at = %s WHERE publication_id = %s", (clock.now(), publication))
    with home.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE record")


def durable(folder: Path, paths: Sequence[Path], rows: int, stored: int = 0, processes: int = 0) -> dict[str, Any]:
    """Rows a second of COPY, of a first intake and of a later one, with the parts of each."""
    found: dict[str, Any] = {}
    with open_home(settings(folder, free_port())) as home:
        began = time.perf_counter()
        _agree(home, bulk.write(paths[0], rows=rows, paid_on=_DAYS[0], faults=False))
        bulk.write(paths[1], rows=rows, paid_on=_DAYS[1], faults=False)
        if stored:
            fill(home, stored, rows)
        found["prepared"] = time.perf_counter() - began
        way = Intake(
            home.database,
            home.sealing,
            home.raw,
            lambda *asked: consents.basis_of(home, *asked),
            changes=consents.Changes(),
        )
        if processes:
            way = replace(way, workers=Processes(processes))
        for name, path in zip(("first", "later"), paths, strict=True):
            raw, parts = path.read_bytes(), Parts()
            gc.collect()
            began, began_cpu = time.perf_counter(), time.process_time()
            with nullcontext() if processes else parts.watching():  # what is watched cannot be sent elsewhere
                (taken,) = way.take(raw, path.name, as_of=_AS_OF)
            seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
            if taken.outcome.counts["accepted"] + taken.outcome.counts["warned"] != rows:
                raise RuntimeError(f"not every row was held: {taken.outcome.counts} {taken.outcome.codes}")
            found[name] = rows / seconds
            found[f"{name} parts"] = parts.lines(rows, cpu_seconds)
            found[f"{name} cpu"] = 1e6 * cpu_seconds / rows
        found["limit"], found["indexed"] = copy_rates(home, rows)
    return found


def _agree(home: Home, made: bulk.Bulk) -> None:
    """Make every person of a file known, each with a consent of their own: one written by the ledger, then copied."""
    now = clock.now()
    people = [ResidentId.parse(text) for text in made.resident_ids]
    for first in range(0, len(people), _AT_ONCE):
        with home.database.transaction() as tx:
            store.ensure_subjects(tx, home.keyring, people[first : first + _AT_ONCE], now=now)
    capture = Capture(Channel.VILLAGE, "2026-01", Language.CHINESE, Evidence(EvidenceKind.PAPER_SCAN, b"\x07" * 32))
    with home.database.transaction() as tx:
        one = store.lookup(tx, home.keyring, people[:1])[people[0].text]
        terms = NewConsent(
            subject_id=one,
            subject_type=SubjectType.PERSON,
            recipient="Bench",
            purpose="POST_LOAN",
            items=("SUBSIDY",),
            valid_from=clock.now() - timedelta(days=300),
            capture=capture,
            w_acknowledged=True,
            max_uses=240,
            mode=Mode.SUMMARY,
        )
        ledger.create_many(tx, [terms], home.keyring, now)
        tx.execute(
            "INSERT INTO consent SELECT (jsonb_populate_record(c, jsonb_build_object('consent_id',"
            " gen_random_uuid()::text, 'subject_id', s.subject_id))).* FROM consent c, subject s"
            " WHERE s.subject_id <> %s",
            (one,),
        )
    with home.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def copy_rates(home: Home, rows: int) -> tuple[float, float]:
    """Rows a second of COPY of what one intake made: into a bare table, and into one like `record`, partitioned."""
    with home.database.transaction() as tx:
        tx.execute("CREATE TABLE bench_bare (LIKE record)")
        with tx.cursor() as cursor, cursor.copy(_PREBUILT) as copy:
            prebuilt = [bytes(piece) for piece in copy]

    def load(table: str) -> None:
        statement = f"COPY {table} FROM STDIN (FORMAT BINARY)"
        with home.database.transaction() as tx, tx.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in pieces:
                copy.write(piece)

    joined = b"".join(prebuilt)
    pieces = [joined[at : at + _MEGABYTE] for at in range(0, len(joined), _MEGABYTE)]
    rates = []
    for table in ("bench_bare", "record"):
        best = 0.0
        for _ in range(3):
            with home.database.transaction() as tx:
                tx.execute(f"TRUNCATE {table}")
            began = time.perf_counter()
            load(table)
            best = max(best, rows / (time.perf_counter() - began))
        rates.append(best)
    return rates[0], rates[1]


_PREBUILT: Final = (
    "COPY (SELECT r.* FROM record r WHERE publication_id = (SELECT publication_id FROM publication"
    " WHERE source <> 'bench' ORDER BY published_at LIMIT 1)) TO STDOUT (FORMAT BINARY)"
)


# ---- the table ------------------------------------------------------------------------------------------------------


def _measured(what: str, *args: object) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    command = [sys.executable, "-m", "bench.intake", "--part", what, *map(str, args)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return found


def _part(what: str, arguments: Sequence[str]) -> dict[str, Any]:
    path, rows = Path(arguments[0]), int(arguments[1])
    if what == "durable":
        return durable(path, [path / "first.csv", path / "later.csv"], rows, *map(int, arguments[2:]))
    return {"read": read_rates, "memory": memory, "split-memory": split_memory}[what](path, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="intake, beside decode + pyarrow.csv and beside COPY")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--stored", type=int, default=0, help="records of the same people that stand already")
    parser.add_argument("--processes", type=int, default=0, help="how many processes seal")
    parser.add_argument("--only", choices=("read", "durable"))
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        print(orjson.dumps(_part(chosen.part[0], chosen.part[1:])).decode(), flush=True)
        os._exit(0)  # measured and said: pyarrow's threads have aborted an interpreter that was taking itself apart
    with fresh_home() as folder:
        if chosen.only != "durable":
            show_reading(folder, chosen.rows)
        if chosen.only != "read":
            show_durable(folder, chosen.rows, chosen.stored, chosen.processes)


def show_reading(folder: Path, rows: int) -> None:
    """Measure and print the first figure."""
    path = folder / "read.csv"
    write(path, rows)
    rates, ours, limit = (_measured(what, path, rows) for what in ("read", "memory", "split-memory"))
    book = path.with_suffix(".xlsx")
    workbook.write(path, book)
    large = _measured("memory", book, rows)
    path.unlink()
    book.unlink()
    over, least = ours["peak"] - ours["before"], limit["peak"] - limit["before"]
    show(
        "intake: read, normalise, validate, against decode + pyarrow.csv",
        [Figure("evaluate", rates["limit"], rates["ours"], "rows", AIM_READ)],
        [
            f"{rows:,} rows, {ours['file']:.0f} MB of GB18030; reading alone {rates['parse']:,.0f} rows/s",
            f"peak memory: {over:,.0f} MB over the {ours['before']:,.0f} MB of the process before it reads the file",
            f"(aim at 1,000,000 rows: {AIM_MEGABYTES} MB); decode + pyarrow.csv: {least:,.0f} MB",
            f"a workbook of {large['file']:.0f} MB: {large['peak'] - large['before']:,.0f} MB over the process",
            f"a workbook: {rows / large['seconds']:,.0f} rows/s",
        ],
    )


def show_durable(folder: Path, rows: int, stored: int, processes: int) -> None:
    """Measure and print the second figure."""
    found = _measured("durable", folder, rows, stored, processes)
    show(
        "intake: file to durable, sealed and logged, against COPY of the same rows, prebuilt",
        [
            Figure("first file of these people", found["indexed"], found["first"], "rows", AIM_DURABLE),
            Figure("another day's file", found["indexed"], found["later"], "rows", AIM_DURABLE),
            Figure("COPY into partitions and indexes", found["limit"], found["indexed"], "rows"),
        ],
        [
            f"{rows:,} rows, one person each; {stored:,} stored before; prepared in {found['prepared']:.0f} s",
            f"sealed by {processes or 'no'} other processes",
            f"first file, CPU of our process {found['first cpu']:.0f} µs a row; by part:",
            *found["first parts"],
            f"another day's file, CPU of our process {found['later cpu']:.0f} µs a row; by part:",
            *found["later parts"],
        ],
    )


if __name__ == "__main__":
    main()
