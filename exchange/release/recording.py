"""Step 3: find what will be opened, write the query, count the use, append the outcome to the log."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from consent import uses
from consent.decision import Reason
from consent.scope import Mode
from exchange import answer, sources
from exchange.answer import Asked, QueryFacts
from exchange.consistency import declared
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.guard import Caller
from exchange.release import earlier, marking
from exchange.release.cases import (
    Ask,
    AskAgain,
    Case,
    Refused,
    claims_digest,
    idempotency,
    noted_of,
    request_salt,
    sealed_claims,
)
from exchange.reports import tags
from registry import log, profile, store
from registry.clock import rfc3339
from registry.database import Transaction
from registry.records import RecordRef, VisibleRecord
from registry.verify import NO_VALUES


def record(home: Home, tx: Transaction, cases: Sequence[Case], now: datetime) -> None:
    """Write what was decided: queries, uses and log entries, one statement each for all cases."""
    permitted = [case for case in cases if case.permit is not None and case.open and not case.conflict]
    _find_records(tx, permitted, now)
    fresh = [case for case in permitted if case.facts is None]
    _insert_queries(home, tx, fresh, now)
    marking.note_again(tx, permitted)
    earlier.note(tx, permitted)
    uses.count(tx, Counter(case.permit.consent_id for case in fresh if case.permit and not case.conflict), now)
    entries = []
    for case in cases:
        if case.conflict or case.caller is None:
            continue
        if isinstance(case.outcome, Refused):
            entries.append(_refusal_entry(case, case.caller, case.outcome, now))
        elif case.facts is not None and case.permit is not None:
            entries.append(_permit_entry(case, case.caller, case.facts, now))
    log.append(tx, entries)


def _find_records(tx: Transaction, cases: Sequence[Case], now: datetime) -> None:
    """Find, still sealed, the standing versions within each permit's history, or the versions of an earlier answer."""
    refs = [ref for case in cases for ref in case.versions or ()]
    again = {record.ref: record for record in store.versions(tx, refs)} if refs else {}
    wanted = {
        (case.subject_id, kind)
        for case in cases
        if case.versions is None and case.permit and case.subject_id
        for kind in profile.names_by_kind(case.permit.items)
    }
    by_subject: dict[UUID, list[VisibleRecord]] = {}
    for record in store.visible(tx, wanted) if wanted else ():
        by_subject.setdefault(record.ref.subject_id, []).append(record)
    for case in cases:
        if case.versions is not None:
            case.records = [again[ref] for ref in case.versions if ref in again]
            reason = _not_again(case, case.versions, case.records)
            if reason is not None:
                case.outcome = Refused(case.facts.query_id if case.facts else uuid4(), reason)
        elif case.permit and case.subject_id:
            kinds, months = profile.names_by_kind(case.permit.items), case.permit.history_months
            held = [record for record in by_subject.get(case.subject_id, ()) if record.kind in kinds]
            begins = profile.history_begins(months, at=now)
            case.records = [one for one in held if one.valid_from is None or one.valid_from >= begins]
            case.beyond = frozenset(one.kind for one in held if one.valid_from is not None and one.valid_from < begins)


def _not_again(case: Case, wanted: Sequence[RecordRef], found: Sequence[VisibleRecord]) -> Reason | None:
    """Say why an earlier answer is not given again: what it showed is frozen, or its agency has recalled it.

    For its evidence what was recalled is opened once more: what was answered before stays provable. A subscription that
    is repeated by its key showed nothing, and stands.
    """
    if case.facts is not None and case.facts.mode == Mode.MONITOR.value:
        return None
    if len(found) != len(wanted) or any(record.frozen for record in found):
        return Reason.WITHDRAWN
    proving = isinstance(case.ask, AskAgain) and case.ask.form == "evidence"
    return Reason.RECALLED if not proving and any(record.recalled for record in found) else None


