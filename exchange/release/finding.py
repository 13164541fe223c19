"""Step 1: who asks, about whom, and was it asked before."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from uuid import UUID

from consent.scope import Mode
from exchange import answer
from exchange.answer import QueryFacts
from exchange.errors import CredentialsRefused, RequestRefused
from exchange.home import Home
from exchange.oauth.guard import Caller, Presented, admit
from exchange.release.cases import Ask, AskAgain, Case, asked_of, idempotency, noted_of, opened_claims, request_salt
from registry import store
from registry.database import Transaction
from registry.identifiers import SubjectKind
from registry.records import RecordRef
from registry.suites import constant_time_equal


def admit_all(tx: Transaction, cases: Sequence[Case]) -> None:
    """Admit callers: their proofs are used up, their clients active, their tokens not taken back."""
    arriving: list[tuple[Case, Presented]] = []
    for case in cases:
        if isinstance(case.ask.presented, Caller):
            case.caller = case.ask.presented
        else:
            arriving.append((case, case.ask.presented))
    if arriving:
        for (case, _), admitted in zip(arriving, admit(tx, [one for _, one in arriving]), strict=True):
            if isinstance(admitted, CredentialsRefused):
                case.outcome = admitted
            else:
                case.caller = admitted


def find(home: Home, tx: Transaction, cases: Sequence[Case]) -> None:
    """Find subjects by keyed hash, and the queries that were answered before."""
    new = [(case, case.ask.identifier) for case in cases if case.open and isinstance(case.ask, Ask)]
    found = store.lookup(tx, home.keyring, [one for _, one in new if one is not None]) if new else {}
    for case, identifier in new:
        if identifier is None:
            _find_giver(tx, case)
        else:
            case.subject_id, case.subject_kind = found.get(identifier.text), identifier.kind
    keyed, again = _asked_before(cases)
    if not keyed and not again:
        return
    rows = tx.execute(_EARLIER, ([key[0] for key in keyed], [key[1] for key in keyed], list(again))).fetchall()
    found_again: list[tuple[Case, Sequence[Any]]] = []
    for row in rows:
        for earlier in (*keyed.get((row[1], row[2]), ()), *again.get(row[0], ())):
            if earlier.caller is not None and earlier.caller.client_id == row[1] and not _unopenable(earlier, row):
                _take_up(home, earlier, row)
                found_again.append((earlier, row))
    _open_claims(home, [(case, row[14]) for case, row in found_again if case.facts is not None and row[14]])
    for case in chain.from_iterable(again.values()):
        if case.facts is None:
            case.outcome = RequestRefused("query-unknown")


def _find_giver(tx: Transaction, case: Case) -> None:
    """Find who gave the caller's organisation the consent that it names; nobody, if it gave none of that id."""
    row = tx.execute(
        "SELECT c.subject_id, s.kind FROM consent c JOIN subject s USING (subject_id)"
        " WHERE c.consent_id = %s AND c.recipient = %s",
        (case.caller and case.caller.consent_id, case.caller and case.caller.org_code),
    ).fetchone()
    if row is not None:
        case.subject_id, case.subject_kind = row[0], SubjectKind(row[1])


def _unopenable(case: Case, row: Sequence[Any]) -> bool:
    """Say whether an answer is asked for again that there never was: a subscription is a permit without one."""
    return isinstance(case.ask, AskAgain) and row[9] == Mode.MONITOR


def _asked_before(cases: Sequence[Case]) -> tuple[dict[tuple[str, bytes], list[Case]], dict[UUID, list[Case]]]:
    """Sort cases that may name an earlier query, by Idempotency-Key and by query; the same may come twice at once."""
    keyed: dict[tuple[str, bytes], list[Case]] = defaultdict(list)
    again: dict[UUID, list[Case]] = defaultdict(list)
    for case in cases:
        ask = case.ask
        if case.open and isinstance(ask, AskAgain):
            again[ask.query_id].append(case)
        elif case.open and isinstance(ask, Ask) and ask.idempotency_key is not None:
            keyed[idempotency(case)].append(case)
    return keyed, again


_EARLIER = (
    "SELECT q.query_id, q.client_id, q.idempotency_digest, q.organisation, q.subject_id, s.kind, q.consent_id,"
    " q.purpose, q.business_no, q.mode, q.items, q.records, q.request_sha256, q.decided_at,"
    " q.claims"
    " FROM query q JOIN subject s USING (subject_id)"
    " WHERE (q.client_id, q.idempotency_digest) IN (SELECT * FROM unnest(%s::text[], %s::bytea[]))"
    " OR q.query_id = ANY(%s)"
)


def _take_up(home: Home, case: Case, row: Sequence[Any]) -> None:
    salt = request_salt(home, row[0])
    if isinstance(case.ask, Ask) and not constant_time_equal(answer.request_digest(salt, case.ask.body), row[12]):
        case.outcome = RequestRefused("idempotency-key-reused")
        return
    case.subject_id, case.subject_kind = row[4], SubjectKind(row[5])
    case.versions = [RecordRef(row[4], UUID(record_id), version) for record_id, version in row[11]["versions"]]
    case.facts = QueryFacts(
        query_id=row[0],
        client_id=row[1],
        lender=row[3],
        subject_id=row[4],
        consent_id=row[6],
        purpose=row[7],
        business_no=row[8],
        mode=row[9],
        items=frozenset(row[10]),
        claims=(),
        request_sha256=row[12],
        request_salt=salt,
        decided_at=row[13],
        noted=noted_of(row[11]),
        asked=asked_of(row[11]),
    )


def _open_claims(home: Home, found: Sequence[tuple[Case, bytes]]) -> None:
    """Open what was claimed; it lies sealed, for a claim that held tells a value."""
    keys = home.datakeys.get([case.subject_id for case, _ in found if case.subject_id is not None]) if found else {}
    for case, sealed in found:
        if case.facts is not None:
            facts = case.facts
            case.facts = replace(facts, claims=opened_claims(keys[facts.subject_id], facts.query_id, sealed))
