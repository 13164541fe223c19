"""What people decide of rows: proposed by one, where the agency wants it approved by another, kept beside the file.

A proposal speaks of rows of one batch (accept, correct, withdraw) or of the whole batch (recall, replace by another).
Its life is a small machine, pure:

    proposed ─▶ decided     by another person than the proposer; at once, where one person is enough
             ├▶ refused     by another person
             └▶ withdrawn   by the proposer

A person is a client: two eyes more means another `client_id` of the same organisation. A whole batch is always
recalled or replaced by two persons (docs/adr/0018); to withdraw the last rows that are left of one is to recall it
(`nothing_left`). What a proposal says (reason, corrected cells) lies sealed under
the raw file's data key and is destroyed with it; a row's place and what was decided of it stay.

Not here: whether a correction mends anything (`apparent`), what follows for records (`intake`, `registry.recalling`),
who may call (`exchange.mending`).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from psycopg.types.json import Jsonb

from connectors.errors import BytesDestroyed, MendingRefused
from connectors.events import Event
from connectors.mends import Act, Mend, Mends
from registry import log
from registry.canonical import JSON, canonical
from registry.database import Database, Transaction
from registry.errors import KeyMissing
from registry.store import Sealing
from registry.suites import seal, unseal

Place = tuple[str, int]
_CELLS: Final = "cells"


class What(StrEnum):
    """What is proposed. The values stand in tables and in the log; never reuse one."""

    ACCEPT = "accept"
    CORRECT = "correct"
    WITHDRAW = "withdraw"
    RECALL = "recall"
    REPLACE = "replace"


_OF_A_WHOLE_BATCH: Final = frozenset({What.RECALL, What.REPLACE})


class State(StrEnum):
    """Where a proposal stands."""

    PROPOSED = "proposed"
    DECIDED = "decided"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class Verb(StrEnum):
    """What somebody does with a proposal."""

    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


_LEADS_TO: Final = {Verb.APPROVE: State.DECIDED, Verb.REFUSE: State.REFUSED, Verb.WITHDRAW: State.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal, without what it says."""

    mending_id: UUID
    batch_id: UUID
    raw_id: UUID
    organisation: str
    what: What
    places: tuple[Place, ...]
    successor: UUID | None
    state: State
    proposer: str
    proposed_at: datetime
    approver: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwnBatch:
    """A batch as its agency may name it."""

    batch_id: UUID
    raw_id: UUID
    label: str
    organisation: str
    kind: str | None
    state: str
    blocked: str | None
    codes: Mapping[str, Mapping[str, int]]
    destroyed: bool
    rows: int  # data rows of the file, whatever became of them


# ---- the machine ----------------------------------------------------------------------------------------------------


def first_state(what: What, *, four_eyes: bool) -> State:
    """Say where a proposal begins: of a whole batch two persons decide, whatever the agency wants otherwise."""
    return State.PROPOSED if four_eyes or what in _OF_A_WHOLE_BATCH else State.DECIDED


def nothing_left(rows: int, gone: Collection[Place], places: Collection[Place]) -> bool:
    """Say whether nothing of a table of so many data rows is left once these places go too, beside those gone before.

    What is held is not asked: then the answer would tell who has consented.
    """
    return len({*gone, *places}) >= rows


def step(proposal: Proposal, verb: Verb, person: str) -> State:
    """Say where a person's act leads.

    Raises:
        MendingRefused: the proposal is settled, or this person may not do this with it.
    """
    if proposal.state is not State.PROPOSED:
        raise MendingRefused("proposal-settled")
    if (verb is Verb.WITHDRAW) != (person == proposal.proposer):
        raise MendingRefused("four-eyes-needed")
    return _LEADS_TO[verb]


# ---- keeping --------------------------------------------------------------------------------------------------------

_COLUMNS: Final = (
    "mending_id, batch_id, raw_id, organisation, act, places, successor, state, proposer, proposed_at, approver,"
    " decided_at"
)