def _insert_queries(home: Home, tx: Transaction, cases: Sequence[Case], now: datetime) -> None:
    """Write the queries' rows; whoever loses the race for an Idempotency-Key is marked and counted nowhere.

    The same statement notes in each row which findings stand against its records and may be told, so that the answer
    says the same whenever it is opened again; and which of its items are disputed, which is said as of each opening.
    """
    if not cases:
        return
    rows = []
    keys = _claim_keys(home, cases, now)
    for case in cases:
        ask, caller, permit = case.ask, case.caller, case.permit
        if not isinstance(ask, Ask) or caller is None or permit is None or case.subject_id is None:
            raise TypeError("only a permitted question becomes a query")
        query_id = uuid4()
        salt = request_salt(home, query_id)
        case.facts = QueryFacts(
            query_id=query_id,
            client_id=caller.client_id,
            lender=caller.org_code,
            subject_id=case.subject_id,
            consent_id=permit.consent_id,
            purpose=ask.purpose,
            business_no=ask.business_no,
            mode=permit.mode.value,
            items=permit.items,
            claims=ask.claims,
            request_sha256=answer.request_digest(salt, ask.body),
            request_salt=salt,
            decided_at=now,
            asked=_asked(case, ask) if permit.mode is not Mode.SUMMARY else None,
        )
        key = idempotency(case)[1] if ask.idempotency_key is not None else None
        claims = sealed_claims(keys[case.subject_id], query_id, ask.claims) if ask.claims else None
        rows.append((case.facts, key, case.records or (), claims, case.beyond))
    behind = sources.partial_kinds(tx, now)
    given = orjson.dumps([_row(*row, behind) for row in rows]).decode()
    inserted = {row[0]: row[1:] for row in tx.execute(_INSERT_QUERIES, (given,)).fetchall()}
    for case in cases:
        if case.facts is None or case.facts.query_id not in inserted:
            case.conflict = True
        else:
            written, statement = inserted[case.facts.query_id]
            marking.note(case, written["disputed"], statement, noted=noted_of(written))


def _asked(case: Case, ask: Ask) -> Asked:
    """Say how a question was asked, for the modes whose answer depends on it."""
    if case.permit is None or case.rests_on is None or case.subject_kind is None:
        raise TypeError("a permit rests on a consent that was read")
    return Asked(
        about=case.subject_kind,
        history_months=case.permit.history_months,
        tags=tags.CURRENT,
        staff=ask.staff,
        consent_until=rfc3339(case.rests_on.grant.scope.valid_until),
    )


def _claim_keys(home: Home, cases: Sequence[Case], now: datetime) -> dict[UUID, bytes]:
    """Give the data keys under which claims are sealed, made where a subject has none yet."""
    about = {case.subject_id for case in cases if isinstance(case.ask, Ask) and case.ask.claims and case.subject_id}
    return home.datakeys.ensure(about, now=now) if about else {}


_INSERT_QUERIES = (  # in the order of their keys, so that two processes cannot wait for each other in a ring
    "INSERT INTO query AS q (query_id, client_id, organisation, idempotency_digest, request_sha256, subject_id,"  # noqa: S608  # fixed texts
    " consent_id, purpose, business_no, mode, items, records, claims, decided_at)"
    " SELECT query_id, client_id, organisation, decode(idempotency_digest, 'hex'), decode(request_sha256, 'hex'),"
    " subject_id, consent_id, purpose, business_no, mode, items,"
    " records || jsonb_build_object('flags', (SELECT coalesce(jsonb_agg(jsonb_build_array(f.record_id, f.version,"
    " f.rule) ORDER BY f.rule, f.record_id), '[]') FROM finding f WHERE f.subject_id = given.subject_id"
    " AND f.cleared_at IS NULL AND given.rules ? f.rule"
    " AND given.records -> 'versions' @> jsonb_build_array(jsonb_build_array(f.record_id, f.version))),"
    f" 'disputed', ({marking.MARKS_OF_GIVEN}),"
    " 'statement', (SELECT s.statement_id FROM subject_statement s"
    " WHERE s.subject_id = given.subject_id AND s.ended_at IS NULL)),"
    " decode(claims, 'hex'), decided_at"
    " FROM json_to_recordset(%b::text::json) AS given(query_id uuid, client_id text, organisation text,"
    " idempotency_digest text, request_sha256 text, subject_id uuid, consent_id text, purpose text, business_no text,"
    " mode text, items jsonb, records jsonb, rules jsonb, claims text, decided_at timestamptz)"
    " ORDER BY client_id, idempotency_digest"
    " ON CONFLICT (client_id, idempotency_digest) DO NOTHING"
    f" RETURNING q.query_id, q.records, ({marking.STATEMENT_OF_ROW})"
)


