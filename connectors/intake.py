"""A record comes in: from an agency's file to sealed, logged, published records.

Steps (the numbers are those of docs/architecture.md; `at_step` is told of each, so that tests can break off there):
  1. fetch: hash the bytes before anything reads them, keep them sealed while the batch may be corrected
  2. read: bytes → typed tables
  3. normalise: every row ends accepted, warned, quarantined or rejected, with a code
  4. basis: a person's row without one loses everything but the count, the others what their basis does not cover
  5. expectations: a batch that misses them is blocked whole
  6. stage sealed chunks, each in a transaction of its own; then publish in one short transaction: records visible, log
     entries, quarantine, remarks, batch state, and what has lost its basis frozen

Steps 2 to 5 are pure (`normalise`). A crash anywhere leaves a batch either absent or complete, and a re-run is the
same as a first run: what was staged and not published is taken away first. The same file with the same consents
again changes nothing: an evaluation that decides what the last one did writes nothing.

A file's intake date is the day it first came; whether a basis stands is asked for the day of the evaluation.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pandas as pd
import pyarrow as pa

from connectors import batches, normalise, quarantine, rawfiles, reading
from connectors.batches import Batch
from connectors.codes import Outcome
from connectors.delivery import BY_COMMAND, Delivery, Progress
from connectors.errors import BytesDestroyed, IntakeBusy
from connectors.events import Event
from connectors.frames import TOLD
from connectors.mends import Mends
from connectors.normalise import TableOutcome
from connectors.rawfiles import RawFile
from connectors.report import Json, report
from registry import clock, log, store
from registry.basis import Basis, BasisOf
from registry.catalogue import current as catalogue
from registry.database import Database, Transaction
from registry.identifiers import CreditCode, Identifier, ResidentId, SubjectKind
from registry.records import NewRecord, Provenance
from registry.store import Sealing

CHUNK_RECORDS: Final = 5_000  # sealed and copied in one transaction
_LOCK_SPACE: Final = 7_118_500  # of pg_try_advisory_xact_lock(space, file)
_OWN: Final = frozenset(
    "row_no sheet outcome code column subject_kind subject_id basis covered period valid_from valid_to".split()  # noqa: SIM905  # names
)


class Step(StrEnum):
    """Where `at_step` is called: after the act named."""

    KEPT = "1 bytes kept"
    RECEIVED = "1 file recorded"
    EVALUATED = "5 evaluated"
    OPENED = "6 publication opened"
    STAGED = "6 chunk staged"
    PUBLISHING = "6 about to commit"
    PUBLISHED = "6 published"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one table, without its rows, and whether anything changed by it."""

    outcome: TableOutcome
    changed: bool


def _nothing(_: object) -> None:
    return None


def _unmended(_: UUID) -> Mapping[str, Mends]:
    return {}


