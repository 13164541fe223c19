"""The gate: the only module through which a subject's data leaves the exchange.

Steps (the numbers are used in the code, the tests and docs/architecture.md):
  1. open one transaction
  2. decide, from the subject's consents for this lender, read and locked inside the transaction, as of `now`
  3. write the outcome, permit or refusal, to the log, and count the use
  4. open exactly the permitted items
  5. commit; only then sign and hand the answer to the caller

Step 5 comes last so that no bytes leave before their log entry is durable.

Requests that arrive together share one transaction and one statement a step; one that fails is tried again by
itself, so that it fails alone. Uses are summed per consent and admitted up to what is left. A query that was answered
before is opened again under the same consent, from the same record versions, without a second use: no answer is stored.

An unknown subject and a subject without consent take the same way through all steps: nobody outside can tell them
apart, in code, body or time.

Not here: credentials (`exchange.oauth`, though they are admitted in step 1), transport (`lender_api`), what an answer
looks like (`answer`), proofs (`evidence`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from consent import ledger, purposes
from consent.decision import Permit, Reason, Refusal, Request, decide, reopen, screen
from consent.grant import Grant
from consent.scope import Mode
from exchange import answer
from exchange.answer import QueryFacts
from exchange.errors import CredentialsRefused, ExchangeError, RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.guard import Caller, Presented, admit
from registry import catalogue, clock, disclosure, jws, log, profile, store
from registry.database import Transaction
from registry.errors import RegistryError
from registry.identifiers import Identifier, SubjectKind
from registry.keyring import Purpose
from registry.profile import Claim
from registry.records import NOBODY, OpenedRecord, RecordRef, VisibleRecord
from registry.suites import constant_time_equal, hmac_sha256, sha256
from registry.verify import ANSWER_TYPE

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """A lender's question. `items` None asks for all that the consent covers; `body` is the canonical request.

    `presented` is a `Caller` where the gate, or another door, has admitted the caller already.
    """

    presented: Presented | Caller
    identifier: Identifier
    purpose: str
    mode: Mode
    items: frozenset[str] | None
    body: bytes
    claims: tuple[Claim, ...] = ()
    business_no: str | None = None
    staff: tuple[str, str] | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The same lender wants the answer to a query that it was given before."""

    presented: Presented | Caller
    query_id: UUID


@dataclass(frozen=True, slots=True)
class Permitted:
    """An answer, committed and signed: canonical bytes and a detached JWS over them."""

    query_id: UUID
    body: bytes
    signature: str
    opened: tuple[OpenedRecord, ...]
    facts: QueryFacts


@dataclass(frozen=True, slots=True)
class Refused:
    """No leave, and why; `query_id` is what the refusal is called in the log."""

    query_id: UUID
    reason: Reason


Outcome = Permitted | Refused | ExchangeError | RegistryError


@dataclass(slots=True)
class _Case:
    """One request on its way through the steps."""

    ask: Ask | AskAgain
    caller: Caller | None = None
    subject_id: UUID | None = None
    subject_kind: SubjectKind | None = None
    facts: QueryFacts | None = None
    versions: list[RecordRef] | None = None
    records: list[VisibleRecord] | None = None
    opened: list[OpenedRecord] | None = None
    permit: Permit | None = None
    receipt_sha256: str = ""
    outcome: Outcome | None = None
    conflict: bool = False

    @property
    def open(self) -> bool:
        """Not yet refused."""
        return self.outcome is None


def release(home: Home, asks: Sequence[Ask | AskAgain], *, at_step: Callable[[int], None] = lambda _: None) -> list[Outcome]:
    """Answer requests, or refuse them; each outcome stands at the place of its request, and each is in the log.

    Args:
        home: the installation.
        asks: requests whose credentials have been checked (`oauth.guard.verify_presented`), not yet admitted.
        at_step: called with the number of each step before it; tests break in there.

    Raises:
        DatabaseUnavailable, psycopg.Error: an entry could not be written. Nothing was released; answer 503.
    """
    try:
        cases = _released(home, asks, at_step)
    except (RegistryError, KeyError, ValueError) as error:
        if len(asks) > 1:  # one of them is to blame: each by itself
            return [outcome for ask in asks for outcome in release(home, [ask], at_step=at_step)]
        if isinstance(error, RegistryError):
            return [error]
        raise
    outcomes: list[Outcome] = []
    for case in cases:
        if case.conflict:  # another process answered the same Idempotency-Key first: its query is opened again
            outcomes += _after_conflict(home, case, at_step)
        else:
            outcomes.append(_signed(home, case) if case.outcome is None else case.outcome)
    return outcomes