def own_batch(tx: Transaction, batch_id: UUID, organisation: str) -> OwnBatch | None:
    """Find a batch that this organisation delivered; another's is not found."""
    row = tx.execute(
        "SELECT b.batch_id, b.raw_id, b.label, f.agency, b.kind, b.state, b.blocked_code, b.codes,"
        " f.destroyed_at IS NOT NULL, b.rows FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE b.batch_id = %s AND f.agency = %s AND f.agency <> ''",
        (batch_id, organisation),
    ).fetchone()
    return OwnBatch(*row) if row else None


def propose(  # noqa: PLR0913  # what a proposal is made of
    tx: Transaction,
    sealing: Sealing,
    batch: OwnBatch,
    what: What,
    *,
    places: Sequence[Place] = (),
    said: Mapping[str, JSON],
    successor: UUID | None = None,
    state: State,
    proposer: str,
    now: datetime,
) -> Proposal:
    """Keep a proposal, sealed, and log that it was made; decided at once where one person is enough.

    Args:
        tx: the transaction of the act.
        sealing: keys; the one that is used is durable before.
        batch: of which batch.
        what: what is proposed.
        places: of which rows (sheet, row); none for the whole batch.
        said: `reason`, and of a correction the `cells` as pairs of heading and text.
        successor: the batch that replaces it.
        state: from `first_state`.
        proposer: the client who proposes.
        now: the moment.
    """
    mending_id = uuid4()
    owner = batch.batch_id if batch.destroyed else batch.raw_id
    key = (sealing.keys.ensure if batch.destroyed else _existing(sealing))([owner], now=now)[owner]
    sealed = seal(sealing.suite, key, canonical(dict(said)), _bound(mending_id, batch.batch_id))
    decided = state is State.DECIDED
    made = Proposal(
        mending_id, batch.batch_id, batch.raw_id, batch.organisation, what, tuple(places), successor, state, proposer,
        now, proposer if decided else None, now if decided else None,
    )  # fmt: skip
    tx.execute(
        "INSERT INTO mending (mending_id, batch_id, raw_id, organisation, act, places, successor, state, owner_id,"
        " sealed, proposer, proposed_at, approver, decided_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(mending_id, batch.batch_id, batch.raw_id, batch.organisation, what.value),
            *(Jsonb([list(place) for place in places]), successor, state.value, owner, sealed),
            *(proposer, now, made.approver, made.decided_at),
        ),
    )
    _tell(tx, made, Event.ROWS_DECIDED if decided else Event.ROWS_PROPOSED, proposer, now)
    return made


def _existing(sealing: Sealing) -> Callable[..., Mapping[UUID, bytes]]:
    def get(owners: Sequence[UUID], *, now: datetime) -> Mapping[UUID, bytes]:
        del now
        try:
            return sealing.keys.get(owners)
        except KeyMissing as error:
            raise BytesDestroyed("the bytes of this raw file are gone, and its key with them") from error

    return get


def lock(tx: Transaction, mending_id: UUID, organisation: str) -> Proposal | None:
    """Read a proposal of this organisation and keep others from settling it until the transaction ends."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM mending WHERE mending_id = %s AND organisation = %s FOR UPDATE",  # noqa: S608  # a constant
        (mending_id, organisation),
    ).fetchone()
    return _proposal(row) if row else None


def settle(tx: Transaction, proposal: Proposal, state: State, person: str, *, now: datetime) -> None:
    """Write where a proposal has come to, and log it."""
    tx.execute(
        "UPDATE mending SET state = %s, approver = %s, decided_at = %s WHERE mending_id = %s",
        (state.value, person, now, proposal.mending_id),
    )
    _tell(tx, proposal, Event.ROWS_DECIDED if state is State.DECIDED else Event.ROWS_DROPPED, person, now)


def listed(
    tx: Transaction,
    organisation: str,
    *,
    state: State | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[Proposal]:
    """Give an organisation's proposals, the oldest first, those that come after a moment and an id."""
    at, mending_id = after or (None, None)
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM mending WHERE organisation = %s AND (%s::text IS NULL OR state = %s)"  # noqa: S608  # a constant
        " AND (%s::timestamptz IS NULL OR (proposed_at, mending_id) > (%s, %s))"
        " ORDER BY proposed_at, mending_id LIMIT %s",
        (organisation, state, state, at, at, mending_id, limit),
    ).fetchall()
    return [_proposal(row) for row in rows]


