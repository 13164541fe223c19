"""Every door is closed unless it is listed here; and no door leaks what was said at it."""

import io
from collections.abc import Iterator

import orjson
import pytest
import structlog
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from exchange import journal
from exchange.home import Home, Installation, Mode
from tests.attacks.bent_client import CATALOGUE_URL, ISSUER, TOKEN_URL, Caller, Door
from tests.reachable import CONTACT

PUBLIC = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/problems",
    "/problems/{code}",
    "/oauth/token",
    "/oauth/jwks",
    "/oauth/par",
    "/docs",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/authorize",
    "/pages/{name}",
    "/.well-known/oauth-authorization-server",
    "/schemas/subject-export-v1.json",
    "/schemas/answer-verify-v1.json",
    "/schemas/answer-tags-v1.json",
    "/schemas/answer-summary-v1.json",
    "/schemas/answer-report-v1.json",
    "/schemas/monitor-event-v1.json",
    "/reports/check",
    "/receipts/{consent_id}",
    "/subject/v1/bindings",
    "/v1/registrations",
    "/v1/registrations/{registration_id}",
    "/consent-texts",
    "/consent-texts/parties",
    "/consent-texts/{purpose}/{version}/{language}",
    "/consent-texts/{purpose}/{version}/{language}/aloud",
}
ASKED_OTHERWISE = {  # by POST, or with something beside
    "/oauth/token",
    "/oauth/par",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/authorize",
    "/pages/{name}",
    "/problems/{code}",
    "/subject/v1/bindings",
    "/v1/registrations",
    "/v1/registrations/{registration_id}",
}
PERSON = "630222199901010001"


def doors(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Every method and path that the application routes, routers inside routers too."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from doors(route.original_router.routes)
        else:
            for method in getattr(route, "methods", None) or {"GET"}:
                yield method, str(getattr(route, "path_format", None) or getattr(route, "path", "/"))


def test_the_list_of_doors_is_complete(door: Door) -> None:
    found = {path for _, path in doors(door.app.routes)}
    assert found >= PUBLIC
    assert set(door.app.openapi()["paths"]) <= found
    assert {"/v1/queries", "/v1/catalogue", "/audit/v1/events", "/v1/client/keys", "/v1/staff/{user_id}"} <= found


def test_every_door_but_the_public_ones_refuses_strangers(door: Door) -> None:
    for method, path in doors(door.app.routes):
        if path in PUBLIC or path.startswith("/log/"):
            continue
        for body in (b"", b"{", b'{"subject": 1}'):
            address = ISSUER + path.replace("{", "").replace("}", "")
            answer = door.call(method, address, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("DPoP ")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/queries",
        "/admin",
        "/docs/",
        "/docsx",
        "/redoc",
        "/v1/queries/",
        "/healthz/x",
        "/problemsx",
        "/logx",
        "/v1/../healthzz",
    ],
)
def test_an_address_that_does_not_exist_is_closed_too(door: Door, path: str) -> None:
    assert door.call("GET", ISSUER + path).status_code == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_at_a_closed_door_are_refused(door: Door, method: str) -> None:
    assert door.call(method, f"{ISSUER}/v1/queries").status_code == 401


