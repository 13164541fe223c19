"""A report put together: its head, its sections, marks, provenance, and what is withheld and why. Pure.

Sections do not repeat values: an entry names a record of the answer by its commitment, and which of its fields stand in
the section. So evidence of the answer shows every line of a report to be a record that was permitted. What is marked is
marked in place: 已过期 (the last day has passed), 异议处理中 (its subject disputes it), data that nobody has
checked, and records that a consistency rule found fault with.

Withheld, each with its reason: `not-asked-or-not-consented`; `no-data`, or why the source is behind (late, failing,
blocked). What is given and old is listed as `incomplete`: stale, or the source's reason. A section without any entry
says so itself.

Not here: a score (there is no model yet), other members of the household (each consents by an own consent), queries of
other institutions (no consent names them).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from exchange.reports import layout
from exchange.reports.layout import Layout, Section
from exchange.reports.tags import STALE, WITHHELD, Found
from registry import profile
from registry.canonical import JSON
from registry.catalogue import Catalogue
from registry.identifiers import SubjectKind
from registry.instants import beijing_day
from registry.profile import Completeness, Label
from registry.records import OpenedRecord, Payload

NO_DATA: Final = "no-data"
REASONS: Final = (WITHHELD, NO_DATA, STALE, "late", "failing", "blocked")
UNCHECKED: Final = frozenset({"C", "D"})  # said by the person or the village panel, or by nobody who answers for it
MARKS: Final[Mapping[str, Mapping[str, str]]] = {
    "expired": {"zh": "已过期", "en": "expired"},
    "disputed": {"zh": "异议处理中", "en": "disputed by its subject"},
    "unchecked": {"zh": "自报、评议或未经核实", "en": "self-declared, by a panel, or unverified"},
    "flagged": {"zh": "与其他来源不一致", "en": "at odds with other sources"},
}
WARNINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "expired": MARKS["expired"],
    "expiring": {"zh": "即将到期", "en": "ends soon"},
    "flagged": MARKS["flagged"],
    "disputed": MARKS["disputed"],
    "adverse-tag": {"zh": "不利标签", "en": "adverse tag"},
    "source-behind": {"zh": "数据来源滞后", "en": "a source is behind"},
}
GLOSSARY: Final[Mapping[str, Mapping[str, str]]] = {
    "A": {"zh": "部门签名报送", "en": "signed by the agency"},
    "B": {"zh": "部门报送并已核对", "en": "delivered by an agency and checked"},
    "C": {"zh": "自报或评议", "en": "self-declared or by a panel"},
    "D": {"zh": "未经核实", "en": "unverified"},
    "COMPLETE": {"zh": "完整", "en": "whole"},
    "PARTIAL": {"zh": "不完整", "en": "in part"},
    "STALE": {"zh": "陈旧", "en": "older than its freshness"},
}
_TOP: Final = 4  # reasons on the first page, good and bad each
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Queried:
    """An earlier query of the same lender about the same subject: when, and for what."""

    at: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Matter:
    """What a report is made of besides the opened records.

    `items` were permitted; `flags` and `disputed` are by record version; `partial` are the kinds whose source is
    behind; `statement` is what the person says, and since when.
    """

    about: SubjectKind
    at: datetime
    items: frozenset[str]
    tags: Found
    flags: Mapping[tuple[UUID, int], Sequence[str]] = field(default_factory=dict)
    disputed: Mapping[tuple[UUID, int], Sequence[str]] = field(default_factory=dict)
    partial: Mapping[str, str] = field(default_factory=dict)
    queries: Sequence[Queried] = ()
    statement: Mapping[str, JSON] | None = field(default=None, repr=False)


def head(matter: Matter, records: Sequence[OpenedRecord], known: Catalogue) -> dict[str, JSON]:
    """Say what the report is, whom it is about (masked), and how fresh its data is."""
    chosen = layout.current()
    form = chosen.form(matter.about)
    labels = _labels(matter, records, known)
    days = [record.visible.provenance.as_of.isoformat() for record in records]
    named = _first(records, chosen.names["organisation" if matter.about is SubjectKind.ORGANISATION else "person"])
    return {
        "layout": chosen.version,
        "title": {"zh": form.title.zh, "en": form.title.en},
        "about": {"zh": form.about.zh, "en": form.about.en},
        "subject": {
            "kind": matter.about.value,
            "name": named if matter.about is SubjectKind.ORGANISATION else masked(named),
            "region": _first(records, chosen.regions),
        },
        "freshness": {
            "oldest": min(days, default=None),
            "newest": max(days, default=None),
            **{
                state.value: sum(label["completeness"] == state.value for label in labels.values())
                for state in Completeness
            },
        },
    }


def sections(matter: Matter, records: Sequence[OpenedRecord], known: Catalogue) -> tuple[list[JSON], list[JSON]]:
    """Give the sections in their order, and every item that is withheld, with its section and reason."""
    chosen = layout.current()
    form = chosen.form(matter.about)
    places = layout.placed(form, known, matter.about)
    labels = _labels(matter, records, known)
    told: list[JSON] = []
    withheld: list[JSON] = []
    for section in form.sections:
        said: dict[str, JSON] = {"number": section.number, "code": section.code, "zh": section.zh, "en": section.en}
        said["lacks"] = [{"zh": one.zh, "en": one.en} for one in section.lacks]
        if section.part is None:
            items = places[section.number]
            entries: list[JSON] = list(_entries(items, records, matter, known, chosen))
            given = {item for record in records for item in _filled(record, items)}
            missing = [(item, _why(item, matter)) for item in sorted(items - given)]
            withheld += [{"item": item, "reason": why, "section": section.number} for item, why in missing]
            said |= {"entries": entries, "incomplete": _incomplete(given, labels)} | _state(entries, missing)
        else:
            said |= _part(section, matter, records, known, labels)
            said |= {"state": "given", "reason": None}
        told.append(said)
    return told, withheld


def masked(name: str | None) -> str | None:
    """Leave of a person's name the first character: 张**."""
    return None if not name else name[0] + "**"