def keep_others_waiting(tx: Transaction, batch_id: UUID) -> None:
    """Let nobody else decide of rows of a batch until the transaction ends: two halves at once are a whole, too."""
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(batch_id.bytes[:8], "big", signed=True),))


def final(tx: Transaction, batch_id: UUID, places: Sequence[Place]) -> bool:
    """Say whether one of these rows has been withdrawn: that is not taken back, the row is sent again."""
    return not withdrawn(tx, batch_id).isdisjoint(places)


def withdrawn(tx: Transaction, batch_id: UUID) -> set[Place]:
    """Give the rows of a batch that have been withdrawn."""
    rows = tx.execute(
        "SELECT places FROM mending WHERE batch_id = %s AND state = 'decided' AND act = 'withdraw'", (batch_id,)
    ).fetchall()
    return {(str(sheet), int(row_no)) for (found,) in rows for sheet, row_no in found}


def said_by(tx: Transaction, sealing: Sealing, proposals: Sequence[Proposal]) -> list[Mapping[str, Any]]:
    """Open what proposals say, in their order; empty where the key has been destroyed."""
    rows = tx.execute(
        "SELECT mending_id, owner_id, sealed FROM mending WHERE mending_id = ANY(%s)",
        ([one.mending_id for one in proposals],),
    ).fetchall()
    found = {mending_id: (owner, sealed) for mending_id, owner, sealed in rows}
    keys = _keys(sealing, {owner for owner, _ in found.values()})
    opened: list[Mapping[str, Any]] = []
    for one in proposals:
        owner, sealed = found[one.mending_id]
        key = keys.get(owner)
        opened.append(orjson.loads(unseal(key, sealed, _bound(one.mending_id, one.batch_id))) if key else {})
    return opened


def _keys(sealing: Sealing, owners: set[UUID]) -> dict[UUID, bytes]:
    keys: dict[UUID, bytes] = {}
    for owner in owners:
        try:
            keys |= sealing.keys.get([owner])
        except KeyMissing:
            continue  # destroyed with the file
    return keys


# ---- what intake asks -----------------------------------------------------------------------------------------------


def mended_of(database: Database, sealing: Sealing) -> Callable[[UUID], Mapping[str, Mends]]:
    """Give the function that tells intake what was decided of a raw file's rows, by table label.

    It raises BytesDestroyed for a file whose corrections went with its bytes: weighed without them, it would bring back
    what was corrected.
    """

    def mended(raw_id: UUID) -> Mapping[str, Mends]:
        with database.transaction() as tx:
            rows = tx.execute(
                f"SELECT {', '.join('m.' + name for name in _COLUMNS.split(', '))}, b.label"  # noqa: S608  # a constant
                " FROM mending m JOIN batch b USING (batch_id) WHERE m.raw_id = %s AND m.state = 'decided'"
                " AND m.act IN ('accept', 'correct', 'withdraw') ORDER BY m.decided_at, m.mending_id",
                (raw_id,),
            ).fetchall()
            decided = [(_proposal(row[:-1]), str(row[-1])) for row in rows]
            corrections = [one for one, _ in decided if one.what is What.CORRECT]
            said = dict(zip(corrections, said_by(tx, sealing, corrections), strict=True))
        if not all(_CELLS in one for one in said.values()):
            raise BytesDestroyed("this file was corrected and its bytes are gone; send the corrected file instead")
        by_label: dict[str, list[tuple[Proposal, Mapping[str, str]]]] = defaultdict(list)
        for one, label in decided:
            by_label[label].append((one, dict(said[one][_CELLS]) if one in said else {}))
        return {label: together(found) for label, found in by_label.items()}

    return mended


def together(decided: Sequence[tuple[Proposal, Mapping[str, str]]]) -> list[Mend]:
    """Put decisions, in their order, together: of each row all corrected cells (the last counts), then what it is."""
    cells: dict[Place, dict[str, str]] = defaultdict(dict)
    ends: dict[Place, Act] = {}
    for one, corrected in decided:
        for place in one.places:
            if one.what is What.CORRECT:
                cells[place] |= corrected
            elif ends.get(place) is not Act.WITHDRAW:
                ends[place] = Act(one.what.value)
    mended = [Mend(Act.CORRECT, *place, found) for place, found in cells.items()]
    return mended + [Mend(act, *place) for place, act in ends.items()]


