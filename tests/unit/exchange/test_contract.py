"""What holds of every door that lenders and regulators call, read from the interfaces' own description."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from exchange.app import create_app
from exchange.deprecations import Deprecations, current, read
from exchange.envelope import Envelope, Limits, Public
from exchange.errors import RulesRefused
from exchange.home import SANDBOX, Home
from exchange.metrics import Metrics
from exchange.problems import tell
from exchange.reports_api import _schema_of
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring

Operation = tuple[str, str, dict[str, Any]]
FEW = {  # what an organisation has a handful of, or what a document holds whole
    "/audit/v1/consent-figures", "/audit/v1/findings", "/audit/v1/notices", "/v1/capture-devices", "/v1/catalogue",
    "/v1/client", "/v1/client/keys", "/v1/queries/{query_id}/evidence", "/v1/sources",
}  # fmt: skip

ELSEWHERE = {  # go on from `next` behind the last event too; say it in `Link`; have no schema
    "/v1/events", "/v1/paper-consents", "/agency/v1/quarantine", "/agency/v1/batches/{batch_id}/quarantine",
}  # fmt: skip


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The description of an installation whose database nobody needs."""
    folder = tmp_path_factory.mktemp("described")
    keyring = Keyring.create(folder, origin="exchange.example/log", now=clock.now())
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    settings = Settings(home=folder, issuer="https://exchange.example")
    return create_app(Home(settings, SANDBOX, keyring, nowhere, DataKeys(nowhere, keyring))).openapi()


def operations(described: dict[str, Any], *prefixes: str) -> Iterator[Operation]:
    for path, methods in described["paths"].items():
        if path.startswith(prefixes):
            for method, operation in methods.items():
                yield method, path, operation


def resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def is_typed(described: dict[str, Any], schema: dict[str, Any]) -> bool:
    whole = resolved(described, schema)
    if whole.get("type") == "array":
        return is_typed(described, whole.get("items", {}))
    return bool(whole.get("properties") or whole.get("anyOf") or whole.get("oneOf") or whole.get("const"))


def test_every_answer_of_a_lenders_or_regulators_door_has_a_schema(described: dict[str, Any]) -> None:
    untyped = [
        (method, path, status)
        for method, path, operation in operations(described, "/v1/", "/audit/v1/", "/grants/")
        for status, answer in operation["responses"].items()
        if status.startswith("2") and status != "204" and method != "head"
        if not (content := answer.get("content", {}))
        or any(
            kind.endswith("json") and not is_typed(described, one.get("schema", {})) for kind, one in content.items()
        )
    ]
    assert untyped == []


def test_a_list_that_may_grow_has_pages_and_a_way_to_the_next(described: dict[str, Any]) -> None:
    whole = []
    for method, path, operation in operations(described, "/v1/", "/audit/v1/"):
        schema = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
        if method != "get" or schema is None or path in FEW or path.endswith("}"):
            continue
        told = resolved(described, schema)
        lists = told.get("type") == "array" or "array" in {
            one.get("type") for one in told.get("properties", {}).values()
        }
        names = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        if lists and not {"limit", "cursor"} <= names:
            whole.append(path)
    assert whole == []


def test_the_way_to_the_next_page_is_an_opaque_text_that_the_list_says_and_is_null_at_its_end(
    described: dict[str, Any],
) -> None:
    clear = []
    for method, path, operation in operations(described, "/v1/", "/audit/v1/", "/subject/v1/", "/agency/v1/"):
        ways = [one for one in operation.get("parameters", []) if one["name"] == "cursor"]
        if method != "get" or not ways:
            continue
        content = operation["responses"]["200"]["content"]["application/json"]["schema"]
        told = resolved(described, content).get("properties", {})
        following = told.get("next", {})
        ends = {one.get("type") for one in following.get("anyOf", [following])} == {"string", "null"}
        taken = {one.get("type") for way in ways for one in way["schema"].get("anyOf", [way["schema"]])}
        if not (
            {"integer", "number"}.isdisjoint(taken) and (ends or path in ELSEWHERE) and "400" in operation["responses"]
        ):
            clear.append((path, taken, following))
    assert clear == []


def test_every_list_is_led_on_by_the_same_two_names(described: dict[str, Any]) -> None:
    parameters = [
        (path, one["name"])
        for _, path, operation in operations(described, "/")
        for one in operation.get("parameters", [])
        if one["in"] == "query" and one["name"] in {"after", "before"}
    ]
    assert parameters == []
    assert "next_cursor" not in _members(described)


