"""A record comes in: from an agency's file to sealed, logged, published records.

Steps (the numbers are those of docs/architecture.md; `at_step` is told of each, so that tests can break off there):
  1. fetch: hash the bytes before anything reads them, keep them sealed while the batch may be corrected
  2. read: bytes → typed tables
  3. normalise: every row ends accepted, warned, quarantined or rejected, with a code
  4. basis: a person's row without one loses everything but the count, the others what their basis does not cover
  5. expectations: a batch that misses them is blocked whole
  6. stage sealed chunks, each in a transaction of its own; then publish in one short transaction: records visible, log
     entries, quarantine, batch state, and what has lost its basis frozen

Steps 2 to 5 are pure (`normalise`). A crash anywhere leaves a batch either absent or complete, and a re-run is the
same as a first run: what was staged and not published is taken away first. The same file with the same consents
again changes nothing: an evaluation that decides what the last one did writes nothing.

A file's intake date is the day it first came; whether a basis stands is asked for the day of the evaluation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pandas as pd

from connectors import (
    batches,
    labels,
    manifests,
    mappings,
    mending,
    normalise,
    permits,
    quarantine,
    rawfiles,
    reading,
    recording,
    staging,
)
from connectors.batches import Batch
from connectors.codes import Outcome
from connectors.delivery import BY_COMMAND, Delivery, Progress, Stage
from connectors.errors import BytesDestroyed, IntakeBusy, MendingRefused
from connectors.events import Event
from connectors.executors import IN_PROCESS, Workers
from connectors.mends import Mends
from connectors.normalise import TableOutcome
from connectors.rawfiles import RawFile
from connectors.report import Json, report
from connectors.spool import Spool
from connectors.weighed import QuarantinedRow, joined
from registry import clock, log, recalling, store
from registry.basis import Basis, BasisOf
from registry.catalogue import current as catalogue
from registry.database import Database, Transaction
from registry.identifiers import ResidentId, SubjectKind
from registry.recalling import Recalled
from registry.records import NOBODY, NewRecord, Provenance
from registry.store import Sealing

CHUNK_RECORDS: Final = 5_000  # sealed and copied in one transaction
_LOCK_SPACE: Final = 7_118_500  # of pg_try_advisory_xact_lock(space, file)


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


def _untold(_: Transaction, __: Sequence[Recalled]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class _Act:
    """What people decided, on its way into one table: it is settled and logged whether or not it changes anything.

    Otherwise the public log would tell whoever decides of a row whether that person's data is held. `replaced` is the
    batch that this one takes the place of, `finish` what else belongs into the transaction that publishes.
    """

    decided: tuple[mending.Proposal, ...] = ()
    replaced: UUID = NOBODY
    finish: Callable[[Transaction], None] = _nothing
    actor: str = "system"

    @property
    def places(self) -> list[recalling.Place]:
        """The rows that may no longer be what was published of them."""
        changing = (mending.What.CORRECT, mending.What.WITHDRAW)
        return [place for one in self.decided if one.what in changing for place in one.places]


_Waiting = tuple[QuarantinedRow, UUID, str, str]
"""A quarantined row, whose it is, on which basis, and the person's identifier ("" for anybody else)."""
_NO_ACTS: Final[Mapping[UUID, _Act]] = {}


