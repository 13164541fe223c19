"""What a lender is told: one canonical JSON value, the same again whenever it is built from the same query. Pure.

An answer is never stored. It is built from the query's own row and the record versions that the query names, so that
the same query opened again gives the same bytes and the same signature. What stands beside the data is said as of each
opening: an item that its subject disputes carries `disputed`, and the subject's own statement goes with it.

Every field of every record carries its source, reference date and quality with it; every item says how whole it is,
and every record which consistency rules found fault with it.
In modes verify and tags a record is named by its commitment, and nothing of it is told. What was not told is listed
in every mode, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

from exchange.reports import sections, tags
from exchange.reports.conditions import Moment
from exchange.reports.sections import Matter, Queried
from registry import profile
from registry.canonical import JSON, b64url, canonical, canonical_array, canonical_object
from registry.catalogue import Catalogue
from registry.clock import rfc3339
from registry.identifiers import SubjectKind
from registry.instants import beijing_day
from registry.profile import Claim
from registry.records import OpenedRecord
from registry.suites import sha256
from registry.verify import NO_VALUES

FORMAT = "qingqiao-answer/v1"
UNTOLD: Final = "mode-tells-no-values"
# docs/requirements.md R-02, R-47
NOTICE = "信息供参考，不是征信报告。 For information only; not a credit-bureau report."


@dataclass(frozen=True, slots=True)
class Noted:
    """What was known of the data's quality when a query was decided; kept with the query, so that it is said again.

    `flags` are the rules that found fault with a record version, and that this lender may be told of; `partial` are
    the kinds whose source is behind, each with its reason.
    """

    flags: Mapping[tuple[UUID, int], Sequence[str]]
    partial: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a subject says in his or her own words (本人声明), and since when."""

    text: str = field(repr=False)
    made_at: str


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the data at the moment of opening: items disputed, by record version, and the statement."""

    disputed: Mapping[tuple[UUID, int], Sequence[str]] = field(default_factory=dict)
    statement: Statement | None = None


NOTHING_BESIDE: Final = Beside()


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer in another mode than summary depends on besides its records; kept with the query.

    `tags` is the version of the tags, `staff` who at the lender asked (user, department), `consent_until` the instant
    at which the consent ends.
    """

    about: SubjectKind
    history_months: int
    tags: str
    staff: tuple[str, str] | None
    consent_until: str


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What was asked and permitted: the row of a query, without its answer.

    Of a query that was decided before quality was noted, `noted` is None, and nothing is said of it; so with `asked`.
    `queries` are the lender's own about the same subject before this one, for a report.
    """

    query_id: UUID
    client_id: str
    lender: str
    subject_id: UUID
    consent_id: str
    purpose: str
    business_no: str | None
    mode: str
    items: frozenset[str]
    claims: tuple[Claim, ...]
    request_sha256: bytes
    request_salt: bytes
    decided_at: datetime
    noted: Noted | None = None
    beside: Beside = NOTHING_BESIDE
    asked: Asked | None = None
    queries: tuple[Queried, ...] = ()


def request_digest(salt: bytes, body: bytes) -> bytes:
    """Digest a request so that its sender can recognise it and nobody can guess the identifier in it."""
    return sha256(b"qq-request\x00" + salt + body)


def build(
    query: QueryFacts, records: Sequence[OpenedRecord], catalogue: Catalogue, installation: Mapping[str, str | None]
) -> bytes:
    """Write the answer to a query from the records that were opened for it: canonical bytes, as signed and sent."""
    said: dict[str, JSON] = {
        "format": FORMAT,
        "installation": dict(installation),
        "notice": NOTICE,
        "query_id": str(query.query_id),
        "decided_at": rfc3339(query.decided_at),
        "lender": query.lender,
        "purpose": query.purpose,
        "business_no": query.business_no,
        "mode": query.mode,
        "consent_id": query.consent_id,
        "request": {"salt": b64url(query.request_salt), "sha256": query.request_sha256.hex()},
    }
    if query.mode == "verify":
        said["claims"] = [
            {"item": c.item, "relation": c.relation, "value": c.value, "holds": profile.holds(c, records, catalogue)}
            for c in query.claims
        ]
    elif query.mode not in {"tags", "report"}:
        said["summary"] = profile.summarise(records, catalogue, at=query.decided_at)
        said |= {} if query.beside.statement is None else {"statement": _statement(query.beside.statement)}
    written = {
        "items": _items(query, records, catalogue),
        "records": canonical_array(_record(record, query) for record in records),
    }
    if query.mode in {"tags", "report"}:
        said |= _computed(query, records, catalogue)
    elif query.mode != "verify" or query.asked is not None:  # of verify it was not said before there was `asked`
        written["withheld"] = _withheld(query.items, query.mode, catalogue)
    return canonical_object(said, written)


def _computed(query: QueryFacts, records: Sequence[OpenedRecord], catalogue: Catalogue) -> dict[str, JSON]:
    """Say what modes tags and report say beside items and records."""
    asked = query.asked
    if asked is None:
        raise TypeError("a query in mode tags or report says what it depends on")
    partial = query.noted.partial if query.noted else {}
    commitments = {(r.visible.ref.record_id, r.visible.ref.version): r.visible.commitment for r in records}
    found = tags.computed(
        asked.tags,
        query.items,
        records,
        catalogue,
        moment=Moment(beijing_day(query.decided_at), asked.history_months),
        partial=partial,
        disputed={commitments[ref]: items for ref, items in query.beside.disputed.items() if ref in commitments},
    )
    not_computed: list[JSON] = [{"tag": code, "reason": tags.WITHHELD} for code in found.withheld]
    told: dict[str, JSON] = {"tags_version": asked.tags, "withheld_tags": not_computed}
    if query.mode == "tags":
        return {"tags": list(found.tags), "withheld": _withheld_items(query.items, query.mode, catalogue), **told}
    statement = query.beside.statement
    matter = Matter(
        about=asked.about,
        at=query.decided_at,
        items=query.items,
        tags=found,
        flags=query.noted.flags if query.noted else {},
        disputed=query.beside.disputed,
        partial=partial,
        queries=query.queries,
        statement=None if statement is None else _statement(statement),
    )
    placed, withheld = sections.sections(matter, records, catalogue)
    head: dict[str, JSON] = {
        "number": str(query.query_id),
        "staff": None if asked.staff is None else {"user_id": asked.staff[0], "department": asked.staff[1]},
        "consent_until": asked.consent_until,
        "history_months": asked.history_months,
        **sections.head(matter, records, catalogue),
    }
    return {"report": head, "sections": placed, "withheld": withheld, **told}


def _statement(statement: Statement) -> dict[str, JSON]:
    return {"made_at": statement.made_at, "text": statement.text}


def _items(query: QueryFacts, records: Sequence[OpenedRecord], catalogue: Catalogue) -> bytes:
    members: dict[str, bytes] = {}
    disputed = {item for marked in query.beside.disputed.values() for item in marked}
    partial = query.noted.partial if query.noted else {}
    for label, items in profile.labels(query.items, records, catalogue, at=query.decided_at, partial=partial):
        members |= dict.fromkeys(items, canonical(label))
        if disputed:
            members |= dict.fromkeys(disputed.intersection(items), canonical({**label, "disputed": True}))
    return canonical_object({}, members)


def _record(record: OpenedRecord, query: QueryFacts) -> bytes:
    seen = record.visible
    if query.mode in NO_VALUES:  # a remark, a period or a flag would tell more than yes or no
        return canonical({"commitment": seen.commitment.hex()})
    said: dict[str, JSON] = {
        **record.header,
        "commitment": seen.commitment.hex(),
        "remark": seen.remark,
        "fields": dict(record.fields),
    }
    marked = query.beside.disputed.get((seen.ref.record_id, seen.ref.version))
    if marked:
        said["disputed"] = sorted(marked)
    if query.noted is not None:
        said["flags"] = list(query.noted.flags.get((seen.ref.record_id, seen.ref.version), ()))
    return canonical(said)


@lru_cache(maxsize=1024)  # follows from the question and the catalogue alone
def _withheld(items: frozenset[str], mode: str, catalogue: Catalogue) -> bytes:
    return canonical(_withheld_items(items, mode, catalogue))


def _withheld_items(items: frozenset[str], mode: str, catalogue: Catalogue) -> list[JSON]:
    """List what is not told: items of the same kinds that were not permitted, and all values in a mode without any."""
    offered = frozenset[str]().union(*(catalogue.kinds[kind].items for kind in profile.names_by_kind(items)))
    untold: list[JSON] = [{"item": item, "reason": tags.WITHHELD} for item in sorted(offered - items)]
    if mode in NO_VALUES:
        untold += [{"item": item, "reason": UNTOLD} for item in sorted(items)]
    return untold
