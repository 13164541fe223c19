"""A large file taken in: reading and judging it beside decoding and splitting it, and the whole way beside a bare COPY.

  read     limit: decode GB18030, split with pyarrow.csv (its defaults, all cores)
           ours:  `connectors.normalise.evaluate` of the same bytes; every person has a basis, answered from memory.
                  Once more block by block, as a long file is weighed, and with `--processes` by other processes. Rates
                  are of wall time, and of this process's CPU where nothing is handed out. Peak memory also of the same
                  rows as a workbook and as lines of JSON
  durable  limit: PostgreSQL COPY (binary, prebuilt bytes, one transaction) of the rows that intake made, as they lie,
                  into the table itself, empty; beside it, one of the same shape without index, key or partition
           ours:  `connectors.intake.Intake.take` of the file: judged, consents asked for, keys made, committed to,
                  sealed, copied in, logged, published. First with subjects that have no data key yet, then once more
                  with another day's file of the same people

Each part runs in a process of its own: `python -m bench.intake [--rows N]
[--stored N] [--processes N] [--only read|durable] [--once]`. The home and all that lies in it goes when the run ends; a
run that the disk has no room for is refused. Beyond a million rows, the file has further years of the same people, and
COPY is measured with the first million.
Aims (architecture.md, section 7): 0.30 of the limit's rows a second and 600 MB for a million rows; 0.25 of COPY.
"""

import argparse
import csv
import gc
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import pyarrow.csv

from bench.rig import workbook
from bench.rig.cost import Parts, server_seconds
from bench.rig.measure import Figure, best_rate, resident, show
from bench.rig.serving import free_port, fresh_home, settings
from connectors import normalise, rawfiles, reading
from connectors.executors import IN_PROCESS, Processes, Workers
from connectors.intake import Intake
from connectors.reading import Source
from consent import ledger, notices
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import NewConsent, SubjectType
from consent.scope import Mode
from exchange import consents
from exchange.garbage import spare_the_collector
from exchange.home import Home, open_home
from registry import clock, store
from registry.basis import Basis, BasisKind
from registry.catalogue import current
from registry.identifiers import ResidentId
from registry.records import Provenance
from sandbox import bulk

ROWS: Final = 200_000
AIM_READ: Final = 0.30
AIM_DURABLE: Final = 0.25
AIM_MEGABYTES: Final = 600
_DAYS: Final = (date(2026, 4, 15), date(2026, 4, 16))  # of payment: another day's file is another file
_AS_OF: Final = date(2026, 6, 15)
_PURPOSE: Final = "POST_LOAN"  # of the consents
_MEGABYTE: Final = 2**20
_AT_ONCE: Final = 10_000
_COPIED_AT_MOST: Final = 1_000_000  # rows that the limit is measured with: they are held in memory
_BYTES_A_ROW: Final = 1_800  # of file, sealed file, table, indexes and the server's log
_BYTES_KEPT_FREE: Final = 8 * 2**30


def write(path: Path, rows: int, paid_on: date = _DAYS[0], *, faults: bool = True) -> bulk.Bulk:
    """Write a roster; beyond the people there are, further years of the same people. Give its first part."""
    parts = []
    with path.open("wb") as whole:
        for years, first in enumerate(range(0, rows, bulk.MOST_ROWS)):
            part = path.with_suffix(".part")
            day = paid_on.replace(year=paid_on.year - years)
            parts.append(bulk.write(part, rows=min(bulk.MOST_ROWS, rows - first), paid_on=day, faults=faults))
            with part.open("rb") as lines:
                if first:
                    lines.readline()
                while piece := lines.read(_MEGABYTE):
                    whole.write(piece)
            part.unlink()
    return parts[0]


# ---- read and judge -------------------------------------------------------------------------------------------------


def split(raw: bytes) -> int:
    """Do the least that reading can be; return the number of rows."""
    return int(pyarrow.csv.read_csv(io.BytesIO(raw.decode("gb18030").encode())).num_rows)


def as_lines(text: Path, path: Path) -> None:
    """Write a roster again as lines of JSON, as rows that come over an interface are spooled."""
    with text.open(encoding="gb18030", newline="") as rows, path.open("wb") as lines:
        for row in csv.DictReader(rows):
            lines.write(orjson.dumps(row) + b"\n")


