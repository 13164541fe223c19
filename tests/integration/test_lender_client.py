"""The kit against the real doors: what an outside client sends by the texts is taken, and what comes back holds."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from consent.evidence import Channel
from exchange import consents
from exchange.client import (
    AccessRefused,
    AsyncLender,
    Claim,
    Client,
    Lender,
    NotGenuine,
    QueryRefused,
    RequestWrong,
    Subject,
    TrustPolicy,
    check_evidence,
    new_client,
)
from exchange.home import SANDBOX, Home
from exchange.jobs import Jobs, table
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from sandbox.regulator import Regulator
from tests.attacks.bent_client import ISSUER, Door
from tests.people import BANK, NOBODY, ZHANG, consented, held
from tests.reachable import CONTACT
from tests.through import through

_ONE_AT_A_TIME = threading.Lock()  # the door runs one loop
PERSON = Subject.person(ZHANG.text)
PURPOSE = "LOAN_APPROVAL"
NUMBER = "A-1"


@pytest.fixture
def installation(home: Path, database: Database, keystore: Database) -> Home:
    keyring = Keyring.create(home, origin=SANDBOX.log_origin, now=clock.now())
    return Home(Settings(home=home, issuer=ISSUER), SANDBOX, keyring, database, DataKeys(keystore, keyring))


@pytest.fixture
def http(installation: Home) -> Iterator[httpx.Client]:
    with Door(installation) as door, through(door) as client:
        yield client


@pytest.fixture
def policy(installation: Home) -> TrustPolicy:
    return TrustPolicy.parse(installation.keyring.trust_policy())


@pytest.fixture
def sequenced(installation: Home) -> Iterator[None]:
    """The log is sequenced meanwhile, as it is by a process that serves."""
    jobs = Jobs(installation, [job for job in table() if job.name in {"log:sequence", "telling:spread"}])
    jobs.start()
    yield
    jobs.stop()


def registered(home: Home, name: str, role: Role = Role.LENDER, organisation: str = BANK) -> Client:
    client = new_client(name)
    with home.database.transaction() as tx:
        reached = CONTACT if role is Role.LENDER else None
        clients.register(
            tx, name, role=role, organisation=organisation, jwks=client.jwks, now=clock.now(), contact=reached
        )
    return client


def test_a_lender_without_consent_is_refused_by_code(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    for _ in range(2):  # the second call uses the kept token
        with pytest.raises(QueryRefused) as refused:
            lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER)
        assert (refused.value.status, refused.value.code) == (403, "no-consent")
        assert refused.value.problem.query_id
        assert ZHANG.text not in repr(refused.value) + str(refused.value.problem)


def test_a_permitted_answer_is_typed_checked_and_proven_offline(
    installation: Home, http: httpx.Client, policy: TrustPolicy, sequenced: None
) -> None:
    held(installation)
    consent = consented(installation)
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http, trust=policy)
    answer = lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER)
    assert (answer.consent_id, answer.mode) == (consent.consent_id, "summary")
    assert answer.items["RATING.grade"]["completeness"] in {"COMPLETE", "PARTIAL", "STALE"}
    assert {record["kind"] for record in answer.records} == {"SUBSIDY", "RATING"}
    verdict = check_evidence(lender.evidence(answer.query_id), policy)
    assert (verdict.form, len(verdict.shown)) == ("full", 8)
    with pytest.raises(NotGenuine, match="evidence"):
        check_evidence(lender.evidence(answer.query_id)[:-1], policy)


def test_a_question_repeated_by_its_key_takes_no_second_use(installation: Home, http: httpx.Client) -> None:
    held(installation)
    consent = consented(installation)
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    first = lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER)
    assert lender.summary(PERSON, idempotency_key=first.idempotency_key, purpose=PURPOSE, business_no=NUMBER) == first
    assert lender.see_consent(consent.consent_id).uses_left == 4


def test_claims_are_answered_yes_no_or_unknown(installation: Home, http: httpx.Client) -> None:
    held(installation)
    consented(installation)
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    stated = [Claim("RATING.score", "at_least", 80), Claim("RATING.grade", "equals", "C"), Claim("RATING.valid_to")]
    answer = lender.verify(PERSON, stated, purpose=PURPOSE, business_no=NUMBER)
    assert (answer.claims["RATING.score"], answer.claims["RATING.grade"]) == (True, False)
    assert not answer.summary


def test_a_receipt_is_checked_and_a_withdrawal_bites_and_is_told(
    installation: Home, http: httpx.Client, policy: TrustPolicy
) -> None:
    held(installation)
    consent = consented(installation)
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http, trust=policy)
    seen = lender.see_consent(consent.consent_id)
    assert seen.check(policy)["jti"] == consent.consent_id
    assert lender.withdraw(consent.consent_id, channel="counter").state == "withdrawn"
    with pytest.raises(QueryRefused, match="withdrawn"):
        lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER)
    with pytest.raises(RequestWrong, match="consent-ended"):
        lender.narrow(consent.consent_id, {"max_uses": 1}, channel="counter")


def test_events_are_checked_given_in_order_and_not_again_once_acknowledged(
    installation: Home, http: httpx.Client, sequenced: None
) -> None:
    held(installation)
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    consent = consented(installation)
    consents.withdraw(installation, consent.consent_id, Channel.VILLAGE, actor="test")
    polled = lender.poll_events(wait=True)
    for _ in range(5):
        if len(polled.events) < 2:
            polled = lender.poll_events(wait=True)
    assert [(one.kind, one.about) for one in polled.events] == [
        ("granted", consent.consent_id),
        ("withdrawn", consent.consent_id),
    ]
    assert lender.poll_events(polled.acknowledge).events == ()


def test_what_has_not_changed_of_the_catalogue_is_not_sent_again(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    first = lender.catalogue()
    answered: list[int] = []
    http.event_hooks = {"response": [lambda response: answered.append(response.status_code)]}
    assert lender.catalogue() == first
    assert answered == [304]
    assert "sources" in lender.sources()


def test_a_token_taken_back_is_inactive_and_the_next_call_gets_another(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    token, _ = lender.credentials()
    told = lender.introspect(token)
    assert (told["active"], told["client_id"]) == (True, "bank-a")
    lender.revoke()
    assert lender.introspect(token) == {"active": False}
    assert lender.catalogue()["kinds"]


def test_a_token_taken_back_behind_its_back_is_replaced_once(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    token, _ = lender.credentials()
    lender.revoke(token)  # as another process of the lender would
    assert lender.catalogue()["kinds"]
    assert lender.introspect()["active"] is True


def test_problems_are_explained_in_words(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    told = lender.explain("no-consent")
    assert told["title_zh"] == "没有有效授权"
    assert told["mend"]


def test_the_async_client_does_the_same_with_one_token_for_calls_made_together(
    installation: Home, http: httpx.Client
) -> None:
    held(installation)
    consented(installation)
    client = registered(installation, "bank-a")
    asked: list[str] = []

    async def answered(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        await asyncio.sleep(0)
        return await asyncio.to_thread(_forwarded, http, request)

    async def together() -> list[str]:
        transport = httpx.MockTransport(answered)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as inner:
            lender = AsyncLender(ISSUER, client, http=inner)
            answers = await asyncio.gather(
                *(lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER) for _ in range(4))
            )
            with pytest.raises(QueryRefused, match="no-consent"):
                await lender.summary(Subject.person(NOBODY.text), purpose=PURPOSE, business_no=NUMBER)
            return [answer.query_id for answer in answers]

    assert len(set(asyncio.run(together()))) == 4
    assert asked.count("/oauth/token") == 1


def _forwarded(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    with _ONE_AT_A_TIME:
        answer = http.request(request.method, str(request.url), content=request.content, headers=request.headers)
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def test_a_regulator_reads_what_became_of_a_query(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a"), http=http)
    regulator = Regulator(ISSUER, registered(installation, "regulator", Role.REGULATOR, "省厅"), http=http)
    with pytest.raises(QueryRefused):
        lender.summary(PERSON, purpose=PURPOSE, business_no=NUMBER)
    page = regulator.events(event="release:query:refused")
    assert [event["event"] for event in page["events"]] == ["release:query:refused"]


def test_a_lender_does_not_read_the_audit_trail(installation: Home, http: httpx.Client) -> None:
    with pytest.raises(AccessRefused, match="invalid_scope"):
        Regulator(ISSUER, registered(installation, "bank-a"), http=http).events()


def test_a_system_that_is_not_registered_gets_no_token(http: httpx.Client) -> None:
    with pytest.raises(AccessRefused) as refused:
        Lender(ISSUER, new_client("stranger"), http=http).catalogue()
    assert (refused.value.status, refused.value.code) == (401, "invalid_client")