def _state(entries: Sequence[object], missing: Sequence[tuple[str, str]]) -> dict[str, JSON]:
    if entries:
        return {"state": "given", "reason": None}
    reasons = {why for _, why in missing}
    return {"state": "withheld", "reason": min(reasons, key=_rank) if reasons else NO_DATA}


def _rank(reason: str) -> int:
    """Of several reasons a section names the source's before `no-data`, and that before a missing consent."""
    return {NO_DATA: 1, WITHHELD: 2}.get(reason, 0)


def _why(item: str, matter: Matter) -> str:
    return WITHHELD if item not in matter.items else matter.partial.get(item.partition(".")[0], NO_DATA)


def _entries(
    items: frozenset[str], records: Sequence[OpenedRecord], matter: Matter, known: Catalogue, chosen: Layout
) -> Iterator[dict[str, JSON]]:
    for record in records:
        filled = _filled(record, items)
        if filled:
            kind = known.kinds[record.visible.kind]
            yield {
                "record": record.visible.commitment.hex(),
                "kind": kind.code,
                "zh": kind.titles["zh"],
                "en": kind.titles["en"],
                "items": filled,
                "marks": list(_marks(record, filled, matter, chosen)),
            }


def _filled(record: OpenedRecord, items: frozenset[str]) -> list[str]:
    kind = record.visible.kind
    named = (f"{kind}.{name}" for name, value in sorted(record.fields.items()) if value is not None)
    return [item for item in named if item in items]


def _marks(record: OpenedRecord, filled: Sequence[str], matter: Matter, chosen: Layout) -> Iterator[dict[str, JSON]]:
    seen = record.visible
    version = (seen.ref.record_id, seen.ref.version)
    disputed = sorted({*matter.disputed.get(version, ())}.intersection(filled))
    ended = _ends(record, chosen)
    if ended is not None and _day(ended) < beijing_day(matter.at).isoformat():
        yield {"mark": "expired", **MARKS["expired"], "on": ended}
    if disputed:
        yield {"mark": "disputed", **MARKS["disputed"], "items": disputed}
    if seen.quality in UNCHECKED:
        yield {"mark": "unchecked", **MARKS["unchecked"], "quality": seen.quality}
    if matter.flags.get(version):
        yield {"mark": "flagged", **MARKS["flagged"], "rules": list(matter.flags[version])}


def _ends(record: OpenedRecord, chosen: Layout) -> str | None:
    value = record.fields.get(chosen.ends.get(record.visible.kind, ""))
    return str(value) if value else None


def _incomplete(given: set[str], labels: Mapping[str, Label]) -> list[JSON]:
    """Name what is given and not whole, with its reason: the source's, or that it is stale."""
    found: list[JSON] = []
    for item in sorted(given):
        reason = labels[item].get("reason")
        if reason is None and labels[item]["completeness"] == Completeness.STALE.value:
            reason = STALE
        if reason is not None:
            found.append({"item": item, "reason": str(reason)})
    return found