@pytest.mark.parametrize("path", sorted(PUBLIC - ASKED_OTHERWISE))
def test_public_doors_open_without_credentials_and_say_sandbox(door: Door, path: str) -> None:
    text = {"{purpose}": "RATING", "{version}": "2026-03", "{language}": "bo", "{consent_id}": "0"}
    for name, value in text.items():
        path = path.replace(name, value)
    answer = door.call("GET", ISSUER + path)
    assert answer.status_code == 200
    assert answer.headers["qingqiao-mode"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_production_does_not_call_itself_a_sandbox(exchange_home: Home) -> None:
    real = Installation(
        Mode.PRODUCTION, "operator", "authorised operation", "no. 1", None, "exchange.example/log", CONTACT
    )
    with Door(
        Home(exchange_home.settings, real, exchange_home.keyring, exchange_home.database, exchange_home.datakeys)
    ) as door:
        assert "qingqiao-mode" not in door.call("GET", f"{ISSUER}/healthz").headers


@pytest.mark.parametrize(
    "address",
    [
        f"/v1/queries?subject={PERSON}",
        f"/v1/queries/{PERSON}/evidence",
        f"/healthz?x={PERSON}",
        f"/healthz?x=%36{PERSON[1:]}",
        f"/problems/{PERSON}",
        "/healthz?x=91350100M000100Y43",
        "/healthz?x=350100" + "850101001",
    ],
)
def test_an_address_with_an_identifier_is_refused_unread_and_unrepeated(door: Door, address: str) -> None:
    answer = door.call("GET", ISSUER + address)
    assert answer.status_code == 400
    assert answer.json()["code"] == "request-malformed"
    assert PERSON not in answer.text


@pytest.mark.parametrize(
    "path", ["/v1/queries%0A", "/oauth/token%0A", "/healthz%0A", "/v1/%7Fcatalogue", "/v1/%E2%80%AEx"]
)
def test_an_address_with_a_character_that_nobody_sees_is_no_door(door: Door, path: str) -> None:
    for method in ("GET", "POST"):
        answer = door.call(method, ISSUER + path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_a_subject_in_an_address_is_at_most_a_random_id(door: Door) -> None:
    named = [
        parameter["schema"]
        for operations in door.app.openapi()["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] in {"path", "query"} and ("subject" in parameter["name"] or "ident" in parameter["name"])
    ]
    for schema in named:
        assert {"uuid"} == {one["format"] for one in schema.get("anyOf", [schema]) if one.get("type") != "null"}


def test_the_journal_and_the_metrics_never_hold_what_was_sent(door: Door, lender: Caller) -> None:
    lines = io.StringIO()
    journal.set_up(lines)
    try:
        token = lender.token(door)
        url = f"{ISSUER}/v1/queries"
        for body in (
            b"{",
            b'{"subject": {"type": "resident_id", "identifier": "' + PERSON.encode() + b'"}, "x": "\xe5"}',
        ):
            door.call("POST", url, content=body, headers=lender.headers("POST", url, token))
        door.call("GET", f"{ISSUER}/healthz?name={PERSON}")
        lender.ask(door, scope=PERSON)
    finally:
        structlog.reset_defaults()
    written = lines.getvalue()
    assert PERSON not in written
    assert token not in written
    parsed = [orjson.loads(line) for line in written.splitlines()]
    assert {line["route"] for line in parsed if line["event"] == "request"} >= {
        "/v1/queries",
        "/oauth/token",
        "unmatched",
    }
    assert all(set(line) <= journal.FIELDS for line in parsed)
    exposition = door.call("GET", f"{ISSUER}/metrics").text
    assert PERSON not in exposition
    assert 'route="/oauth/token"' in exposition


def test_something_that_fails_inside_is_told_without_its_message(door: Door) -> None:
    @door.app.get("/problems/broken/inside")
    def broken() -> None:
        raise RuntimeError(f"row of {PERSON} is broken")

    lines = io.StringIO()
    journal.set_up(lines)
    try:
        answer = door.call("GET", f"{ISSUER}/problems/broken/inside")
    finally:
        structlog.reset_defaults()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert PERSON not in answer.text
    assert PERSON not in lines.getvalue()
    assert '"error":"RuntimeError"' in lines.getvalue()


def test_a_database_that_is_gone_is_said_as_503_with_a_time_to_come_again(
    door: Door, lender: Caller, exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = lender.token(door)
    address = exchange_home.database.engine.url.set(port=1, host="127.0.0.1")
    gone = type(exchange_home.database)(address.render_as_string(hide_password=False))
    with monkeypatch.context() as meanwhile:  # given back before the database is closed, which closes its own engine's
        meanwhile.setattr(exchange_home.database, "engine", gone.engine)
        for answer in (lender.get(door, token), door.call("GET", f"{ISSUER}/readyz"), lender.ask(door)):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"


def test_metadata_names_only_what_is_served(door: Door) -> None:
    stated = door.call("GET", f"{ISSUER}/.well-known/oauth-authorization-server").json()
    assert stated["issuer"] == ISSUER
    assert stated["token_endpoint"] == TOKEN_URL
    assert stated["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "none" not in stated["token_endpoint_auth_signing_alg_values_supported"]
    assert CATALOGUE_URL not in stated.values()


def test_openapi_describes_every_door_with_an_example_of_each_problem(door: Door) -> None:
    described = door.call("GET", f"{ISSUER}/openapi.json").json()
    assert isinstance(described["paths"]["/v1/queries"]["post"]["responses"]["403"], dict)
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["security"] == ([] if path in PUBLIC or path.startswith("/log/") else [{"DPoP": []}])


def test_the_test_sees_the_routes_that_it_checks(door: Door) -> None:
    assert any(isinstance(route, APIRoute) or hasattr(route, "original_router") for route in door.app.routes)
    assert len(set(doors(door.app.routes))) > 12
