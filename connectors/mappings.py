"""What agencies have said of their own headings: remembered, and applied to each later file of the same agency.

A mapping names, for one kind of table, one heading of an organisation and the column that it is. It is proposed and,
where the organisation wants two persons, approved by another one; only then does it count, and until then what was
decided of the same heading before. Two headings are never put to one column unless it is said that both are meant, and
a mapping displaces no heading that a declaration knows (`layout`). Headings are no personal data; cells are not looked
at here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from connectors.delivery import Delivery
from connectors.errors import MendingRefused
from connectors.events import Event
from connectors.mending import State
from connectors.source import Declarations
from registry import log
from registry.canonical import JSON
from registry.database import Transaction

_COLUMNS: Final = (
    'mapping_id, organisation, kind, heading, "column", batch_id, state, proposer, proposed_at, approver, decided_at'
)
LONGEST_HEADING: Final = 60


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """One heading of one organisation, and the column it is; `batch_id` is the batch that it was said of, if one."""

    mapping_id: UUID
    organisation: str
    kind: str
    heading: str
    column: str
    batch_id: UUID | None
    state: State
    proposer: str
    proposed_at: datetime
    approver: str | None
    decided_at: datetime | None


def columns_of(declarations: Declarations, kind: str) -> frozenset[str]:
    """Name the columns that a kind's tables can have; empty for a kind that no declaration has."""
    return frozenset(
        name
        for source in declarations.sources
        for table in source.tables
        if table.kind == kind
        for name in table.columns
    )


def propose(  # noqa: PLR0913  # what a mapping is made of
    tx: Transaction,
    organisation: str,
    kind: str,
    heading: str,
    column: str,
    *,
    also: bool,
    batch_id: UUID | None = None,
    state: State,
    proposer: str,
    now: datetime,
) -> ColumnMapping:
    """Remember a mapping, in the place of an earlier one of the same heading; what was decided counts on till then.

    Raises:
        MendingRefused: `column-mapped-already`, another heading is mapped to this column and `also` was not said.
    """
    others = tx.execute(
        "SELECT FROM column_mapping WHERE organisation = %s AND kind = %s AND heading <> %s"
        " AND (in_force = %s OR \"column\" = %s AND state = 'proposed') LIMIT 1",
        (organisation, kind, heading, column, column),
    ).fetchone()
    if others is not None and not also:
        raise MendingRefused("column-mapped-already")
    decided = state is State.DECIDED
    row = tx.execute(
        f"INSERT INTO column_mapping ({_COLUMNS}, in_force) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608  # a constant
        ' ON CONFLICT (organisation, kind, heading) DO UPDATE SET mapping_id = EXCLUDED.mapping_id, "column" ='
        ' EXCLUDED."column", batch_id = EXCLUDED.batch_id, state = EXCLUDED.state, proposer = EXCLUDED.proposer,'
        " proposed_at = EXCLUDED.proposed_at, approver = EXCLUDED.approver, decided_at = EXCLUDED.decided_at,"
        " in_force = coalesce(EXCLUDED.in_force, column_mapping.in_force)"
        f" RETURNING {_COLUMNS}",
        (
            *(uuid4(), organisation, kind, heading, column, batch_id, state.value, proposer, now),
            *(proposer if decided else None, now if decided else None, column if decided else None),
        ),
    ).fetchone()
    if row is None:
        raise MendingRefused("column-mapped-already")
    made = _mapping(row)
    _tell(tx, made, proposer, now)
    return made


def settle(
    tx: Transaction, organisation: str, mapping_id: UUID, *, approve: bool, person: str, now: datetime
) -> ColumnMapping | None:
    """Approve or refuse a mapping that another person proposed; None if there is none.

    Raises:
        MendingRefused: it is settled, or this person proposed it.
    """
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM column_mapping WHERE mapping_id = %s AND organisation = %s FOR UPDATE",  # noqa: S608  # a constant
        (mapping_id, organisation),
    ).fetchone()
    if row is None:
        return None
    found = _mapping(row)
    if found.state is not State.PROPOSED:
        raise MendingRefused("proposal-settled")
    if person == found.proposer:
        raise MendingRefused("four-eyes-needed")
    state = State.DECIDED if approve else State.REFUSED
    tx.execute(
        "UPDATE column_mapping SET state = %s, approver = %s, decided_at = %s,"
        ' in_force = CASE WHEN %s THEN "column" ELSE in_force END WHERE mapping_id = %s',
        (state.value, person, now, approve, mapping_id),
    )
    _tell(tx, found, person, now)
    return replace(found, state=state, approver=person, decided_at=now)


def listed(tx: Transaction, organisation: str) -> list[ColumnMapping]:
    """Give all that an organisation has said of its headings."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM column_mapping WHERE organisation = %s ORDER BY kind, heading",  # noqa: S608  # a constant
        (organisation,),
    ).fetchall()
    return [_mapping(row) for row in rows]


def remembered(tx: Transaction, organisation: str) -> Mapping[str, str]:
    """Give an organisation's mapping as a delivery carries it; empty for the operator."""
    if not organisation:
        return {}
    rows = tx.execute(
        "SELECT kind, heading, in_force FROM column_mapping WHERE organisation = %s AND in_force IS NOT NULL",
        (organisation,),
    ).fetchall()
    return {f"{kind}:{heading}": column for kind, heading, column in rows}


def applied(tx: Transaction, delivery: Delivery) -> Delivery:
    """Give a delivery with what its agency has said of its headings; what came with the delivery itself goes before."""
    known = remembered(tx, delivery.agency)
    return replace(delivery, mapping={**known, **delivery.mapping}) if known else delivery


def apply_to(tx: Transaction, raw_id: UUID, organisation: str) -> None:
    """Let an organisation's mapping count for a file that came before it, when it is weighed again."""
    known = remembered(tx, organisation)
    tx.execute(
        "UPDATE raw_file SET mapping = %s || mapping WHERE raw_id = %s AND agency = %s",
        (Jsonb(dict(known)), raw_id, organisation),
    )


def _mapping(row: Sequence[Any]) -> ColumnMapping:
    mapping_id, organisation, kind, heading, column, batch_id, state, *rest = row
    return ColumnMapping(mapping_id, organisation, kind, heading, column, batch_id, State(state), *rest)


def _tell(tx: Transaction, one: ColumnMapping, person: str, now: datetime) -> None:
    fields: dict[str, JSON] = {
        "mapping_id": str(one.mapping_id),
        "organisation": one.organisation,
        "kind": one.kind,
        "column": one.column,
    }
    log.append(tx, [log.Entry(event=Event.COLUMNS_MAPPED.value, at=now, actor=person, fields=fields)])