@dataclass(frozen=True, slots=True)
class Intake:
    """The way in, for one installation.

    `folder` is where sealed raw files lie; `basis_of` says which basis persons' rows have on a day; `now` is the clock.
    `mended` gives what people decided of single rows of a raw file, by table label; `progress` is told how far it is.
    """

    database: Database
    sealing: Sealing
    folder: Path
    basis_of: BasisOf
    now: Callable[[], datetime] = clock.now
    chunk_records: int = CHUNK_RECORDS
    at_step: Callable[[Step], None] = field(default=_nothing, repr=False)
    mended: Callable[[UUID], Mapping[str, Mends]] = field(default=_unmended, repr=False)
    progress: Callable[[Progress], None] = field(default=_nothing, repr=False)

    def run(self, paths: Iterable[Path], *, as_of: date) -> list[Taken]:
        """Take in files, and all files of folders; files that hold no table of an agency are left alone.

        Raises:
            IntakeBusy: another process has one of the files under its hands.
        """
        listed = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
        files = [file for file in listed if file.is_file()]
        return [taken for file in files for taken in self.take(file.read_bytes(), file.name, as_of=as_of)]

    def take(self, raw: bytes, name: str, *, as_of: date, delivery: Delivery = BY_COMMAND) -> list[Taken]:
        """Take in one file.

        Raises:
            IntakeBusy: another process has this file under its hands.
        """
        if not reading.is_table(raw, name):
            return []
        found = rawfiles.hashes(raw)  # 1
        raw_id = rawfiles.raw_id_of(self.sealing, found)
        with self.database.transaction() as guard:
            _lock(guard, raw_id)
            came = RawFile(raw_id, found.sha256, found.sm3, name, destroyed=False, as_of=None, delivery=delivery)
            file = self._received(raw, came)
            return self._evaluate(file, raw, as_of=as_of)

    def reevaluate(self, *, as_of: date | None = None) -> list[Taken]:
        """Weigh every file whose bytes still exist again: consents may have been granted or withdrawn since.

        Args:
            as_of: the day on which bases are asked for; today by default.

        Raises:
            IntakeBusy, and what else a file can fail with: the first failure, after all other files were weighed.
        """
        day = as_of or clock.beijing_day(self.now())
        with self.database.transaction() as tx:
            files = rawfiles.still_open(tx)
        taken: list[Taken] = []
        failures: list[Exception] = []
        for file in files:
            try:
                with self.database.transaction() as guard:
                    _lock(guard, file.raw_id)
                    taken += self._evaluate(file, rawfiles.read(self.folder, self.sealing, file), as_of=day)
            except BytesDestroyed:
                continue  # in the meantime: it is not weighed again
            except Exception as error:  # noqa: BLE001  # one file that fails must not keep the others from being weighed
                failures.append(error)
        if failures:
            raise failures[0]
        return taken

    def destroy_due(self) -> int:
        """Destroy the bytes of files whose time for correction is over; say how many."""
        now = self.now()
        with self.database.transaction() as tx:
            due = rawfiles.due(tx, now=now)
            for file in due:
                rawfiles.destroy(tx, self.folder, self.sealing, file, now=now)
            rawfiles.sweep(tx, self.folder, now=now)
        return len(due)

    def report(self, *, as_of: date) -> dict[str, Json]:
        """Say what became of every table taken in so far, as its last evaluation left it."""
        with self.database.transaction() as tx:
            return report(batches.standing(tx), as_of=as_of)

    def _received(self, raw: bytes, file: RawFile) -> RawFile:
        """Step 1: the file's record, made if it has none; bytes that were destroyed are not kept again."""
        now = self.now()
        with self.database.transaction() as tx:
            known = rawfiles.get(tx, file.sm3)
        if known is not None:
            return known
        rawfiles.keep(self.folder, self.sealing, file.raw_id, raw, now=now)
        self.at_step(Step.KEPT)
        with self.database.transaction() as tx:
            rawfiles.record(tx, file, len(raw), now=now)
        self.at_step(Step.RECEIVED)
        return file

    def _evaluate(self, file: RawFile, raw: bytes, *, as_of: date) -> list[Taken]:
        def basis_of(kind: str, identifiers: Sequence[str], _: date) -> Sequence[Basis | None]:
            return self.basis_of(kind, identifiers, as_of)

        came_on = file.as_of or as_of
        outcomes = normalise.evaluate(  # 2–5
            raw,
            file.label,
            as_of=came_on,
            basis_of=basis_of,
            delivery=file.delivery,
            mended=self.mended(file.raw_id),
            progress=self.progress,
        )
        self.at_step(Step.EVALUATED)
        if not outcomes and not file.destroyed:
            with self.database.transaction() as tx:
                rawfiles.destroy(tx, self.folder, self.sealing, file, now=self.now())
        return [self._settle(file, outcome, came_on, as_of) for outcome in outcomes]

    def _settle(self, file: RawFile, outcome: TableOutcome, came_on: date, as_of: date) -> Taken:
        """Step 6 for one table."""
        mark = batches.mark_of(outcome, self.sealing)
        bare = replace(outcome, frame=pd.DataFrame(), quarantined=(), uncovered=())
        with self.database.transaction() as tx:
            batch_id = batches.batch_id_of(file.raw_id, outcome.label, self.sealing)
            batch = batches.ensure(tx, batch_id, file.raw_id, outcome, as_of=came_on)
            if batch.mark == mark:
                return Taken(bare, changed=False)
            store.discard_unpublished(tx, batch_id)
        now = self.now()
        provenance = _provenance(file, outcome, came_on)
        if provenance is not None:
            self._stage(batch, file, outcome, provenance, now)  # 6
        self._publish(batch, file, outcome, provenance, mark, as_of, now)
        self.at_step(Step.PUBLISHED)
        return Taken(bare, changed=True)

    def _stage(self, batch: Batch, file: RawFile, outcome: TableOutcome, provenance: Provenance, now: datetime) -> None:
        with self.database.transaction() as tx:
            store.open_publication(tx, batch.batch_id, provenance, raw_sm3=file.sm3, now=now)
        self.at_step(Step.OPENED)
        for chunk in chunks(outcome.frame, kind=str(outcome.kind), size=self.chunk_records):
            with self.database.transaction() as tx:
                subjects = store.ensure_subjects(tx, self.sealing.keyring, identifiers(chunk), now=now)
                records = new_records(chunk, outcome, subjects)
                store.stage(tx, self.sealing, provenance, records, now=now)
            self.at_step(Step.STAGED)

    def _publish(  # the parts of one short transaction
        self,
        batch: Batch,
        file: RawFile,
        outcome: TableOutcome,
        provenance: Provenance | None,
        mark: str,
        as_of: date,
        now: datetime,
    ) -> None:
        rows, owners = self._quarantined(outcome, now)
        keys = self.sealing.keys.ensure(owners, now=now) if owners else {}
        with self.database.transaction() as tx:
            if provenance is not None:
                store.publish(tx, provenance, now=now)
            self._freeze(tx, outcome, now)
            quarantine.replace(tx, batch.batch_id, rows, suite=self.sealing.suite, keys=keys, now=now)
            batches.settle(tx, batch, outcome, mark, now=now)
            self._freeze_withdrawn(tx, outcome, as_of, now)
            log.append(tx, [_entry(batch, file, outcome, now)])
            self.at_step(Step.PUBLISHING)

    def _freeze(self, tx: Transaction, outcome: TableOutcome, now: datetime) -> None:
        """Freeze what is held of persons whose basis for this kind has gone. People are looked up, never made."""
        if outcome.uncovered and outcome.kind:
            known = store.lookup(tx, self.sealing.keyring, [ResidentId(text) for text in outcome.uncovered])
            store.freeze(tx, list(known.values()), outcome.kind, now=now)

    def _freeze_withdrawn(self, tx: Transaction, outcome: TableOutcome, as_of: date, now: datetime) -> None:
        """Ask for bases once more, with the people's subjects locked: one may have withdrawn since step 4.

        Who withdraws takes the same locks, and so either is seen here or sees what is published here.
        """
        if outcome.kind is None or outcome.frame.empty:
            return
        persons = outcome.frame["subject_kind"] == SubjectKind.PERSON.value
        texts = [text for text in outcome.frame.loc[persons, "subject_id"].dropna().unique() if text]
        known = store.lookup(tx, self.sealing.keyring, [ResidentId(text) for text in texts]) if texts else {}
        if not known:
            return
        store.hold_subjects(tx, list(known.values()))
        held = self.basis_of(outcome.kind, list(known), as_of)
        bare = [subject for (_, subject), basis in zip(known.items(), held, strict=True) if basis is None]
        store.freeze(tx, bare, outcome.kind, now=now)
        quarantine.forget(tx, bare, outcome.kind)

    def _quarantined(
        self, outcome: TableOutcome, now: datetime
    ) -> tuple[list[tuple[normalise.QuarantinedRow, UUID, str]], set[UUID]]:
        if not outcome.quarantined:
            return [], set()
        frame = outcome.frame[outcome.frame["outcome"] == Outcome.QUARANTINED.value]
        with self.database.transaction() as tx:
            subjects = store.ensure_subjects(tx, self.sealing.keyring, identifiers(frame), now=now)
        of_row = {
            (sheet, int(row_no)): (subjects[text], basis)
            for sheet, row_no, text, basis in frame[["sheet", "row_no", "subject_id", "basis"]].itertuples(index=False)
        }
        rows = [(row, *of_row[row.sheet, row.row_no]) for row in outcome.quarantined]
        return rows, {owner for _, owner, _ in rows}