def judge(raw: Source, workers: Workers = IN_PROCESS, name: str = "bench.csv") -> normalise.TableOutcome:
    """Read, normalise and validate; the one table of the file."""
    bases = [Basis(BasisKind.CONSENT, "bench")]

    def basis_of(_kind: str, identifiers: Sequence[str], _at: date) -> Sequence[Basis | None]:
        return bases * len(identifiers)

    (outcome,) = normalise.evaluate(raw, name, as_of=_AS_OF, basis_of=basis_of, workers=workers)
    return outcome


def read_rates(path: Path, rows: int, processes: int) -> dict[str, float]:
    """Rows a second of the limit, of us in each way, and of our reading alone; of wall time and of CPU."""
    raw = path.read_bytes()
    repeats = 3 if rows > ROWS else 5
    with rawfiles.spooled(path) as spool:  # read block by block, however short
        ways: dict[str, Callable[[], object]] = {
            "limit": lambda: split(raw),
            "whole": lambda: judge(raw),
            "blocks": lambda: judge(spool),
            "parse": lambda: reading.read(raw),
        }
        found = {name: best_rate(rows, way, repeats=repeats) for name, way in ways.items()}
        found |= {f"{name} cpu": best_rate(rows, way, repeats=repeats, cpu=True) for name, way in ways.items()}
        if processes:
            found["handed out"] = best_rate(rows, lambda: judge(spool, Processes(processes)), repeats=repeats)
    return found


def memory(path: Path, rows: int) -> dict[str, float]:
    """Megabytes resident before the file is read, and the most while it is judged, its own bytes included; seconds."""
    before, began = resident("VmRSS"), time.perf_counter()
    with rawfiles.spooled(path) as raw:
        outcome = judge(raw, name=path.name)
        read, seconds = outcome.rows, time.perf_counter() - began
        for _ in outcome.frames():
            pass
    peak = resident("VmHWM")
    if read != rows:
        raise RuntimeError("not every row was read")
    return {"before": before, "peak": peak, "file": path.stat().st_size / _MEGABYTE, "seconds": seconds}


def split_memory(path: Path, rows: int) -> dict[str, float]:
    """Measure the same for the limit."""
    before = resident("VmRSS")
    if split(path.read_bytes()) != rows:
        raise RuntimeError("not every row was read")
    return {"before": before, "peak": resident("VmHWM")}


# ---- from file to durable -------------------------------------------------------------------------------------------


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
        connection.exec_driver_sql("VACUUM (ANALYZE) record")


def durable(folder: Path, rows: int, stored: int = 0, processes: int = 0, times: int = 2) -> dict[str, Any]:
    """Rows a second of COPY, of a first intake and of a later one, with the parts of each."""
    found: dict[str, Any] = {}
    with open_home(settings(folder, free_port())) as home:
        began, path = time.perf_counter(), folder / "first.csv"
        spare_the_collector()  # as `qingqiao serve` does
        _agree(home, write(path, rows, _DAYS[0], faults=False))
        if stored:
            fill(home, stored, min(rows, bulk.MOST_ROWS))
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
        found["runs"] = [taken_in(home, way, path, rows, watched=not processes)]
        for day in _DAYS[1:times]:
            write(path, rows, day, faults=False)
            found["runs"].append(taken_in(home, way, path, rows, watched=not processes))
        found |= copy_rates(home, min(rows, _COPIED_AT_MOST))
    return found


def taken_in(home: Home, way: Intake, path: Path, rows: int, *, watched: bool) -> dict[str, Any]:
    """Take a file in and remove it: rows a second, and µs of CPU a row of our process, its parts, and the server."""
    gc.collect()
    parts, before = Parts(), resident("VmRSS")
    server, workers, cpu, began = server_seconds(home.database), os.times(), time.process_time(), time.perf_counter()
    with parts.watching() if watched else nullcontext():  # what is watched cannot be sent elsewhere
        (taken,) = way.take(path, path.name, as_of=_AS_OF)
    seconds, spent, ended = time.perf_counter() - began, time.process_time() - cpu, os.times()
    if taken.outcome.counts["accepted"] + taken.outcome.counts["warned"] != rows:
        raise RuntimeError(f"not every row was held: {taken.outcome.counts} {taken.outcome.codes}")
    path.unlink()
    return {
        "rate": rows / seconds,
        "cpu": 1e6 * spent / rows,
        "workers": 1e6 * sum(ended[2:4]) / rows - 1e6 * sum(workers[2:4]) / rows,
        "server": 1e6 * (server_seconds(home.database) - server) / rows,
        "parts": parts.lines(rows, spent) if watched else [],
        "peak": resident("VmHWM") - before,
        "load": os.getloadavg()[0],
    }


