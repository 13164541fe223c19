"""A lender's account in a sandbox, and people who stand for one outcome each (`sandbox/outcomes.yml`).

Steps, each of which changes nothing where it has been done already:
  1. the lender's system is registered, with its private key and the trust policy in files of `<home>/sandbox/`
  2. of each person: records are published and a consent is recorded, by the code that does so for anybody
  3. what is to be asked beforehand is asked, through the doors and the gate, by the kit
  4. withdrawn, paused, narrowed, disputed, recalled

A person whose consent is no longer as the table wants it (uses spent, a month over) is given another: what stood is
withdrawn first. What is repeated by its key is arranged once for all: the key belongs to its first consent. A
production home is refused by the command. The same table is what `qingqiao lender selftest` asks.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import orjson

from consent import ledger
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import ENDED, State, month_of
from consent.narrowing import Narrower
from consent.parties import Contact
from consent.record import Consent, NewConsent, SubjectType
from consent.scope import Mode, recipient_name
from exchange import consents, disputes
from exchange.app import create_app
from exchange.cli.lender import read_key, register, save_key
from exchange.client import AsyncLender, Client, new_client
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import catalogue, clock, recalling, store
from registry.basis import Basis, BasisKind
from registry.database import Transaction
from registry.identifiers import ResidentId
from registry.records import NOBODY, NewRecord, Payload, Provenance
from registry.suites import sha256
from sandbox.outcomes import Outcome, Table, Terms

_ACTOR = "sandbox"
_AGENCY = "民和县农业农村局（沙箱）"
_TEXT_VERSION = "2026-03"
_REDIRECT = "https://bank.example/back"
_FRESH_DAYS = 30
_STALE_DAYS = 500  # the catalogue's freshness of a rating is 400
_CONTACT = Contact(
    office="客户服务部（沙箱）",
    phone="0971-0000002",  # no subscriber's number begins with 0
    address="青海省海东市示例街2号",
    email="service@sandbox-lender.example",
    url="https://sandbox-lender.example/privacy",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A lender's account: the files that its engineers get, and how many people were arranged anew."""

    key: Path
    trust: Path
    arranged: int


def provide(home: Home, folder: Path, table: Table) -> Account:
    """Do steps 1 to 4; give what the lender needs."""
    folder.mkdir(parents=True, exist_ok=True)
    key, trust = folder / f"{table.client_id}.key.json", folder / "trust.json"
    client = _registered(home, key, table)  # 1
    trust.write_bytes(orjson.dumps(home.keyring.trust_policy(), option=orjson.OPT_INDENT_2))
    wanting = [one for one in table.outcomes if not _stands(home, one, table.lender)]
    published = {one.name: _arrange(home, one, table.lender) for one in wanting}  # 2
    asyncio.run(_ask_all(home, client, [one for one in wanting if "ask" in one.then]))  # 3
    for one in wanting:
        _finish(home, one, table.lender, published[one.name])  # 4
    return Account(key, trust, len(wanting))


def _registered(home: Home, key: Path, table: Table) -> Client:
    with home.database.transaction() as tx:
        known = clients.read(tx, table.client_id) is not None
    if known:
        return read_key(key)
    client = new_client(table.client_id)
    save_key(key, client)
    register(
        home, client.client_id, table.lender, Role.LENDER, client.jwks, redirect_uris=[_REDIRECT], contact=_CONTACT
    )
    return client


# ---- 2: records and consents ----------------------------------------------------------------------------------------


def _stands(home: Home, one: Outcome, lender: str) -> bool:
    """Say whether a person is arranged as the table wants it."""
    with home.database.transaction() as tx:
        subject_id = store.lookup(tx, home.keyring, [ResidentId.parse(one.identifier)]).get(one.identifier)
        if subject_id is None:
            return one.held == "nothing" and one.consent is None
        mine = _consents_of(tx, subject_id, lender)
    if one.consent is None or one.ask.again:
        return bool(mine) == (one.consent is not None)
    return bool(mine) and _as_wanted(mine[0], one, clock.now())


def _as_wanted(consent: Consent, one: Outcome, now: datetime) -> bool:  # noqa: PLR0911  # one way out an outcome
    scope, used = consent.terms.scope, consent.month_uses if consent.month == month_of(now) else 0
    a_month = scope.uses_per_month or scope.max_uses
    if one.consent is not None and one.consent.requested:
        return consent.state is State.REQUESTED
    if "withdraw" in one.then or "pause" in one.then:
        return consent.state is (State.WITHDRAWN if "withdraw" in one.then else State.PAUSED)
    if one.expect == "expired":
        return scope.valid_until <= now
    if one.expect == "not-yet-valid":
        return scope.valid_from > now
    if consent.state is not State.ACTIVE or not scope.valid_from <= now < scope.valid_until:
        return False
    if one.expect == "uses-exhausted":
        return consent.uses >= scope.max_uses
    if one.expect == "monthly-uses-exhausted":
        return used >= a_month
    return consent.uses < scope.max_uses and used < a_month


def _consents_of(tx: Transaction, subject_id: UUID, lender: str) -> list[Consent]:
    found = ledger.list_for_subject(tx, subject_id)
    mine = [one for one in found if one.terms.scope.recipient == recipient_name(lender)]
    return sorted(mine, key=lambda one: one.created_at, reverse=True)


