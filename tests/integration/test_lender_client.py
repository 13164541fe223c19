"""The sandbox's lender against the real doors: what an outside client sends by the texts is taken."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exchange.home import SANDBOX, Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from sandbox.lender import REGULATOR_SCOPE, Client, Lender, Refused, new_client
from tests.attacks.bent_client import ISSUER, Door


@pytest.fixture
def installation(home: Path, database: Database, keystore: Database) -> Home:
    keyring = Keyring.create(home, origin="exchange.example/log", now=clock.now())
    return Home(Settings(home=home, issuer=ISSUER), SANDBOX, keyring, database, DataKeys(keystore, keyring))


@pytest.fixture
def http(installation: Home) -> Iterator[httpx.Client]:
    with Door(installation) as door:

        def pass_on(request: httpx.Request) -> httpx.Response:
            headers = {name: value for name, value in request.headers.items() if name != "content-length"}
            answer = door.call(request.method, str(request.url), content=request.content, headers=headers)
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

        with httpx.Client(transport=httpx.MockTransport(pass_on), base_url=ISSUER) as client:
            yield client


def registered(home: Home, name: str, role: Role) -> Client:
    client = new_client(name)
    with home.database.transaction() as tx:
        clients.register(tx, name, role=role, organisation=name, jwks=client.jwks, now=clock.now())
    return client


def test_a_lender_without_consent_is_refused_by_code(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a", Role.LENDER), http=http)
    for _ in range(2):  # the second call uses the kept token
        with pytest.raises(Refused) as refused:
            lender.query("resident_id", "630222199901010001", purpose="LOAN_APPROVAL", business_no="A-1")
        assert (refused.value.status, refused.value.code) == (403, "no-consent")


def test_a_regulator_reads_what_became_of_a_query(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a", Role.LENDER), http=http)
    regulator = Lender(ISSUER, registered(installation, "regulator", Role.REGULATOR), scope=REGULATOR_SCOPE, http=http)
    with pytest.raises(Refused):
        lender.query("resident_id", "630222199901010001", purpose="LOAN_APPROVAL", business_no="A-1")
    page = regulator.events(event="release:query:refused")
    assert [event["event"] for event in page["events"]] == ["release:query:refused"]


def test_a_lender_does_not_read_the_audit_trail(installation: Home, http: httpx.Client) -> None:
    lender = Lender(ISSUER, registered(installation, "bank-a", Role.LENDER), scope=REGULATOR_SCOPE, http=http)
    with pytest.raises(Refused) as refused:
        lender.events()
    assert refused.value.code == "invalid_scope"


def test_a_system_that_is_not_registered_gets_no_token(http: httpx.Client) -> None:
    with pytest.raises(Refused) as refused:
        Lender(ISSUER, new_client("stranger"), http=http).events()
    assert (refused.value.status, refused.value.code) == (401, "invalid_client")