@dataclass(frozen=True, slots=True)
class Intake:
    """The way in, for one installation.

    `folder` is where sealed raw files lie; `basis_of` says which basis persons' rows have on a day; `now` is the clock.
    `changes` says of whom consents have changed since a moment, so that only these are asked about again.
    `mended` gives what people decided of single rows of a raw file, by table label; `progress` is told how far it is;
    `recalled` is told, in the transaction that does it, which records are no longer what was published of them, and
    `corrected` which have a later version that says something else. `evenly` writes of every batch that is weighed
    again the same log entries, whether it has changed or not.
    """

    database: Database
    sealing: Sealing
    folder: Path
    basis_of: BasisOf
    now: Callable[[], datetime] = clock.now
    chunk_records: int = CHUNK_RECORDS
    at_step: Callable[[Step], None] = field(default=_nothing, repr=False)
    changes: staging.Changes = field(default=staging.ASK_EVERYBODY, repr=False)
    workers: Workers = field(default=IN_PROCESS, repr=False)
    mended: Callable[[UUID], Mapping[str, Mends]] = field(default=_unmended, repr=False)
    progress: Callable[[Progress], None] = field(default=_nothing, repr=False)
    recalled: Callable[[Transaction, Sequence[Recalled]], object] = field(default=_untold, repr=False)
    corrected: Callable[[Transaction, Sequence[Recalled]], object] = field(default=_untold, repr=False)
    evenly: bool = False

    def run(self, paths: Iterable[Path], *, as_of: date) -> list[Taken]:
        """Take in files, and all files of folders; files that hold no table of an agency are left alone.

        Raises:
            IntakeBusy: another process has one of the files under its hands.
        """
        listed = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
        files = [file for file in listed if file.is_file()]
        return [taken for file in files for taken in self.take(file, file.name, as_of=as_of)]

    def take(
        self, raw: bytes | Path | Spool, name: str, *, as_of: date, delivery: Delivery = BY_COMMAND
    ) -> list[Taken]:
        """Take in one file. Of a long one never all bytes are in memory, if it is given as a path or a spool.

        Raises:
            IntakeBusy: another process has this file under its hands.
        """
        if isinstance(raw, Path):
            with rawfiles.spooled(raw) as whole:
                return self.take(whole, name, as_of=as_of, delivery=delivery)
        if not reading.is_table(raw, name):
            return []
        found = rawfiles.hashes(raw)  # 1
        with self.database.transaction() as guard:
            raw_id = rawfiles.id_of(guard, self.sealing, delivery.agency, found)
            _lock(guard, raw_id)
            label = labels.nameless(name)
            came = RawFile(raw_id, found.sha256, found.sm3, label, destroyed=False, as_of=None, delivery=delivery)
            file = self._received(raw, came)
            return self._evaluate(file, raw, as_of=as_of)

    def reevaluate_evenly(self) -> list[Taken]:
        """Weigh every file again so that the public log does not tell how many batches changed by it, nor which.

        All entries bear the time at which the run began. See adr/0018.

        Raises:
            As `reevaluate`.
        """
        begun = self.now()
        return replace(self, evenly=True, now=lambda: begun).reevaluate()

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
                    taken += self._evaluate(file, rawfiles.opened(self.folder, self.sealing, file), as_of=day)
            except BytesDestroyed:
                continue  # in the meantime: it is not weighed again
            except Exception as error:  # noqa: BLE001  # one file that fails must not keep the others from being weighed
                failures.append(error)
        if failures:
            raise failures[0]
        return taken

    def weigh(self, raw_id: UUID, *, as_of: date | None = None) -> list[Taken]:
        """Weigh one file again at once, because somebody has decided of its rows.

        Raises:
            BytesDestroyed: its bytes are gone.
            IntakeBusy: another process has it under its hands; `mending.files_unweighed` still names it.
        """
        day = as_of or clock.beijing_day(self.now())
        with self.held(raw_id) as (file,):
            with self.database.transaction() as tx:
                pending = mending.unweighed(tx, raw_id)
            acts = {batch_id: _Act(tuple(found), actor=str(found[-1].approver)) for batch_id, found in pending.items()}
            return self._evaluate(file, rawfiles.opened(self.folder, self.sealing, file), as_of=day, acts=acts)

    def replace(self, old: UUID, new: UUID, *, finish: Callable[[Transaction], None], actor: str) -> None:
        """Put one batch in the place of another, both taken in already: all of it in one transaction, or nothing.

        What both hold becomes new versions of the same records, under the new batch; what only the old one holds is
        recalled. `finish` is called in that transaction.

        Raises:
            BytesDestroyed: the new file's bytes are gone.
            IntakeBusy: another process has one of the files under its hands.
        """
        with self.database.transaction() as tx:
            rows = tx.execute("SELECT batch_id, raw_id FROM batch WHERE batch_id = ANY(%s)", ([old, new],)).fetchall()
        raw_ids: dict[UUID, UUID] = dict(rows)
        with self.held(*dict.fromkeys([raw_ids[new], raw_ids[old]])) as files:
            raw = rawfiles.read(self.folder, self.sealing, files[0])
            acts = {new: _Act(replaced=old, finish=finish, actor=actor)}
            self._evaluate(files[0], raw, as_of=clock.beijing_day(self.now()), acts=acts)

    @contextmanager
    def held(self, *raw_ids: UUID) -> Iterator[list[RawFile]]:
        """Keep other processes from weighing these files for as long as the block lasts.

        Raises:
            IntakeBusy: one of them has one under its hands.
        """
        with ExitStack() as stack:
            guard = stack.enter_context(self.database.transaction())
            found = []
            for raw_id in raw_ids:
                _lock(guard, raw_id)
                file = rawfiles.by_id(guard, raw_id)
                if file is None:
                    raise BytesDestroyed("no such raw file")
                found.append(file)
            yield found

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

    def _received(self, raw: reading.Source, file: RawFile) -> RawFile:
        """Step 1: the file's record, made if it has none; bytes that were destroyed are not kept again."""
        now = self.now()
        with self.database.transaction() as tx:
            known = rawfiles.get(tx, file.delivery.agency, file.sm3)
        if known is not None:
            return known
        rawfiles.keep(self.folder, self.sealing, file.raw_id, raw, now=now)
        self.at_step(Step.KEPT)
        with self.database.transaction() as tx:
            file = replace(file, delivery=mappings.applied(tx, file.delivery))
            rawfiles.record(tx, file, rawfiles.size_of(raw), now=now)
        self.at_step(Step.RECEIVED)
        return file

    def _evaluate(
        self, file: RawFile, raw: reading.Source, *, as_of: date, acts: Mapping[UUID, _Act] = _NO_ACTS
    ) -> list[Taken]:
        def basis_of(kind: str, identifiers: Sequence[str], _: date) -> Sequence[Basis | None]:
            return self.basis_of(kind, identifiers, as_of)

        asked = self._asked(as_of)
        came_on = file.as_of or as_of
        outcomes = normalise.evaluate(  # 2–5
            raw,
            file.label,
            as_of=came_on,
            basis_of=basis_of,
            delivery=file.delivery,
            mended=self.mended(file.raw_id),
            progress=self.progress,
            workers=self.workers,
        )
        outcomes = self._held_to_permits(file, self._held_to_manifest(file, outcomes))  # 5
        self.at_step(Step.EVALUATED)
        if not outcomes and not file.destroyed:
            with self.database.transaction() as tx:
                rawfiles.destroy(tx, self.folder, self.sealing, file, now=self.now())
        taken = [self._settle(file, outcome, came_on, asked, acts) for outcome in outcomes]
        if outcomes and file.delivery.mapping:
            with self.database.transaction() as tx:
                batches.end_absorbed(tx, file.raw_id, [one.label for one in outcomes])
        return taken

    def _asked(self, as_of: date) -> staging.Asked:
        """Mark the moment before bases are asked for the first time: only what changes later must be asked again."""
        with self.database.transaction() as tx:
            return staging.Asked(self.basis_of, as_of, self.changes, self.changes.moment(tx))

    def _held_to_manifest(self, file: RawFile, outcomes: list[TableOutcome]) -> list[TableOutcome]:
        """Hold a file to what its signed manifest says it adds up to, unless rows of it have been mended since."""
        if not file.delivery.manifest or self.mended(file.raw_id):
            return outcomes
        with self.database.transaction() as tx:
            declared = manifests.declared(tx, file.delivery.manifest, file.sha256)
        return manifests.hold(outcomes, declared)

    def _held_to_permits(self, file: RawFile, outcomes: list[TableOutcome]) -> list[TableOutcome]:
        """Block tables of sources that the file's agency may not deliver."""
        with self.database.transaction() as tx:
            return permits.hold(outcomes, file.delivery, permits.permitted(tx, file.delivery.agency))

    def _settle(
        self, file: RawFile, outcome: TableOutcome, came_on: date, asked: staging.Asked, acts: Mapping[UUID, _Act]
    ) -> Taken:
        """Step 6 for one table."""
        mark = batches.mark_of(outcome, self.sealing)
        bare = outcome.bare()
        with self.database.transaction() as tx:
            batch_id = batches.batch_id_of(file.raw_id, outcome.label, self.sealing)
            batch = batches.ensure(tx, batch_id, file.raw_id, outcome, as_of=came_on)
            act = acts.get(batch_id)
            unmoved = batch.mark == mark and act is None
            if batch.state in {batches.RECALLED, batches.REPLACED} or (unmoved and not self.evenly):
                return Taken(bare, changed=False)
            store.discard_unpublished(tx, batch_id)
        now = self.now()
        provenance = _provenance(file, outcome, came_on)
        if unmoved:
            self._say_again(batch, file, outcome, provenance, now)
            return Taken(bare, changed=False)
        if provenance is not None:
            self._stage(batch, file, outcome, provenance, asked, now, act.replaced if act else NOBODY)  # 6
        self._publish(batch, file, outcome, provenance, mark, asked, now, act)
        self.at_step(Step.PUBLISHED)
        return Taken(bare, changed=True)

    def _stage(
        self,
        batch: Batch,
        file: RawFile,
        outcome: TableOutcome,
        provenance: Provenance,
        asked: staging.Asked,
        now: datetime,
        replaced: UUID,
    ) -> None:
        """Stage chunk after chunk; while one is sealed by the executor, the next ones are prepared."""
        self.progress(Progress(Stage.STORING, read=outcome.rows, checked=outcome.rows))
        with self.database.transaction() as tx:
            store.open_publication(tx, batch.batch_id, provenance, raw_sm3=file.sm3, now=now)
        self.at_step(Step.OPENED)
        told = 0
        stager = store.Stager(self.sealing, provenance, now=now, replaced=replaced)
        with staging.Pipeline(self.database, self.sealing, stager, self.workers, outcome, asked, now) as pipeline:
            for rows in pipeline.run(self._chunks(outcome)):
                told += rows
                self.progress(Progress(Stage.STORING, read=outcome.rows, checked=outcome.rows, accepted=told))
                self.at_step(Step.STAGED)

    def _chunks(self, outcome: TableOutcome) -> Iterator[pd.DataFrame]:
        """Give what is held of a table in chunks; of a snapshot kind, all rows of a subject are in one."""
        kind = str(outcome.kind)
        for frame in [outcome.frame] if catalogue().kinds[kind].snapshot else outcome.frames():
            yield from recording.chunks(frame, kind=kind, size=self.chunk_records)

    def _publish(  # the parts of one short transaction
        self,
        batch: Batch,
        file: RawFile,
        outcome: TableOutcome,
        provenance: Provenance | None,
        mark: str,
        asked: staging.Asked,
        now: datetime,
        act: _Act | None,
    ) -> None:
        waiting = self._quarantined(outcome, now)
        rows = [(row, owner, basis) for row, owner, basis, _ in waiting]
        owners = {owner for _, owner, _ in rows}
        keys = self.sealing.keys.ensure(owners, now=now) if owners else {}
        with self.database.transaction() as tx:
            told = store.publish(tx, provenance, now=now) if provenance is not None else 0
            if provenance is not None or act is not None:
                log.append(tx, self._blank(file, outcome, told, now))
            self._freeze(tx, outcome, now)
            quarantine.replace(tx, batch.batch_id, rows, suite=self.sealing.suite, keys=keys, now=now)
            batches.settle(tx, batch, outcome, mark, now=now)
            self._forget_withdrawn(tx, outcome, waiting, asked, now)
            log.append(tx, [_entry(batch, file, outcome, now)])
            if act is not None:
                self._carry_out(tx, act, batch, outcome, now)
            self.at_step(Step.PUBLISHING)

    def _say_again(
        self, batch: Batch, file: RawFile, outcome: TableOutcome, provenance: Provenance | None, now: datetime
    ) -> None:
        """Write of a batch that has not changed what is written of one that has; nothing else of it is touched."""
        with self.database.transaction() as tx:
            if provenance is not None:
                store.open_publication(tx, batch.batch_id, provenance, raw_sm3=file.sm3, now=now)
                store.publish(tx, provenance, now=now)
                log.append(tx, self._blank(file, outcome, 0, now))
            log.append(tx, [_entry(batch, file, outcome, now)])

    def _blank(self, file: RawFile, outcome: TableOutcome, told: int, now: datetime) -> list[log.Entry]:
        """Make up the entries of a publication to as many as the table has chunks, whoever in it has consented."""
        chunks = max(1, -(-outcome.rows // self.chunk_records))
        return [store.nothing_published(str(outcome.source), file.sha256, now=now) for _ in range(told, chunks)]

    def _carry_out(self, tx: Transaction, act: _Act, batch: Batch, outcome: TableOutcome, now: datetime) -> None:
        """Recall what rows no longer are, and what a replaced batch leaves over; say as much, whatever was found."""
        if act.places:
            kept = self._records_at(tx, outcome, act.places, now)
            self.recalled(
                tx,
                recalling.recall_former(tx, self.sealing, batch.batch_id, act.places, kept, now=now, actor=act.actor),
            )
            self.corrected(tx, recalling.corrected(tx, batch.batch_id, act.places))
        if act.replaced != NOBODY:
            if outcome.blocked:
                raise MendingRefused("batch-not-replaceable", "the batch that should take its place is blocked")
            self.recalled(tx, recalling.recall_remainder(tx, act.replaced, now=now, actor=act.actor))
            self.corrected(tx, recalling.corrected(tx, act.replaced))
            batches.end(tx, act.replaced, batches.REPLACED)
        mending.weighed(tx, act.decided, now=now)
        act.finish(tx)

    def _records_at(
        self, tx: Transaction, outcome: TableOutcome, places: Sequence[recalling.Place], now: datetime
    ) -> list[NewRecord]:
        """Give the records that these rows are now."""
        wanted, here = set(places), list[pd.DataFrame]()
        for frame in outcome.frames():
            held = frame[frame["outcome"].isin([Outcome.ACCEPTED.value, Outcome.WARNED.value])]
            here.append(held[[place in wanted for place in zip(held["sheet"], held["row_no"], strict=True)]])
        if not here:
            return []
        rows = joined(here)
        if rows.empty:
            return []
        subjects = store.ensure_subjects(tx, self.sealing.keyring, recording.identifiers(rows), now=now)
        return recording.new_records(rows, outcome, subjects)

    def _freeze(self, tx: Transaction, outcome: TableOutcome, now: datetime) -> None:
        """Freeze what is held of persons whose basis for this kind has gone. People are looked up, never made."""
        for texts in outcome.without():
            known = store.lookup(tx, self.sealing.keyring, [ResidentId(text) for text in texts])
            store.freeze(tx, list(known.values()), str(outcome.kind), now=now)

    def _forget_withdrawn(
        self, tx: Transaction, outcome: TableOutcome, rows: Sequence[_Waiting], asked: staging.Asked, now: datetime
    ) -> None:
        """Forget who has withdrawn since step 4 of those whose rows are quarantined: these are stored only now."""
        people = {text: owner.bytes for _, owner, _, text in rows if text}
        store.hold_ids(tx, list(people.values()))
        if outcome.kind is not None:
            staging.freeze_withdrawn(tx, outcome.kind, people, asked, now=now)

    def _quarantined(self, outcome: TableOutcome, now: datetime) -> list[_Waiting]:
        if not outcome.counts.get("quarantined"):
            return []
        return [one for frame, rows in outcome.parts() if rows for one in self._owned(frame, rows, now)]

    def _owned(self, frame: pd.DataFrame, rows: Sequence[QuarantinedRow], now: datetime) -> list[_Waiting]:
        frame = frame[frame["outcome"] == Outcome.QUARANTINED.value]
        with self.database.transaction() as tx:
            subjects = store.ensure_subjects(tx, self.sealing.keyring, recording.identifiers(frame), now=now)
        of_row = {
            (sheet, int(row_no)): (subjects[text], basis, text if kind == SubjectKind.PERSON.value else "")
            for sheet, row_no, kind, text, basis in frame[
                ["sheet", "row_no", "subject_kind", "subject_id", "basis"]
            ].itertuples(index=False)
        }
        return [(row, *of_row[row.sheet, row.row_no]) for row in rows]


def _lock(guard: Transaction, raw_id: UUID) -> None:
    """Hold a file for as long as the guard's transaction lasts; a process that dies lets go of it."""
    number = int.from_bytes(raw_id.bytes[:4], signed=True)
    held = guard.execute("SELECT pg_try_advisory_xact_lock(%s::int, %s::int)", (_LOCK_SPACE, number)).fetchone()
    if held != (True,):
        raise IntakeBusy("another process is taking in the same file; try again when it has ended")


def _provenance(file: RawFile, outcome: TableOutcome, came_on: date) -> Provenance | None:
    """Say whence a table's records come; None for a table that is blocked or has no rows.

    One that nobody in it has consented to is published all the same, without records: what follows from a publication
    in the public log must not tell who sent a row whether its person has consented.
    """
    if outcome.blocked or outcome.held is None:
        return None
    return Provenance(
        publication_id=uuid4(),
        source=str(outcome.source),
        publisher=str(outcome.publisher),
        class_code=str(outcome.class_code),
        catalogue_version=catalogue().version,
        raw_sha256=file.sha256,
        as_of=date.fromisoformat(outcome.as_of) if outcome.as_of else came_on,
        sender=file.delivery.agency,
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
