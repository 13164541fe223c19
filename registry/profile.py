"""What opened records say about a subject, as of a day. Pure: no clock, no database.

  * `labels`     for each item: where it comes from, as of when, how good, whether whole
  * `summarise`  the few figures that a loan officer reads first, from the items that were opened and no others
  * `holds`      yes, no or unknown to one stated claim, for answers that carry no values

Nothing here decides what may be seen: an item that was not opened is not in the records, and a figure that needs it
is absent from the summary.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from registry.canonical import JSON
from registry.catalogue import NUMERIC_TYPES, Catalogue, FieldSpec
from registry.instants import BEIJING
from registry.records import OpenedRecord, Value

Label = Mapping[str, str | int | list[str] | None]

LATE = "late"  # the reason of a source that works, and is behind its own deadline
SUBSIDY_YEARS = 3  # docs/requirements.md, reports


_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")


class Completeness(StrEnum):
    """How whole the data of an item is."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"  # no record, or a record that lacks this field
    STALE = "STALE"  # the newest record is older than the catalogue's freshness, or its source is late


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement about one item, to be answered yes, no or unknown. `value` is what the item is compared with."""

    item: str
    relation: Literal["exists", "equals", "at_least", "at_most"]
    value: Value = None


@lru_cache(maxsize=1024)  # sets of items come again with every question; nothing here can go stale
def names_by_kind(items: frozenset[str]) -> Mapping[str, frozenset[str]]:
    """Sort items into kinds: the names of the fields of each, kinds in alphabetical order."""
    names: dict[str, set[str]] = defaultdict(set)
    for item in sorted(items):
        kind, _, name = item.partition(".")
        names[kind].add(name)
    return MappingProxyType({kind: frozenset(held) for kind, held in names.items()})


def labels(
    items: frozenset[str],
    records: Sequence[OpenedRecord],
    catalogue: Catalogue,
    *,
    at: datetime,
    partial: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[Label, list[str]]]:
    """Label the items that were permitted: sources, as-of, quality (the worst), completeness, number of records.

    Each label stands once, with all items that it holds for; no item is left out and none is named twice. Of a kind
    whose source is behind (`partial`: kind → reason), what would be complete is STALE if the source is late, else
    PARTIAL, and the label gives the reason.
    """
    by_kind: dict[str, list[OpenedRecord]] = defaultdict(list)
    for record in records:
        by_kind[record.visible.kind].append(record)
    today = at.astimezone(BEIJING).date()
    labelled: list[tuple[Label, list[str]]] = []
    for kind, names in names_by_kind(items).items():
        held = by_kind.get(kind, [])
        said = {r.visible.provenance.publication_id.int: r.visible.provenance for r in held}.values()
        as_of = max((one.as_of for one in said), default=None)
        common = {
            "as_of": None if as_of is None else as_of.isoformat(),
            "publishers": sorted({one.publisher for one in said}),
            "quality": max((record.visible.quality for record in held), default=None),
            "records": len(held),
            "sources": sorted({one.source for one in said}),
            **({"reason": partial[kind]} if kind in partial else {}),
        }
        oldest = today - timedelta(days=catalogue.kinds[kind].freshness_days)
        by_state: dict[Completeness, list[str]] = defaultdict(list)
        for state, members in _completeness(names, held, stale=as_of is not None and as_of < oldest):
            by_state[_behind(state, partial.get(kind))] += _items_of(kind, members)
        labelled += [({**common, "completeness": one.value}, items) for one, items in by_state.items() if items]
    return labelled


def _completeness(
    names: frozenset[str], records: Sequence[OpenedRecord], *, stale: bool
) -> list[tuple[Completeness, frozenset[str]]]:
    if not records or stale:
        return [(Completeness.STALE if records else Completeness.PARTIAL, names)]
    given = [{name for name, value in record.fields.items() if value is not None} for record in records]
    whole = names.intersection(*given)
    if len(whole) == len(names):
        return [(Completeness.COMPLETE, names)]
    return [(Completeness.COMPLETE, whole), (Completeness.PARTIAL, names - whole)]


@lru_cache(maxsize=1024)  # as of `names_by_kind`
def _items_of(kind: str, names: frozenset[str]) -> tuple[str, ...]:
    return tuple(f"{kind}.{name}" for name in names)


def _behind(state: Completeness, reason: str | None) -> Completeness:
    """Take back that data is complete where its source is behind."""
    if reason is None or state is not Completeness.COMPLETE:
        return state
    return Completeness.STALE if reason == LATE else Completeness.PARTIAL


def within_history(start: date | None, months: int, *, at: datetime) -> bool:
    """Say whether a record that speaks of `start` lies in the last `months` months before `at` (R-11)."""
    return start is None or start >= history_begins(months, at=at)


def history_begins(months: int, *, at: datetime) -> date:
    """Give the first day of the last `months` months before `at`: the month that they begin in counts whole."""
    today = at.astimezone(BEIJING).date()
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(year, month + 1, 1)


# ---- the summary ----------------------------------------------------------------------------------------------------


def summarise(records: Sequence[OpenedRecord], catalogue: Catalogue, *, at: datetime) -> dict[str, JSON]:
    """Give the figures of docs/requirements.md, reports that the opened items allow.

    Money in fen, areas in 1/10000 亩. Of a snapshot kind only the last period counts: sets are never added up.
    """
    by_kind: dict[str, list[Mapping[str, Value]]] = defaultdict(list)
    last_period = {r.visible.kind: r.visible.period for r in sorted(records, key=lambda r: r.visible.period)}
    for record in records:
        if (
            not catalogue.kinds[record.visible.kind].snapshot
            or record.visible.period == last_period[record.visible.kind]
        ):
            by_kind[record.visible.kind].append(record.fields)
    today = at.astimezone(BEIJING).date()
    return {kind: _SUMMARIES[kind](rows, today) for kind, rows in sorted(by_kind.items()) if kind in _SUMMARIES}


def _total(rows: Sequence[Mapping[str, Value]], name: str) -> int | None:
    values = [v for row in rows if isinstance(v := row.get(name), int)]
    return sum(values) if values else None


def _given(figures: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _subsidy(rows: Sequence[Mapping[str, Value]], today: date) -> dict[str, JSON]:
    years = [row.get("grant_year") for row in rows]
    by_year: dict[int, list[Mapping[str, Value]]] = defaultdict(list)
    for row, year in zip(rows, years, strict=True):
        if isinstance(year, int) and year > today.year - SUBSIDY_YEARS:
            by_year[year].append(row)
    paid = [str(row["paid_on"]) for row in rows if row.get("paid_on")]
    statuses = [row.get("pay_status") for row in rows if "pay_status" in row]
    return _given(
        {
            "payments": len(rows),
            "years": [
                _given(
                    {
                        "year": year,
                        "amount_due_fen": _total(held, "amount_due"),
                        "amount_paid_fen": _total(held, "amount_paid"),
                    }
                )
                for year, held in sorted(by_year.items())
            ]
            or None,
            "last_paid_on": max(paid, default=None),
            "returned_payments": sum(s in {"failed", "returned"} for s in statuses) if statuses else None,
        }
    )


def _rating(rows: Sequence[Mapping[str, Value]], today: date) -> dict[str, JSON]:
    dated = [row for row in rows if row.get("eval_date")]
    newest = max(dated, key=lambda row: str(row["eval_date"])) if dated else rows[-1] if len(rows) == 1 else {}
    valid_to = newest.get("valid_to")
    return _given(
        {
            "evaluations": len(rows),
            "grade": newest.get("grade"),
            "score": newest.get("score"),
            "eval_date": newest.get("eval_date"),
            "expired": str(valid_to) < today.isoformat() if valid_to else None,
        }
    )


def _contracts(rows: Sequence[Mapping[str, Value]], today: date) -> dict[str, JSON]:
    running = [row for row in rows if not row.get("end_on") or str(row["end_on"]) >= today.isoformat()]
    ends = [str(row["end_on"]) for row in running if row.get("end_on")]
    return _given(
        {
            "contracts": len(rows),
            "running": len(running),
            "annual_fee_fen": _total(running, "annual_fee"),
            "area_mu4": _total(running, "area"),
            "arrears_fen": _total(rows, "arrears"),
            "next_end_on": min(ends, default=None),
        }
    )


def _funds(rows: Sequence[Mapping[str, Value]], _: date) -> dict[str, JSON]:
    return _given(
        {
            "accounts": len(rows),
            "bank_balance_fen": _total(rows, "bank_balance"),
            "ledger_balance_fen": _total(rows, "ledger_balance"),
        }
    )


def _assets(rows: Sequence[Mapping[str, Value]], _: date) -> dict[str, JSON]:
    operating = [row for row in rows if row.get("asset_class") == "operating"]
    return _given(
        {
            "assets": len(rows),
            "original_value_fen": _total(rows, "original_value"),
            "net_value_fen": _total(rows, "net_value"),
            "operating_net_value_fen": _total(operating, "net_value"),
        }
    )


def _resources(rows: Sequence[Mapping[str, Value]], _: date) -> dict[str, JSON]:
    return _given(
        {
            "resources": len(rows),
            "area_mu4": _total(rows, "area"),
            "contracted_area_mu4": _total(rows, "contracted_area"),
        }
    )


_SUMMARIES: Mapping[str, Callable[[Sequence[Mapping[str, Value]], date], dict[str, JSON]]] = {
    "SUBSIDY": _subsidy,
    "RATING": _rating,
    "SANZI_CONTRACT": _contracts,
    "SANZI_FUND": _funds,
    "SANZI_ASSET": _assets,
    "SANZI_RESOURCE": _resources,
}


# ---- claims ---------------------------------------------------------------------------------------------------------


def holds(claim: Claim, records: Sequence[OpenedRecord], catalogue: Catalogue) -> bool | None:
    """Answer a claim: true if any record bears it out, false if none does, None if nothing is known of the item."""
    kind, _, name = claim.item.partition(".")
    values = [v for r in records if r.visible.kind == kind and (v := r.fields.get(name)) is not None]
    if claim.relation == "exists":
        return bool(values)
    if not values:
        return None
    spec = catalogue.field(claim.item)
    wanted = _comparable(claim.value, spec)
    found = [_comparable(value, spec) for value in values]
    if claim.relation == "equals":
        return wanted in found
    if claim.relation == "at_least":
        return any(value >= wanted for value in found)  # type: ignore[operator]  # both made comparable by the same field
    return any(value <= wanted for value in found)  # type: ignore[operator]  # as above


def comparable(claim: Claim, catalogue: Catalogue) -> bool:
    """Say whether a claim can be answered: its value is of its item's type (none for `exists`).

    Raises:
        CatalogueError: there is no such item.
    """
    spec = catalogue.field(claim.item)
    if claim.relation == "exists":
        return claim.value is None
    if spec.type in NUMERIC_TYPES:
        return not isinstance(claim.value, bool) and bool(_NUMBER.fullmatch(str(claim.value)))
    return isinstance(claim.value, bool if spec.type == "bool" else str)


def _comparable(value: Value, spec: FieldSpec) -> Decimal | str | bool | None:
    if spec.type in NUMERIC_TYPES and value is not None:
        return Decimal(str(value))
    return value if isinstance(value, bool) or value is None else str(value)