def _members(schema: Any) -> set[str]:
    """Give the names of the members that a schema tells of, at whatever depth."""
    if isinstance(schema, list):
        return set().union(*map(_members, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(_members, schema.values()))


def test_every_door_says_which_problems_it_answers_with(described: dict[str, Any]) -> None:
    public = {"/v1/registrations", "/v1/registrations/{registration_id}"}
    silent = [
        (method, path)
        for method, path, operation in operations(described, "/v1/", "/audit/v1/")
        if path not in public and not any(status.startswith("4") for status in operation["responses"])
    ]
    assert silent == []


def test_a_schema_that_has_not_changed_is_not_sent_again() -> None:
    schema = _schema_of("/schemas/answer-tags-v1.json")
    first = schema("")
    assert first.status_code == 200
    assert schema(f'"other", W/{first.headers["etag"]}').status_code == 304
    assert schema('"other"').body == first.body


# ---- what will go ---------------------------------------------------------------------------------------------------

GOING = """
deprecated:
  - {method: GET, path: /v1/old, since: 2026-01-01, sunset: 2026-12-31, link: "https://exchange.example/docs#old"}
  - {method: GET, path: /v1/new, parameter: was, since: 2026-01-01, sunset: 2026-12-31, link: /docs}
"""


def test_a_route_that_will_go_says_since_when_until_when_and_what_instead() -> None:
    assert read(GOING).headers("GET", "/v1/old", b"") == (
        (b"deprecation", b"@1767225600"),
        (b"sunset", b"Thu, 31 Dec 2026 00:00:00 GMT"),
        (b"link", b'<https://exchange.example/docs#old>; rel="deprecation"; type="text/html"'),
    )


def test_a_parameter_that_will_go_is_told_to_whoever_sends_it() -> None:
    going = read(GOING)
    assert going.headers("GET", "/v1/new", b"is=1") == ()
    assert dict(going.headers("GET", "/v1/new", b"is=1&was="))[b"link"].startswith(b"</docs>")
    assert going.headers("POST", "/v1/old", b"") == ()


def test_what_is_declared_now_is_understood_and_gives_six_months(described: dict[str, Any]) -> None:
    for one in current().declared:
        assert one.method.lower() in described["paths"][one.path]
    with pytest.raises(RulesRefused):
        read(GOING.replace("2026-12-31", "2026-02-01"))
    with pytest.raises(RulesRefused):
        read(GOING.replace("sunset", "sunsets"))


def test_nothing_declared_says_nothing() -> None:
    assert Deprecations([]).headers("GET", "/v1/old", b"") == ()


# ---- what surrounds every answer ------------------------------------------------------------------------------------


async def _called(app: Any, headers: dict[str, str], body: Message) -> tuple[int, dict[str, str], bytes]:
    """Put one request through an envelope with an invented route; give status, headers and body."""
    sent: list[Message] = []
    limits = Limits(100, 100, "PATCH", "/uploads/", seconds=1)
    surrounded = Envelope(
        app, issuer="", metrics=Metrics(), mode=None, public=Public(frozenset(), ()), limits=limits,
        deprecations=read(GOING),
    )  # fmt: skip

    async def receive() -> Message:
        if body.get("never"):
            await asyncio.sleep(60)
        return body

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/v1/old", "query_string": b"", "headers": raw}
    await surrounded(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(one.get("body", b"") for one in sent[1:])


async def _reading(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = SimpleNamespace(path="/v1/old")
    try:
        await receive()
        told = tell("", "not-found")
    except HTTPException as error:
        told = tell("", {408: "request-too-slow", 413: "body-too-large"}[error.status_code])
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body})


async def _failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise ArithmeticError


@pytest.mark.parametrize(
    ("app", "headers", "body", "code"),
    [
        (_reading, {}, {"type": "http.request", "body": b""}, "not-found"),
        (_reading, {}, {"type": "http.request", "body": b"a" * 101}, "body-too-large"),
        (_reading, {"content-length": "101"}, {"type": "http.request"}, "body-too-large"),
        (_reading, {}, {"type": "http.request", "never": True}, "request-too-slow"),
        (_failing, {}, {"type": "http.request"}, "internal"),
    ],
)
def test_every_problem_names_its_request_and_a_body_that_does_not_come_is_one(
    app: Any, headers: dict[str, str], body: Message, code: str
) -> None:
    _, told, said = asyncio.run(_called(app, headers, body))
    problem = orjson.loads(said)
    assert problem["code"] == code
    assert problem["request_id"] == told["x-request-id"]


def test_an_answer_of_a_route_that_will_go_says_so() -> None:
    _, told, _ = asyncio.run(_called(_reading, {}, {"type": "http.request", "body": b""}))
    assert told["deprecation"] == "@1767225600"
    assert told["sunset"].startswith("Thu, 31 Dec 2026")
    assert 'rel="deprecation"' in told["link"]