def _arrange(home: Home, one: Outcome, lender: str) -> UUID:
    """Publish what is held of a person and record the consent; give the batch that was published."""
    who, now, batch = ResidentId.parse(one.identifier), clock.now(), uuid4()
    if one.held == "nothing":
        return batch
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [who], now=now)[who.text]
        before = _consents_of(tx, subject_id, lender)
        for standing in before:
            if standing.state not in ENDED:
                consents.withdraw_in(tx, standing.consent_id, Channel.COUNTER, actor=_ACTOR, now=now)
        if one.consent is not None:
            agreed = clock.now()  # after what was withdrawn, and it does not begin before that
            terms = replace(one.consent, from_days=max(one.consent.from_days, 0)) if before else one.consent
            consents.grant_in(tx, home, who, _new(terms, lender, agreed), actor=_ACTOR, now=agreed)
        _publish(tx, home, subject_id, one, batch, now)
    return batch


def _new(terms: Terms, lender: str, now: datetime) -> NewConsent:
    evidence = Evidence(EvidenceKind.PAPER_SCAN, sha256(uuid4().bytes), redacted=True)
    return NewConsent(
        subject_id=NOBODY,
        subject_type=SubjectType.PERSON,
        recipient=lender,
        purpose=terms.purpose,
        items=terms.items,
        valid_from=now + timedelta(days=terms.from_days),
        valid_until=now + timedelta(days=terms.until_days),
        capture=Capture(Channel.COUNTER, _TEXT_VERSION, Language.CHINESE, evidence),
        w_acknowledged=terms.acknowledged,
        mode=Mode(terms.mode),
        state=State.REQUESTED if terms.requested else State.ACTIVE,
        max_uses=terms.max_uses,
        uses_per_month=terms.uses_per_month,
        data_life_days=terms.data_life_days,
        history_months=terms.history_months,
    )


def _publish(tx: Transaction, home: Home, subject_id: UUID, one: Outcome, batch: UUID, now: datetime) -> None:
    today = clock.beijing_day(now)
    began = today - timedelta(days=_STALE_DAYS if one.held == "stale" else _FRESH_DAYS)
    said = Provenance(batch, "sandbox-lender", _AGENCY, "SUBSIDY", catalogue.current().version, b"\x01" * 32, began)
    store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=now)
    basis = Basis(BasisKind.CONSENT, "sandbox")
    records = [
        NewRecord(subject_id, kind, payload, place, basis, "B", str(began.year), valid_from=began)
        for place, (kind, payload) in enumerate(_payloads(one, began), start=2)
    ]
    store.stage(tx, home.sealing, said, records, now=now)
    store.publish(tx, said, now=now)


def _payloads(one: Outcome, day: date) -> list[tuple[str, Payload]]:
    subsidy: Payload = {
        "project": "草原生态保护补助奖励",
        "grant_year": day.year,
        "period": "1",
        "amount_due": 120_050,
        "amount_paid": 120_050,
        "paid_on": day.isoformat(),
    }
    rating: Payload = {"grade": "AA", "score": "86.5", "eval_date": day.isoformat(), "valid_to": None}
    return [("SUBSIDY", subsidy)] if one.held == "subsidies" else [("SUBSIDY", subsidy), ("RATING", rating)]


# ---- 3, 4: what happens afterwards ----------------------------------------------------------------------------------


async def _ask_all(home: Home, client: Client, asked: Sequence[Outcome]) -> None:
    app = create_app(home)
    issuer = home.settings.issuer
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=issuer) as http,
        AsyncLender(issuer, client, http=http) as lender,
    ):
        for one in asked:
            subject, stated = one.question()
            key = one.key if one.ask.again else None  # what only spends a use is asked by a key of its own
            await lender.query(subject, idempotency_key=key, **stated)


def _finish(home: Home, one: Outcome, lender: str, batch: UUID) -> None:
    if one.consent is None:
        return
    now = clock.now()
    with home.database.transaction() as tx:
        (subject_id,) = store.lookup(tx, home.keyring, [ResidentId.parse(one.identifier)]).values()
        newest = _consents_of(tx, subject_id, lender)[0].consent_id
        if "withdraw" in one.then:
            consents.withdraw_in(tx, newest, Channel.COUNTER, actor=_ACTOR, now=now)
        if "pause" in one.then:
            consents.pause_in(tx, newest, Channel.COUNTER, actor=_ACTOR, now=now)
        if "narrow" in one.then:
            consents.narrow_in(tx, home, newest, Narrower(max_uses=2), Channel.COUNTER, actor=_ACTOR, now=now)
        if "dispute" in one.then:
            _dispute(tx, home, subject_id, one, now)
        if "recall" in one.then:
            recalling.recall_batch(tx, batch, now=now, actor=_ACTOR)


def _dispute(tx: Transaction, home: Home, subject_id: UUID, one: Outcome, now: datetime) -> None:
    item = one.labelled or ""
    found = store.visible(tx, [(subject_id, item.partition(".")[0])])
    new = disputes.New(found[-1].ref, item, disputes.Reason.WRONG_VALUE, sha256(b"sandbox"))
    disputes.file(tx, home, subject_id, new, by=_ACTOR, now=now)