def _released(home: Home, asks: Sequence[Ask | AskAgain], at_step: Callable[[int], None]) -> list[_Case]:
    cases = [_Case(ask) for ask in asks]
    at_step(1)
    with home.database.transaction() as tx:  # 1, 5
        _admit(tx, cases)
        _find(home, tx, cases)
        at_step(2)
        now = _decide(tx, cases)  # 2
        at_step(3)
        _record(home, tx, cases, now)  # 3
        at_step(4)
        _open(home, cases)  # 4
        at_step(5)
    return cases


# ---- 1: who asks, about whom ----------------------------------------------------------------------------------------


def _admit(tx: Transaction, cases: Sequence[_Case]) -> None:
    arriving: list[tuple[_Case, Presented]] = []
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


def _find(home: Home, tx: Transaction, cases: Sequence[_Case]) -> None:
    """Find subjects by keyed hash, and the queries that were answered before."""
    new = [(case, case.ask) for case in cases if case.open and isinstance(case.ask, Ask)]
    found = store.lookup(tx, home.keyring, [ask.identifier for _, ask in new]) if new else {}
    for case, ask in new:
        case.subject_id, case.subject_kind = found.get(ask.identifier.text), ask.identifier.kind
    keyed = {_idempotency(case): case for case, ask in new if ask.idempotency_key is not None}
    again = {case.ask.query_id: case for case in cases if case.open and isinstance(case.ask, AskAgain)}
    if not keyed and not again:
        return
    rows = tx.execute(
        _EARLIER, ([key[0] for key in keyed], [key[1] for key in keyed], list(again))
    ).fetchall()
    for row in rows:
        for case in (keyed.get((row[1], row[2])), again.get(row[0])):
            if case is not None and case.caller is not None and case.caller.client_id == row[1]:
                _take_up(home, case, row)
    for case in again.values():
        if case.facts is None:
            case.outcome = RequestRefused("query-unknown")


_EARLIER = (
    "SELECT q.query_id, q.client_id, q.idempotency_digest, q.organisation, q.subject_id, s.kind, q.consent_id, q.purpose,"
    " q.business_no, q.mode, q.items, q.records, q.request_sha256, q.decided_at"
    " FROM query q JOIN subject s USING (subject_id)"
    " WHERE (q.client_id, q.idempotency_digest) IN (SELECT * FROM unnest(%s::text[], %s::bytea[]))"
    " OR q.query_id = ANY(%s)"
)


def _take_up(home: Home, case: _Case, row: Sequence[Any]) -> None:
    salt = _request_salt(home, row[0])
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
        claims=tuple(Claim(*claim) for claim in row[11]["claims"]),
        request_sha256=row[12],
        request_salt=salt,
        decided_at=row[13],
    )


def _idempotency(case: _Case) -> tuple[str, bytes]:
    ask, caller = case.ask, case.caller
    if not isinstance(ask, Ask) or caller is None:
        raise TypeError("only an admitted question has an Idempotency-Key")
    return caller.client_id, sha256((ask.idempotency_key or "").encode())


def _request_salt(home: Home, query_id: UUID) -> bytes:
    return hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"request|" + query_id.bytes)[:_SALT_BYTES]


# ---- 2: may it be released? -----------------------------------------------------------------------------------------


def _decide(tx: Transaction, cases: Sequence[_Case]) -> datetime:
    standing = [case for case in cases if case.open and case.caller is not None]
    # an unknown subject is looked for like any other, under an id that nobody has
    pairs = {(case.subject_id or NOBODY, case.caller.org_code) for case in standing if case.caller}
    subjects, lenders = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    grants: dict[tuple[UUID, str], list[Grant]] = {}
    receipts: dict[str, str] = {}
    for stored in ledger.lock(tx, subjects, lenders):
        receipts[stored.grant.consent_id] = stored.receipt_sha256
        grants.setdefault((stored.subject_id, stored.grant.scope.recipient), []).append(stored.grant)
    now = clock.now()  # after the locks are held: a withdrawal that committed before this instant has been read
    taken: Counter[str] = Counter()
    answered: set[tuple[str, bytes]] = set()
    for case in standing:
        if case.caller is None:
            continue
        mine = grants.get((case.subject_id, case.caller.org_code), []) if case.subject_id else []
        if isinstance(case.ask, Ask) and case.facts is None and case.ask.idempotency_key is not None:
            if _idempotency(case) in answered:
                case.conflict = True
                continue
            answered.add(_idempotency(case))
        outcome = _decide_one(case, case.caller, mine, now, taken)
        if isinstance(outcome, Permit):
            case.permit, case.receipt_sha256 = outcome, receipts[outcome.consent_id]
            taken[outcome.consent_id] += case.facts is None
        else:
            case.outcome = Refused(case.facts.query_id if case.facts else uuid4(), outcome.reason)
    return now


