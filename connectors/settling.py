"""What was decided of a table's rows becomes records: staged sealed, then published in one short transaction.

Step 6 of intake. What is staged is visible to nobody. One transaction makes records visible, writes the log's entries,
the quarantine and the batch's state, freezes what has lost its basis, and carries out what people decided of single
rows or of the batch. What a broken-off run has staged is taken away first.

Not here: what is decided of a row (`normalise`), how chunks are prepared and sealed beside each other (`staging`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import pandas as pd

from connectors import batches, mending, quarantine, recording, staging
from connectors.batches import Batch
from connectors.codes import Outcome
from connectors.delivery import Progress, Stage
from connectors.errors import MendingRefused
from connectors.events import Event
from connectors.executors import IN_PROCESS, Workers
from connectors.normalise import TableOutcome
from connectors.rawfiles import RawFile
from connectors.weighed import QuarantinedRow, joined
from registry import clock, log, recalling, store
from registry.catalogue import current as catalogue
from registry.database import Database, Transaction
from registry.identifiers import ResidentId, SubjectKind
from registry.recalling import Recalled
from registry.records import NOBODY, NewRecord, Provenance
from registry.store import Sealing

CHUNK_RECORDS: Final = 5_000  # sealed and copied in one transaction


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


def nothing(_: object) -> None:
    """Hear it, and do nothing."""


def untold(_: Transaction, __: Sequence[Recalled]) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Act:
    """What people decided, on its way into one table: it is settled and logged whether or not it changes anything.

    Otherwise the public log would tell whoever decides of a row whether that person's data is held. `replaced` is the
    batch that this one takes the place of, `finish` what else belongs into the transaction that publishes.
    """

    decided: tuple[mending.Proposal, ...] = ()
    replaced: UUID = NOBODY
    finish: Callable[[Transaction], None] = nothing
    actor: str = "system"

    @property
    def places(self) -> list[recalling.Place]:
        """The rows that may no longer be what was published of them."""
        changing = (mending.What.CORRECT, mending.What.WITHDRAW)
        return [place for one in self.decided if one.what in changing for place in one.places]


_Waiting = tuple[QuarantinedRow, UUID, str, str]
"""A quarantined row, whose it is, on which basis, and the person's identifier ("" for anybody else)."""