def _agree(home: Home, made: bulk.Bulk) -> None:
    """Make every person of a file known, each with a consent of their own: one written by the ledger, then copied."""
    now = clock.now()
    people = [ResidentId.parse(text) for text in made.resident_ids]
    for first in range(0, len(people), _AT_ONCE):
        with home.database.transaction() as tx:
            store.ensure_subjects(tx, home.keyring, people[first : first + _AT_ONCE], now=now)
    paper = Evidence(EvidenceKind.PAPER_SCAN, b"\x07" * 32, redacted=True)
    capture = Capture(Channel.VILLAGE, notices.versions(_PURPOSE)[-1], Language.CHINESE, paper)
    with home.database.transaction() as tx:
        one = store.lookup(tx, home.keyring, people[:1])[people[0].text]
        terms = NewConsent(
            subject_id=one,
            subject_type=SubjectType.PERSON,
            recipient="Bench",
            purpose=_PURPOSE,
            items=("SUBSIDY",),
            valid_from=clock.now() - timedelta(days=300),
            capture=capture,
            w_acknowledged=True,
            max_uses=240,
            mode=Mode.SUMMARY,
        )
        ledger.create_many(tx, [terms], home.keyring, now)
        own = {"consent_id": "gen_random_uuid()::text", "subject_id": "s.subject_id"}
        names = [column.name for column in tx.execute("SELECT * FROM consent LIMIT 0").description or ()]
        columns = ", ".join(own.get(name, f"c.{name}") for name in names)
        tx.execute(
            f"INSERT INTO consent ({', '.join(names)}) SELECT {columns} FROM consent c, subject s"  # noqa: S608  # its own
            " WHERE s.subject_id <> %s",
            (one,),
        )
    with home.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")  # else autovacuum does it while we measure


def copy_rates(home: Home, rows: int) -> dict[str, float]:
    """Rows a second of COPY of what intake made: into a bare table, and into `record`, partitioned and indexed, empty.

    And what the latter costs the server, in µs of CPU a row.
    """
    with home.database.transaction() as tx:
        tx.execute("CREATE TABLE bench_bare (LIKE record)")
        with tx.cursor() as cursor, cursor.copy(_PREBUILT, (rows,)) as copy:
            prebuilt = [b"".join(some) for some in _some(map(bytes, copy), _PIECES)]
    found: dict[str, float] = {}
    for table in ("bench_bare", "record"):
        for _ in range(3):
            with home.database.transaction() as tx:
                tx.execute(f"TRUNCATE {table}")
            server, began = server_seconds(home.database), time.perf_counter()
            statement = f"COPY {table} FROM STDIN (FORMAT BINARY)"
            with home.database.transaction() as tx, tx.cursor() as cursor, cursor.copy(statement) as copy:
                for piece in prebuilt:
                    copy.write(piece)
            rate = rows / (time.perf_counter() - began)
            if rate > found.get(table, 0.0):
                found |= {table: rate, "server": 1e6 * (server_seconds(home.database) - server) / rows}
    return found


def _some(pieces: Iterator[bytes], count: int) -> Iterator[list[bytes]]:
    while some := list(islice(pieces, count)):
        yield some


