"""Every door of the OpenAPI is called with what its description allows and with what it forbids, by schemathesis.

Whatever comes, no answer is a failure of the server, and every answer is as its description says. The callers are let
in: a lender, a regulator, an agency and a person with a phone, each at its own doors, with a fresh proof a call.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance

from exchange.home import SANDBOX, Home
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.asking import bank
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.databases import Server, fresh
from tests.people import consented, held, sequenced
from tests.phones import bound

CALLS = 12  # of each operation, of each kind
AREAS = (
    "/v1/", "/audit/", "/agency/", "/subject/", "/oauth/", "/grants/", "/consent-texts", "/receipts/", "/reports/",
    "/log/", "/problems", "/healthz", "/readyz", "/metrics", "/.well-known/", "/schemas/", "/pages/", "/docs",
)  # fmt: skip
KEPT_OPEN = {"/agency/v1/uploads/{upload_id}/events"}  # a stream of events, which has no end to wait for


@schemathesis.serializer("application/offset+octet-stream", "application/x-ndjson")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send bytes as bytes, and whatever else is made up for such a body as its text."""
    raw = getattr(value, "data", value)
    return raw if isinstance(raw, bytes) else str(raw).encode("utf-8", "replace")


class World:
    """An installation with something in it, and who calls at which doors."""

    def __init__(self, home: Home, door: Door) -> None:
        self.door = door
        lender = bank(home, door).caller
        agency = registered(home, Caller("agency-one"), Role.AGENCY, organisation="民和县农业农村局")
        regulator = registered(home, Caller("regulator-one"), Role.REGULATOR, organisation="监管局")
        phone = bound(home, door)
        held(home)
        consented(home)
        sequenced(home)
        self._callers = {"/subject/": phone.client, "/agency/": agency, "/audit/": regulator, "/": lender}
        self._tokens = {caller.client_id: caller.token(door) for caller in self._callers.values()}

    def call(self, made: requests.PreparedRequest) -> httpx.Response:
        """Send a request as one who is let in there."""
        url = httpx.URL(str(made.url))
        path = url.raw_path.decode("ascii").partition("?")[0]
        caller = next(one for start, one in self._callers.items() if path.startswith(start))
        own = {name: value for name, value in made.headers.items() if name.lower() not in {"dpop", "authorization"}}
        if path.startswith("/oauth/"):
            return self.door.call(str(made.method), str(url), content=made.body or b"", headers=own)
        proven = caller.headers(str(made.method), ISSUER + path, self._tokens[caller.client_id])
        return self.door.call(str(made.method), str(url), content=made.body or b"", headers=own | proven)


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("openapi") / "home"
    with fresh(server) as made:
        database, keystore = Database(made.database_url), Database(made.keystore_url)
        keyring = Keyring.create(path, origin="exchange.example/log", now=clock.now())
        home = Home(Settings(home=path, issuer=ISSUER), SANDBOX, keyring, database, DataKeys(keystore, keyring))
        with Door(home) as door:
            yield World(home, door)
        database.close()
        keystore.close()


def breaches(world: World, area: str, mode: GenerationMode) -> Iterator[str]:
    """Call each operation of an area; say what did not hold."""
    found = schemathesis.openapi.from_dict(world.door.app.openapi()).get_all_operations()
    for one in found:
        if not isinstance(one, Ok):
            yield f"cannot be read: {one.err()}"
            continue
        operation = one.ok()
        if not operation.path.startswith(area) or operation.path in KEPT_OPEN:
            continue

        @settings(
            max_examples=CALLS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case[Any]) -> None:
            if case.path == "/v1/events/poll" and isinstance(case.body, dict):
                case.body["returnImmediately"] = True  # else it waits for events, as it may
            answer = world.call(requests.Request(**case.as_transport_kwargs(base_url=ISSUER)).prepare())
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        try:
            holds()
        except Unsatisfiable:  # nothing can be wrong with a request that has no parts
            continue
        except (FailureGroup, BaseExceptionGroup, AssertionError) as error:
            yield f"{operation.method.upper()} {operation.path}: {error}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("area", AREAS)
def test_no_call_makes_the_server_fail_or_say_what_it_does_not_promise(
    world: World, area: str, mode: GenerationMode
) -> None:
    assert "\n".join(breaches(world, area, mode)) == ""


def test_every_door_of_the_description_is_in_an_area(world: World) -> None:
    paths = world.door.app.openapi()["paths"]
    assert [path for path in paths if not path.startswith(AREAS)] == []