@dataclass(frozen=True, slots=True)
class Settling:
    """Settles the tables of one file that was evaluated; `asked` is how and when bases were asked for.

    The rest is as in `intake.Intake`.
    """

    database: Database
    sealing: Sealing
    file: RawFile
    came_on: date
    asked: staging.Asked
    now: Callable[[], datetime] = clock.now
    chunk_records: int = CHUNK_RECORDS
    at_step: Callable[[Step], None] = field(default=nothing, repr=False)
    workers: Workers = field(default=IN_PROCESS, repr=False)
    progress: Callable[[Progress], None] = field(default=nothing, repr=False)
    recalled: Callable[[Transaction, Sequence[Recalled]], object] = field(default=untold, repr=False)
    corrected: Callable[[Transaction, Sequence[Recalled]], object] = field(default=untold, repr=False)
    evenly: bool = False

    def settle(self, outcome: TableOutcome, acts: Mapping[UUID, Act]) -> Taken:
        """Settle one table; `acts` is what people decided, by batch.

        Raises:
            MendingRefused: the batch that should take another's place is blocked.
        """
        mark = batches.mark_of(outcome, self.sealing)
        bare = outcome.bare()
        with self.database.transaction() as tx:
            batch_id = batches.batch_id_of(self.file.raw_id, outcome.label, self.sealing)
            batch = batches.ensure(tx, batch_id, self.file.raw_id, outcome, as_of=self.came_on)
            act = acts.get(batch_id)
            unmoved = batch.mark == mark and act is None
            if batch.state in {batches.RECALLED, batches.REPLACED} or (unmoved and not self.evenly):
                return Taken(bare, changed=False)
            store.discard_unpublished(tx, batch_id)
        now = self.now()
        provenance = _provenance(self.file, outcome, self.came_on)
        if unmoved:
            self._say_again(batch, outcome, provenance, now)
            return Taken(bare, changed=False)
        if provenance is not None:
            self._stage(batch, outcome, provenance, now, act.replaced if act else NOBODY)  # 6
        self._publish(batch, outcome, provenance, mark, now, act)
        self.at_step(Step.PUBLISHED)
        return Taken(bare, changed=True)

    def _stage(
        self,
        batch: Batch,
        outcome: TableOutcome,
        provenance: Provenance,
        now: datetime,
        replaced: UUID,
    ) -> None:
        """Stage chunk after chunk; while one is sealed by the executor, the next ones are prepared."""
        self.progress(Progress(Stage.STORING, read=outcome.rows, checked=outcome.rows))
        with self.database.transaction() as tx:
            store.open_publication(tx, batch.batch_id, provenance, raw_sm3=self.file.sm3, now=now)
        self.at_step(Step.OPENED)
        told = 0
        stager = store.Stager(self.sealing, provenance, now=now, replaced=replaced)
        with staging.Pipeline(self.database, self.sealing, stager, self.workers, outcome, self.asked, now) as pipeline:
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
        outcome: TableOutcome,
        provenance: Provenance | None,
        mark: str,
        now: datetime,
        act: Act | None,
    ) -> None:
        waiting = self._quarantined(outcome, now)
        rows = [(row, owner, basis) for row, owner, basis, _ in waiting]
        owners = {owner for _, owner, _ in rows}
        keys = self.sealing.keys.ensure(owners, now=now) if owners else {}
        with self.database.transaction() as tx:
            told = store.publish(tx, provenance, now=now) if provenance is not None else 0
            if provenance is not None or act is not None:
                log.append(tx, self._blank(outcome, told, now))
            self._freeze(tx, outcome, now)
            quarantine.replace(tx, batch.batch_id, rows, suite=self.sealing.suite, keys=keys, now=now)
            batches.settle(tx, batch, outcome, mark, now=now)
            self._forget_withdrawn(tx, outcome, waiting, now)
            log.append(tx, [_entry(batch, self.file, outcome, now)])
            if act is not None:
                self._carry_out(tx, act, batch, outcome, now)
            self.at_step(Step.PUBLISHING)

    def _say_again(self, batch: Batch, outcome: TableOutcome, provenance: Provenance | None, now: datetime) -> None:
        """Write of a batch that has not changed what is written of one that has; nothing else of it is touched."""
        with self.database.transaction() as tx:
            if provenance is not None:
                store.open_publication(tx, batch.batch_id, provenance, raw_sm3=self.file.sm3, now=now)
                store.publish(tx, provenance, now=now)
                log.append(tx, self._blank(outcome, 0, now))
            log.append(tx, [_entry(batch, self.file, outcome, now)])

    def _blank(self, outcome: TableOutcome, told: int, now: datetime) -> list[log.Entry]:
        """Make up the entries of a publication to as many as the table has chunks, whoever in it has consented."""
        chunks = max(1, -(-outcome.rows // self.chunk_records))
        return [store.nothing_published(str(outcome.source), self.file.sha256, now=now) for _ in range(told, chunks)]

    def _carry_out(self, tx: Transaction, act: Act, batch: Batch, outcome: TableOutcome, now: datetime) -> None:
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
        self, tx: Transaction, outcome: TableOutcome, rows: Sequence[_Waiting], now: datetime
    ) -> None:
        """Forget who has withdrawn since step 4 of those whose rows are quarantined: these are stored only now."""
        people = {text: owner.bytes for _, owner, _, text in rows if text}
        store.hold_ids(tx, list(people.values()))
        if outcome.kind is not None:
            staging.freeze_withdrawn(tx, outcome.kind, people, self.asked, now=now)

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