def _lock(guard: Transaction, raw_id: UUID) -> None:
    """Hold a file for as long as the guard's transaction lasts; a process that dies lets go of it."""
    number = int.from_bytes(raw_id.bytes[:4], signed=True)
    held = guard.execute("SELECT pg_try_advisory_xact_lock(%s::int, %s::int)", (_LOCK_SPACE, number)).fetchone()
    if held != (True,):
        raise IntakeBusy("another process is taking in the same file; try again when it has ended")


def _provenance(file: RawFile, outcome: TableOutcome, came_on: date) -> Provenance | None:
    """Say whence a table's records come; None for a table of which none are held."""
    if outcome.blocked or outcome.frame.empty:
        return None
    return Provenance(
        publication_id=uuid4(),
        source=str(outcome.source),
        publisher=str(outcome.publisher),
        class_code=str(outcome.class_code),
        catalogue_version=catalogue().version,
        raw_sha256=file.sha256,
        as_of=date.fromisoformat(outcome.as_of) if outcome.as_of else came_on,
    )


def _entry(batch: Batch, file: RawFile, outcome: TableOutcome, now: datetime) -> log.Entry:
    """Tell the log of an evaluation: hashes, counts and codes."""
    done = Event.BATCH_REEVALUATED if batch.mark else Event.BATCH_PUBLISHED
    event = Event.BATCH_BLOCKED if outcome.blocked else done
    fields: dict[str, Any] = {
        "batch_id": str(batch.batch_id),
        "raw_sha256": file.sha256.hex(),
        "rows": outcome.rows,
        "counts": dict(outcome.counts),
        "codes": {end: dict(codes) for end, codes in outcome.codes.items()},
        "blocked": outcome.blocked,
    }
    return log.Entry(event=event.value, at=now, actor=outcome.source or "system", fields=fields)