def _row(
    facts: QueryFacts,
    key: bytes | None,
    records: Sequence[VisibleRecord],
    claims: bytes | None,
    beyond: frozenset[str],
    behind: Mapping[str, str],
) -> dict[str, object]:
    kinds = profile.names_by_kind(facts.items)
    return {
        "query_id": facts.query_id,
        "client_id": facts.client_id,
        "organisation": facts.lender,
        "idempotency_digest": None if key is None else key.hex(),
        "request_sha256": facts.request_sha256.hex(),
        "subject_id": facts.subject_id,
        "consent_id": facts.consent_id,
        "purpose": facts.purpose,
        "business_no": facts.business_no,
        "mode": facts.mode,
        "items": sorted(facts.items),
        "records": {
            "versions": [(r.ref.record_id, r.ref.version) for r in records],
            "partial": {kind: reason for kind, reason in behind.items() if kind in kinds},
            **({} if facts.asked is None else {"asked": asdict(facts.asked)}),
        },
        "rules": declared.told_with(facts.items, beyond) if facts.mode not in NO_VALUES else (),
        "claims": None if claims is None else claims.hex(),
        "decided_at": facts.decided_at,
    }


def _permit_entry(case: Case, caller: Caller, facts: QueryFacts, now: datetime) -> log.Entry:
    if case.permit is None or case.rests_on is None:
        raise TypeError("a permit rests on a consent that was read")
    again = case.versions is not None
    access: dict[str, Any] = {
        "business_no": facts.business_no,
        "claims_sha256": claims_digest(facts.request_salt, facts.claims),
        "consent_id": facts.consent_id,
        "history_months": case.permit.history_months,
        "items": sorted(facts.items),
        "lender": facts.lender,
        "mode": facts.mode,
        "purpose": facts.purpose,
        "query_id": str(facts.query_id),
        "receipt_sha256": case.rests_on.receipt_sha256,
        "request_sha256": facts.request_sha256.hex(),
        "staff": _staff(case.ask),
        "w_acknowledged": case.rests_on.grant.scope.w_acknowledged,
    }
    if isinstance(case.ask, AskAgain):
        access["form"] = case.ask.form
    access |= _line(case.ask)
    return log.Entry(
        event=Event.REOPENED if again else Event.PERMITTED,
        at=now,
        actor=caller.client_id,
        fields={
            "access": access,
            "consent_entry": str(case.rests_on.receipt_entry),
            "records": [record.commitment.hex() for record in case.records or ()],
        },
        subject_id=facts.subject_id,
        consent_id=facts.consent_id,
        query_id=facts.query_id,
    )


def _refusal_entry(case: Case, caller: Caller, refused: Refused, now: datetime) -> log.Entry:
    ask = case.ask
    asked: dict[str, Any] = {
        "lender": caller.org_code,
        "query_id": str(refused.query_id),
        "reason": refused.reason.value,
    }
    if isinstance(ask, Ask):
        asked |= {
            "business_no": ask.business_no,
            "items": sorted(ask.items) if ask.items is not None else None,
            "mode": ask.mode.value,
            "purpose": ask.purpose,
            "staff": _staff(ask),
        }
    return log.Entry(
        event=Event.REFUSED,
        at=now,
        actor=caller.client_id,
        fields={"access": asked | _line(ask)},
        subject_id=case.subject_id,
        query_id=refused.query_id,
    )


def _line(ask: Ask | AskAgain) -> dict[str, str | int]:
    return {} if ask.line is None else {"batch_id": str(ask.line.batch_id), "line": ask.line.number}


def _staff(ask: Ask | AskAgain) -> list[str] | None:
    return list(ask.staff) if ask.staff else None