def _decide_one(
    case: _Case, caller: Caller, grants: Sequence[Grant], now: datetime, taken: Mapping[str, int]
) -> Permit | Refusal:
    if case.facts is not None:
        facts = case.facts
        request = _request(case, caller.org_code, facts.purpose, Mode(facts.mode), facts.items, facts.business_no)
        return reopen(request, facts.consent_id, grants, now=now)
    ask = case.ask
    if not isinstance(ask, Ask):
        raise TypeError("a query that was not found has been refused before")
    purpose = purposes.current().get(ask.purpose)
    first: Refusal | None = None
    for items in _wanted(ask, caller.org_code, grants):
        request = _request(case, caller.org_code, ask.purpose, ask.mode, items, ask.business_no)
        outcome = screen(request, purpose) or decide(request, grants, now=now, taken=taken)
        if isinstance(outcome, Permit):
            return outcome
        first = first or outcome
    return first or Refusal(Reason.NO_CONSENT)


def _wanted(ask: Ask, lender: str, grants: Sequence[Grant]) -> list[frozenset[str]]:
    """The items to try: those asked for, or else what each consent for this purpose covers, the widest first.

    Without a consent the widest possible request is tried, so that a missing consent and an unknown subject
    are refused alike.
    """
    if ask.items is not None:
        return [ask.items]
    held = {g.scope.items for g in grants if (g.scope.recipient, g.scope.purpose) == (lender, ask.purpose)}
    if not held:
        purpose = purposes.current().get(ask.purpose)
        return [catalogue.current().expand(purpose.kinds)] if purpose else [frozenset({ask.purpose})]
    return sorted(held, key=lambda items: (-len(items), sorted(items)))


def _request(  # noqa: PLR0913  # the parts of a request
    case: _Case, lender: str, purpose: str, mode: Mode, items: frozenset[str], business_no: str | None
) -> Request:
    about_person = case.subject_kind is not SubjectKind.ORGANISATION
    w_items = items & catalogue.current().w_items if about_person else frozenset[str]()
    return Request(lender, purpose, items, mode, w_items, business_no=business_no)


# ---- 3: the log, the count ------------------------------------------------------------------------------------------


def _record(home: Home, tx: Transaction, cases: Sequence[_Case], now: datetime) -> None:
    permitted = [case for case in cases if case.permit is not None and case.open and not case.conflict]
    _find_records(tx, permitted, now)
    fresh = [case for case in permitted if case.facts is None]
    _insert_queries(home, tx, fresh, now)
    ledger.count_uses(tx, Counter(case.permit.consent_id for case in fresh if case.permit and not case.conflict))
    entries = []
    for case in cases:
        if case.conflict or case.caller is None:
            continue
        if isinstance(case.outcome, Refused):
            entries.append(_refusal_entry(case, case.caller, case.outcome, now))
        elif case.facts is not None and case.permit is not None:
            entries.append(_permit_entry(case, case.caller, case.facts, now))
    log.append(tx, entries)


def _find_records(tx: Transaction, cases: Sequence[_Case], now: datetime) -> None:
    """Find, still sealed, the standing versions within each permit's history, or the versions of an earlier answer."""
    refs = [ref for case in cases for ref in case.versions or ()]
    again = {record.ref: record for record in store.versions(tx, refs)} if refs else {}
    wanted = {
        (case.subject_id, kind)
        for case in cases
        if case.versions is None and case.permit and case.subject_id
        for kind in _kinds(case.permit.items)
    }
    by_subject: dict[UUID, list[VisibleRecord]] = {}
    for record in store.visible(tx, wanted) if wanted else ():
        by_subject.setdefault(record.ref.subject_id, []).append(record)
    for case in cases:
        if case.versions is not None:
            case.records = [again[ref] for ref in case.versions if ref in again]
            if len(case.records) != len(case.versions) or any(record.frozen for record in case.records):
                case.outcome = Refused(case.facts.query_id if case.facts else uuid4(), Reason.WITHDRAWN)
        elif case.permit and case.subject_id:
            kinds, months = _kinds(case.permit.items), case.permit.history_months
            case.records = [
                record
                for record in by_subject.get(case.subject_id, ())
                if record.kind in kinds and profile.within_history(record.valid_from, months, at=now)
            ]


def _kinds(items: frozenset[str]) -> frozenset[str]:
    return frozenset(item.partition(".")[0] for item in items)