_PREBUILT: Final = (
    "COPY (SELECT r.* FROM record r WHERE publication_id = (SELECT publication_id FROM publication"
    " WHERE source <> 'bench' ORDER BY published_at LIMIT 1) LIMIT %s) TO STDOUT (FORMAT BINARY)"
)
_PIECES: Final = 1_000  # rows of COPY written at once


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
        return durable(path, rows, *map(int, arguments[2:]))
    if what == "read":
        return read_rates(path, rows, int(arguments[2]))
    return {"memory": memory, "split-memory": split_memory}[what](path, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="intake, beside decode + pyarrow.csv and beside COPY")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--stored", type=int, default=0, help="records of the same people that stand already")
    parser.add_argument("--processes", type=int, default=0, help="how many processes weigh and seal")
    parser.add_argument("--only", choices=("read", "durable"))
    parser.add_argument("--once", action="store_true", help="take in one file, not another day's as well")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        print(orjson.dumps(_part(chosen.part[0], chosen.part[1:])).decode(), flush=True)
        os._exit(0)  # measured and said: pyarrow's threads have aborted an interpreter that was taking itself apart
    with fresh_home() as folder:
        if chosen.only != "durable":
            show_reading(folder, chosen.rows, chosen.processes)
        if chosen.only != "read":
            show_durable(folder, chosen.rows, chosen.stored, chosen.processes, 1 if chosen.once else 2)


def show_reading(folder: Path, rows: int, processes: int) -> None:
    """Measure and print the first figure."""
    path = folder / "read.csv"
    write(path, rows)
    rates = _measured("read", path, rows, processes)
    ours, limit = (_measured(what, path, rows) for what in ("memory", "split-memory"))
    book = path.with_suffix(".xlsx")
    workbook.write(path, book)
    large = _measured("memory", book, rows)
    lines = path.with_suffix(".ndjson")
    as_lines(path, lines)
    fed = _measured("memory", lines, rows)
    for one in (path, book, lines):
        one.unlink()
    over, least = ours["peak"] - ours["before"], limit["peak"] - limit["before"]
    figures = [
        Figure(f"{way}{of}", rates[f"limit{of}"], rates[f"{way}{of}"], "rows", AIM_READ)
        for of in ("", " cpu")
        for way in ("whole", "blocks")
    ]
    if processes:
        figures.append(Figure(f"blocks, {processes} processes", rates["limit"], rates["handed out"], "rows", AIM_READ))
    show(
        "intake: read, normalise, validate, against decode + pyarrow.csv",
        figures,
        [
            f"{rows:,} rows, {ours['file']:.0f} MB of GB18030; reading alone {rates['parse']:,.0f} rows/s",
            f"peak memory: {over:,.0f} MB over the {ours['before']:,.0f} MB of the process before it reads the file",
            f"(aim at 1,000,000 rows: {AIM_MEGABYTES} MB); decode + pyarrow.csv: {least:,.0f} MB",
            f"a workbook of {large['file']:.0f} MB: {large['peak'] - large['before']:,.0f} MB over the process",
            f"a workbook: {rows / large['seconds']:,.0f} rows/s",
            f"lines of JSON, {fed['file']:.0f} MB: {fed['peak'] - fed['before']:,.0f} MB over the process",
        ],
    )


def show_durable(folder: Path, rows: int, stored: int, processes: int, times: int) -> None:
    """Measure and print the second figure.

    Raises:
        SystemExit: the disk has not the room.
    """
    needed = _BYTES_A_ROW * (rows * times + stored) + _BYTES_KEPT_FREE
    if shutil.disk_usage(folder).free < needed:
        raise SystemExit(f"{needed // 2**30} GB of disk are needed under {folder}")
    found = _measured("durable", folder, rows, stored, processes, times)
    runs = list(zip(("first file of these people", "another day's file"), found["runs"], strict=False))
    people, seconds = min(rows, bulk.MOST_ROWS), found["prepared"]
    notes = [
        f"{rows:,} rows, {people:,} people; {stored:,} stored before; prepared in {seconds:.0f} s",
        f"cleaned and sealed by {processes or 'no'} other processes",
        f"COPY costs the server {found['server']:.1f} µs of CPU a row",
    ]
    for what, run in runs:
        notes += [
            f"{what}, load {run['load']:.1f}, at most {run['peak']:,.0f} MB more memory; µs of CPU a row:",
            f"    the server {run['server']:.1f}, ended processes {run['workers']:.1f}, ours {run['cpu']:.1f}",
            *run["parts"],
        ]
    show(
        "intake: file to durable, sealed and logged, against COPY of the same rows, prebuilt",
        [
            *(Figure(what, found["record"], run["rate"], "rows", AIM_DURABLE) for what, run in runs),
            Figure("COPY into partitions and indexes", found["bench_bare"], found["record"], "rows"),
        ],
        notes,
    )


if __name__ == "__main__":
    main()