def unweighed(tx: Transaction, raw_id: UUID) -> dict[UUID, list[Proposal]]:
    """Give what was decided of a file's rows since it was last weighed, by batch."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM mending WHERE raw_id = %s AND state = 'decided' AND weighed_at IS NULL"  # noqa: S608  # a constant
        " AND act IN ('accept', 'correct', 'withdraw') ORDER BY decided_at, mending_id",
        (raw_id,),
    ).fetchall()
    found: dict[UUID, list[Proposal]] = defaultdict(list)
    for row in rows:
        found[row[1]].append(_proposal(row))
    return dict(found)


def files_unweighed(tx: Transaction) -> list[UUID]:
    """Give the files with decisions that no weighing has taken in yet, whose bytes still exist."""
    rows = tx.execute(
        "SELECT DISTINCT m.raw_id FROM mending m JOIN raw_file f USING (raw_id) WHERE m.state = 'decided'"
        " AND m.weighed_at IS NULL AND m.act IN ('accept', 'correct', 'withdraw') AND f.destroyed_at IS NULL"
    )
    return [raw_id for (raw_id,) in rows.fetchall()]


def corrected_since(tx: Transaction, since: datetime) -> list[tuple[UUID, list[Place] | None]]:
    """Give what was corrected lately: batch and rows, None for all rows of a batch that another has replaced."""
    rows = tx.execute(
        "SELECT batch_id, places, act FROM mending WHERE state = 'decided' AND ((act = 'correct' AND weighed_at >= %s)"
        " OR (act = 'replace' AND decided_at >= %s))",
        (since, since),
    ).fetchall()
    return [
        (batch_id, None if act == What.REPLACE else [(str(sheet), int(row_no)) for sheet, row_no in places])
        for batch_id, places, act in rows
    ]


def weighed(tx: Transaction, proposals: Sequence[Proposal], *, now: datetime) -> None:
    """Note that a weighing has taken these decisions in."""
    ids = [one.mending_id for one in proposals]
    tx.execute("UPDATE mending SET weighed_at = %s WHERE mending_id = ANY(%s)", (now, ids))


# ---- how an organisation wants it -----------------------------------------------------------------------------------


def four_eyes(tx: Transaction, organisation: str) -> bool:
    """Say whether an organisation wants each decision made by two persons."""
    row = tx.execute("SELECT four_eyes FROM agency_setting WHERE organisation = %s", (organisation,)).fetchone()
    return bool(row and row[0])


def set_four_eyes(tx: Transaction, organisation: str, *, wanted: bool, by: str, now: datetime) -> None:
    """Set whether each decision takes two persons. Only the operator sets it back to one."""
    tx.execute(
        "INSERT INTO agency_setting (organisation, four_eyes, changed_by, changed_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (organisation) DO UPDATE SET four_eyes = EXCLUDED.four_eyes, changed_by = EXCLUDED.changed_by,"
        " changed_at = EXCLUDED.changed_at",
        (organisation, wanted, by, now),
    )
    fields: dict[str, JSON] = {"organisation": organisation, "four_eyes": wanted}
    log.append(tx, [log.Entry(event=Event.FOUR_EYES_SET.value, at=now, actor=by, fields=fields)])


# ---- inside ---------------------------------------------------------------------------------------------------------


def _proposal(row: Sequence[Any]) -> Proposal:
    mending_id, batch_id, raw_id, organisation, act, places, successor, state, *rest = row
    told = tuple((str(sheet), int(row_no)) for sheet, row_no in places)
    return Proposal(mending_id, batch_id, raw_id, organisation, What(act), told, successor, State(state), *rest)


def _bound(mending_id: UUID, batch_id: UUID) -> bytes:
    return canonical(["mending", str(mending_id), str(batch_id)])


def _tell(tx: Transaction, one: Proposal, event: Event, person: str, now: datetime) -> None:
    fields: dict[str, JSON] = {
        "mending_id": str(one.mending_id),
        "batch_id": str(one.batch_id),
        "act": one.what.value,
        "rows": len(one.places),
        "proposer": one.proposer,
    }
    log.append(tx, [log.Entry(event=event.value, at=now, actor=person, fields=fields)])