# ---- from a table's frame to records --------------------------------------------------------------------------------


def chunks(frame: pd.DataFrame, *, kind: str, size: int) -> list[pd.DataFrame]:
    """Cut the rows that are held into chunks; of a snapshot kind, no subject's rows are divided."""
    held = frame[frame["outcome"].isin([Outcome.ACCEPTED.value, Outcome.WARNED.value])]
    if not catalogue().kinds[kind].snapshot:
        return [held.iloc[first : first + size] for first in range(0, len(held), size)]
    ordered = held.sort_values("subject_id", kind="stable").reset_index(drop=True)
    subject, _ = pd.factorize(ordered["subject_id"])
    starts = pd.Series(range(len(ordered))).groupby(subject).transform("min")
    return [chunk for _, chunk in ordered.groupby(starts // size, sort=True)]


def identifiers(chunk: pd.DataFrame) -> list[Identifier]:
    """Give each subject of a chunk once, as the value that cleaning has proven its text to be."""
    subjects = chunk[["subject_kind", "subject_id"]].drop_duplicates()
    return [
        ResidentId(text) if kind == ResidentId.kind.value else CreditCode(text)
        for kind, text in subjects.itertuples(index=False)
    ]


def new_records(chunk: pd.DataFrame, outcome: TableOutcome, subjects: dict[str, UUID]) -> list[NewRecord]:
    """Turn a chunk's rows into records: fields by catalogue name, those without a value left out."""
    names = [name for name in chunk.columns if name not in _OWN and not name.startswith(TOLD)]
    columns = [_plain(chunk[name]) for name in names]
    bases = {text: Basis.parse(text) for text in chunk["basis"].unique()}
    stated = {*chunk["valid_from"].dropna(), *chunk["valid_to"].dropna()}
    days = {text: date.fromisoformat(text) for text in stated}
    meta = ["subject_id", "sheet", "row_no", "basis", "period", "code", "valid_from", "valid_to"]
    rows = zip(
        zip(*(_plain(chunk[name]) for name in meta), strict=True),
        zip(*columns, strict=True),
        _identities(chunk, str(outcome.kind)),
        strict=True,
    )
    return [
        NewRecord(
            subject_id=subjects[subject],
            kind=str(outcome.kind),
            payload={name: value for name, value in zip(names, values, strict=True) if value is not None},
            sheet=sheet,
            row_no=row_no,
            basis=bases[basis],
            quality=outcome.quality,
            period=period,
            remark=code or None,
            valid_from=days.get(start),
            valid_to=days.get(end),
            identity=identity,
        )
        for (subject, sheet, row_no, basis, period, code, start, end), values, identity in rows
    ]


def _identities(chunk: pd.DataFrame, kind: str) -> Iterable[tuple[Any, ...] | None]:
    """Give each row's identity where not all of it may be stored; None where the payload tells it."""
    names = catalogue().kinds[kind].identity
    if not any(TOLD + name in chunk for name in names):
        return repeat(None, len(chunk))
    told = [chunk.get(TOLD + name, chunk.get(name)) for name in names]
    return zip(*(repeat(None, len(chunk)) if one is None else _plain(one) for one in told), strict=True)


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Give a column as plain Python values, None where it has none."""
    values: list[Any] = pa.array(column, from_pandas=True).to_pylist()
    return values
