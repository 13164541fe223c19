"""A record comes in: from an agency's file to sealed, logged, published records.

Steps (the numbers are those of docs/architecture.md; `at_step` is told of each, so that tests can break off there):
  1. fetch: hash the bytes before anything reads them, keep them sealed while the batch may be corrected
  2. read: bytes → typed tables
  3. normalise: every row ends accepted, warned, quarantined or rejected, with a code
  4. basis: a person's row without one loses everything but the count, the others what their basis does not cover
  5. expectations: a batch that misses them is blocked whole
  6. `settling`: stage sealed chunks, then publish in one short transaction

Steps 2 to 5 are pure (`normalise`). A crash anywhere leaves a batch either absent or complete, and a re-run is the
same as a first run: what was staged and not published is taken away first. The same file with the same consents
again changes nothing: an evaluation that decides what the last one did writes nothing.

A file's intake date is the day it first came; whether a basis stands is asked for the day of the evaluation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from connectors import (
    batches,
    labels,
    manifests,
    mappings,
    mending,
    normalise,
    permits,
    rawfiles,
    reading,
    staging,
)
from connectors.delivery import BY_COMMAND, Delivery, Progress
from connectors.errors import BytesDestroyed, IntakeBusy
from connectors.executors import IN_PROCESS, Workers
from connectors.mends import Mends
from connectors.normalise import TableOutcome
from connectors.rawfiles import RawFile
from connectors.report import Json, report
from connectors.settling import CHUNK_RECORDS, Act, Settling, Step, Taken, nothing, untold
from connectors.spool import Spool
from registry import clock
from registry.basis import Basis, BasisOf
from registry.database import Database, Transaction
from registry.recalling import Recalled
from registry.store import Sealing

__all__ = ["Intake", "Step", "Taken"]

_LOCK_SPACE: Final = 7_118_500  # of pg_try_advisory_xact_lock(space, file)
_NO_ACTS: Final[Mapping[UUID, Act]] = {}


def _unmended(_: UUID) -> Mapping[str, Mends]:
    return {}


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
    at_step: Callable[[Step], None] = field(default=nothing, repr=False)
    changes: staging.Changes = field(default=staging.ASK_EVERYBODY, repr=False)
    workers: Workers = field(default=IN_PROCESS, repr=False)
    mended: Callable[[UUID], Mapping[str, Mends]] = field(default=_unmended, repr=False)
    progress: Callable[[Progress], None] = field(default=nothing, repr=False)
    recalled: Callable[[Transaction, Sequence[Recalled]], object] = field(default=untold, repr=False)
    corrected: Callable[[Transaction, Sequence[Recalled]], object] = field(default=untold, repr=False)
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
            acts = {batch_id: Act(tuple(found), actor=str(found[-1].approver)) for batch_id, found in pending.items()}
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
            acts = {new: Act(replaced=old, finish=finish, actor=actor)}
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
        self, file: RawFile, raw: reading.Source, *, as_of: date, acts: Mapping[UUID, Act] = _NO_ACTS
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
        settling = Settling(
            self.database,
            self.sealing,
            file,
            came_on,
            asked,
            now=self.now,
            chunk_records=self.chunk_records,
            at_step=self.at_step,
            workers=self.workers,
            progress=self.progress,
            recalled=self.recalled,
            corrected=self.corrected,
            evenly=self.evenly,
        )
        taken = [settling.settle(outcome, acts) for outcome in outcomes]  # 6
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


def _lock(guard: Transaction, raw_id: UUID) -> None:
    """Hold a file for as long as the guard's transaction lasts; a process that dies lets go of it."""
    number = int.from_bytes(raw_id.bytes[:4], signed=True)
    held = guard.execute("SELECT pg_try_advisory_xact_lock(%s::int, %s::int)", (_LOCK_SPACE, number)).fetchone()
    if held != (True,):
        raise IntakeBusy("another process is taking in the same file; try again when it has ended")