def _labels(matter: Matter, records: Sequence[OpenedRecord], known: Catalogue) -> dict[str, Label]:
    said = profile.labels(matter.items, records, known, at=matter.at, partial=matter.partial)
    return {item: label for label, items in said for item in items}


def _part(
    section: Section,
    matter: Matter,
    records: Sequence[OpenedRecord],
    known: Catalogue,
    labels: Mapping[str, Label],
) -> dict[str, JSON]:
    match section.part:
        case "overview":
            return {"overview": _overview(matter, records, known, labels)}
        case "warnings":
            return {"warnings": list(_warnings(matter, records))}
        case "tags":
            return {"tags": list(matter.tags.tags)}
        case "voice":
            return {"disputed": list(_disputed(matter, records)), "statement": matter.statement}
        case "queries":
            return {"queries": [{"at": one.at, "purpose": one.purpose} for one in matter.queries]}
        case _:
            return {"provenance": [_provenance(record) for record in records], "glossary": GLOSSARY}


def _overview(
    matter: Matter, records: Sequence[OpenedRecord], known: Catalogue, labels: Mapping[str, Label]
) -> dict[str, JSON]:
    whole = sum(label["completeness"] == Completeness.COMPLETE.value for label in labels.values())
    return {
        "figures": profile.summarise(records, known, at=matter.at),
        "complete_percent": whole * _PERCENT // len(labels) if labels else 0,
        "good": [tag["tag"] for tag in matter.tags.tags if tag["good"] is True][:_TOP],
        "bad": [tag["tag"] for tag in matter.tags.tags if tag["good"] is False][:_TOP],
    }


def _warnings(matter: Matter, records: Sequence[OpenedRecord]) -> Iterator[dict[str, JSON]]:
    chosen = layout.current()
    today = beijing_day(matter.at)
    soon = today + timedelta(days=chosen.expiring_days)
    for record in records:
        seen, ended = record.visible, _ends(record, chosen)
        version = (seen.ref.record_id, seen.ref.version)
        about: dict[str, JSON] = {"record": seen.commitment.hex(), "kind": seen.kind}
        if ended is not None and _day(ended) < today.isoformat():
            yield {"warning": "expired", **WARNINGS["expired"], **about, "on": ended}
        elif ended is not None and _day(ended) <= soon.isoformat():
            yield {"warning": "expiring", **WARNINGS["expiring"], **about, "on": ended}
        if matter.flags.get(version):
            yield {"warning": "flagged", **WARNINGS["flagged"], **about, "rules": list(matter.flags[version])}
        if matter.disputed.get(version):
            yield {"warning": "disputed", **WARNINGS["disputed"], **about}
    for tag in matter.tags.tags:
        if tag["good"] is False:
            yield {"warning": "adverse-tag", **WARNINGS["adverse-tag"], "tag": tag["tag"]}
    for kind, reason in sorted(matter.partial.items()):
        yield {"warning": "source-behind", **WARNINGS["source-behind"], "kind": kind, "reason": reason}


def _day(written: str) -> str:
    """Complete a date without a day by the last there can be: 2026-03 has not passed before it is over."""
    return written if len(written) == len(date.max.isoformat()) else f"{written}-99"


def _disputed(matter: Matter, records: Sequence[OpenedRecord]) -> Iterator[dict[str, JSON]]:
    for record in records:
        seen = record.visible
        marked = matter.disputed.get((seen.ref.record_id, seen.ref.version))
        if marked:
            yield {"record": seen.commitment.hex(), "items": sorted(marked), **MARKS["disputed"]}


def _provenance(record: OpenedRecord) -> dict[str, JSON]:
    seen = record.visible
    said = seen.provenance
    return {
        "record": seen.commitment.hex(),
        "kind": seen.kind,
        "provider": said.publisher,
        "source": said.source,
        "business_date": said.as_of.isoformat(),
        "taken_in_on": beijing_day(said.published_at).isoformat() if said.published_at else None,
        "quality": seen.quality,
        "catalogue": said.catalogue_version,
    }


def _first(records: Sequence[OpenedRecord], items: Sequence[str]) -> str | None:
    """Give the first of some items that is filled in any record."""
    for item in items:
        kind, _, name = item.partition(".")
        for record in records:
            fields: Payload = record.fields
            if record.visible.kind == kind and fields.get(name):
                return str(fields[name])
    return None