def _insert_queries(home: Home, tx: Transaction, cases: Sequence[_Case], now: datetime) -> None:
    """Write the queries' rows; whoever loses the race for an Idempotency-Key is marked and counted nowhere."""
    if not cases:
        return
    rows = []
    for case in cases:
        ask, caller, permit = case.ask, case.caller, case.permit
        if not isinstance(ask, Ask) or caller is None or permit is None or case.subject_id is None:
            raise TypeError("only a permitted question becomes a query")
        query_id = uuid4()
        salt = _request_salt(home, query_id)
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
        )
        key = _idempotency(case)[1] if ask.idempotency_key is not None else None
        rows.append((case.facts, key, case.records or ()))
    kept = tx.cursor()
    kept.executemany(_INSERT_QUERY, [_query_row(*row) for row in rows], returning=True)
    inserted = set()
    while True:
        inserted |= {row[0] for row in kept.fetchall()}
        if not kept.nextset():
            break
    for case in cases:
        if case.facts is not None and case.facts.query_id not in inserted:
            case.conflict = True


_INSERT_QUERY = (
    "INSERT INTO query (query_id, client_id, organisation, idempotency_digest, request_sha256, subject_id, consent_id,"
    " purpose, business_no, mode, items, records, decided_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (client_id, idempotency_digest) DO NOTHING RETURNING query_id"
)


def _query_row(facts: QueryFacts, key: bytes | None, records: Sequence[VisibleRecord]) -> tuple[object, ...]:
    return (
        facts.query_id,
        facts.client_id,
        facts.lender,
        key,
        facts.request_sha256,
        facts.subject_id,
        facts.consent_id,
        facts.purpose,
        facts.business_no,
        facts.mode,
        sorted(facts.items),
        Jsonb(
            {
                "versions": [[str(r.ref.record_id), r.ref.version] for r in records],
                "claims": [[c.item, c.relation, c.value] for c in facts.claims],
            }
        ),
        facts.decided_at,
    )


def _permit_entry(case: _Case, caller: Caller, facts: QueryFacts, now: datetime) -> log.Entry:
    again = case.versions is not None
    access = {
        "business_no": facts.business_no,
        "consent_id": facts.consent_id,
        "items": sorted(facts.items),
        "lender": facts.lender,
        "mode": facts.mode,
        "purpose": facts.purpose,
        "query_id": str(facts.query_id),
        "receipt_sha256": case.receipt_sha256,
        "request_sha256": facts.request_sha256.hex(),
        "staff": _staff(case.ask),
    }
    return log.Entry(
        event=Event.REOPENED if again else Event.PERMITTED,
        at=now,
        actor=caller.client_id,
        fields={"access": access, "records": [record.commitment.hex() for record in case.records or ()]},
        subject_id=facts.subject_id,
        consent_id=facts.consent_id,
        query_id=facts.query_id,
    )


def _refusal_entry(case: _Case, caller: Caller, refused: Refused, now: datetime) -> log.Entry:
    ask = case.ask
    asked: dict[str, Any] = {"lender": caller.org_code, "query_id": str(refused.query_id), "reason": refused.reason.value}
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
        fields={"access": asked},
        subject_id=case.subject_id,
        query_id=refused.query_id,
    )


def _staff(ask: Ask | AskAgain) -> list[str] | None:
    return list(ask.staff) if isinstance(ask, Ask) and ask.staff else None


# ---- 4 and 5: open, sign --------------------------------------------------------------------------------------------


def _open(home: Home, cases: Sequence[_Case]) -> None:
    wanted: list[tuple[VisibleRecord, frozenset[str]]] = []
    owners: list[_Case] = []
    for case in cases:
        if case.open and case.permit is not None and not case.conflict:
            case.opened = []
            for record in case.records or ():
                prefix = f"{record.kind}."
                names = frozenset(i.removeprefix(prefix) for i in case.permit.items if i.startswith(prefix))
                wanted.append((record, names))
                owners.append(case)
    for case, opened in zip(owners, disclosure.open_records(home.datakeys, wanted), strict=True):
        if case.opened is not None:
            case.opened.append(opened)


def _signed(home: Home, case: _Case) -> Outcome:
    if case.facts is None or case.opened is None:
        raise TypeError("a case without outcome has been permitted and opened")
    said = answer.build(case.facts, case.opened, catalogue.current(), home.installation_label)
    body = answer.bytes_of(said)
    key = home.keyring.signing(Purpose.ANSWER)
    signature = jws.sign_detached(key, key.key_id, body, ANSWER_TYPE)
    return Permitted(case.facts.query_id, body, signature, tuple(case.opened), case.facts)


def _after_conflict(home: Home, case: _Case, at_step: Callable[[int], None]) -> list[Outcome]:
    """Open the query that the same Idempotency-Key made first; the caller was admitted and committed already."""
    if case.caller is None:
        raise TypeError("a conflict is between admitted callers")
    return release(home, [replace(case.ask, presented=case.caller)], at_step=at_step)


def response_bytes(permitted: Permitted) -> bytes:
    """Write the body of a 200: the answer's canonical bytes as they were signed, and the signature."""
    return b'{"answer":' + permitted.body + b',"signature":"' + permitted.signature.encode() + b'"}'


