"""Rows from a real HTTP server on loopback, page by page: what it does wrong costs no row and is not believed."""

import json
import traceback
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors import collecting
from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import LimitExceeded, SourceError, SourceRefused, SourceUnavailable
from connectors.feed import Feed
from connectors.intake import Intake
from exchange.home import Home
from registry import jws
from registry.canonical import b64url
from registry.database import Database
from registry.identifiers import ResidentId
from registry.suites import Ed25519Key, hmac_sm3, sm3
from tests.answering import Agency, Answer, page
from tests.subsidies import COLUMNS, resident_id, row
from tests.unit.connectors.consent_register import everybody

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
DAY = date(2026, 6, 15)
SECRET = "s3cret-of-the-feed/+="


@pytest.fixture
def agency() -> Iterator[Agency]:
    agency = Agency()
    yield agency
    agency.stop()


def feed(agency: Agency, *, transport: dict[str, Any] | None = None, **over: Any) -> Feed:
    return Feed.model_validate(
        {
            "feed": "platform",
            "source": "subsidy_roster",
            "agency": "玉树市农牧局",
            "retry": {"attempts": 3, "timeout": 5},
            "transport": {"kind": "rest", "url": agency.url + "/rows", "rows": "items", "columns": COLUMNS}
            | (transport or {}),
            **over,
        }
    )


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, everybody)


@pytest.fixture
def run(intake: Intake, agency: Agency) -> Callable[..., Collected]:
    kept = Credentials(intake.database, intake.sealing)
    kept.set("platform", SECRET, now=NOW)

    def run(now: datetime = NOW, people: Any = None, **over: Any) -> Collected:
        return collect(
            intake,
            feed(agency, **over),
            credentials=kept,
            people=people,
            now=now,
            as_of=DAY,
            patience=Patience(sleep=lambda _: None),
        )

    return run


def held(database: Database) -> int:
    with database.transaction() as tx:
        found = tx.execute("SELECT count(*) FROM record").fetchone()
    return int(found[0]) if found else -1


NUMBERED = {"paging": {"by": "page", "size": 2, "path": "page", "total": "pages"}, "id": "id"}
CURSOR = {"paging": {"by": "cursor", "path": "next"}, "id": "id"}
NEXT = {"paging": {"by": "next", "path": "next"}}
SINCE = {"since": {"parameter": "since", "column": "changed_at"}}


def numbered(_: str, query: dict[str, list[str]], __: bytes) -> Answer:
    number = int(query["page"][0])
    return page([row(2 * number - 1), row(2 * number)], page=number, pages=3)


@pytest.mark.parametrize("paging", ["page", "cursor", "next", "link"])
def test_every_page_is_read(run: Callable[..., Collected], agency: Agency, database: Database, paging: str) -> None:
    def answer(path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        if paging == "page":
            return numbered(path, query, body)
        at = int(query.get("cursor", ["1"])[0])
        following = None if at == 3 else at + 1 if paging == "cursor" else f"/rows?cursor={at + 1}"
        if paging == "link":
            said = {"Link": f'<{following}>; rel="next"'} if following else {}
            return page([row(at)], headers=said)
        return page([row(at)], next=following)

    agency.answer = answer
    transport = {"page": NUMBERED, "cursor": CURSOR, "next": NEXT, "link": {"paging": {"by": "next"}}}[paging]
    done = run(transport=transport)
    assert len(agency.asked) == 3
    assert held(database) == done.rows == (6 if paging == "page" else 3)
    assert done.error is None


@pytest.mark.parametrize(
    ("transport", "answer", "fault"),
    [
        (NUMBERED, lambda *_: page([row(1), row(2)], page=1, pages=9), "PAGE_WRONG"),
        (CURSOR, lambda *_: page([row(1)], next="same"), "PAGE_REPEATED"),
        (NEXT, lambda *_: page([], next="/rows?again"), "PAGE_REPEATED"),
        (NEXT, lambda *_: page([row(1)], next="https://elsewhere.example/rows"), "PAGE_ELSEWHERE"),
        (CURSOR, lambda *_: page([row(1), row(1)]), "PAGE_REPEATED"),
        ({}, lambda *_: page([row(1) | {"new": 1}]), "SCHEMA_CHANGED"),
        ({}, lambda *_: page([{key: value for key, value in row(1).items() if key != "nd"}]), "SCHEMA_CHANGED"),
        ({}, lambda *_: page([row(1) | {"xm": ["a", "b"]}]), "VALUE_NESTED"),
        ({}, lambda *_: page(["x"]), "ANSWER_MALFORMED"),
        ({}, lambda *_: (200, {}, b'{"other": []}'), "ROWS_MISSING"),
        ({}, lambda *_: (200, {}, b"<html>login</html>"), "ANSWER_MALFORMED"),
        ({}, lambda *_: (302, {"Location": "http://127.0.0.1:1/"}, b""), "REDIRECTED"),
        ({}, lambda *_: (403, {}, b""), "CREDENTIAL_REFUSED"),
        ({}, lambda *_: (404, {}, b""), "NOT_FOUND"),
        ({}, lambda *_: (400, {}, b""), "REQUEST_REFUSED"),
        ({}, lambda *_: (304, {}, b""), "ANSWER_MALFORMED"),
        ({}, lambda *_: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), "ANSWER_MALFORMED"),
        (SINCE, lambda *_: page([row(1, changed="gestern")]), "WATERMARK_MISSING"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_of_it_is_held(
    run: Callable[..., Collected], agency: Agency, database: Database, transport: Any, answer: Any, fault: str
) -> None:
    agency.answer = answer
    with pytest.raises(SourceRefused) as refused:
        run(transport=transport)
    assert refused.value.fault == fault
    assert held(database) == 0
    with database.transaction() as tx:
        assert collecting.position_of(tx, "platform") is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda *_: (500, {}, b"boom"), "SERVER_FAILED"),
        (lambda *_: (200, {"Content-Length": "5000"}, b'{"items": [1'), "CUT_OFF"),
        (lambda *_: (200, {}, b'{"items": [{"id": 1, '), "CUT_OFF"),
    ],
)
def test_a_broken_answer_is_asked_for_again_and_then_given_up(
    run: Callable[..., Collected], agency: Agency, database: Database, answer: Any, fault: str
) -> None:
    agency.answer = answer
    with pytest.raises(SourceUnavailable) as unavailable:
        run()
    assert unavailable.value.fault == fault
    assert len(agency.asked) == 3
    broken = iter([answer(), answer()])
    agency.answer = lambda *_: next(broken, None) or page([row(1)])
    assert run().rows == 1
    assert held(database) == 1


def test_what_a_source_asks_to_wait_is_handed_on_and_nothing_is_asked_again(
    run: Callable[..., Collected], agency: Agency
) -> None:
    agency.answer = lambda *_: (429, {"Retry-After": "600"}, b"")
    with pytest.raises(SourceUnavailable) as unavailable:
        run()
    assert (unavailable.value.fault, unavailable.value.retry_after) == ("TOO_MANY_REQUESTS", 600.0)
    assert len(agency.asked) == 1


def test_only_what_changed_is_asked_for_and_an_unchanged_source_says_so(
    run: Callable[..., Collected], agency: Agency, database: Database
) -> None:
    agency.answer = lambda *_: page([row(1, "2026-06-01T00:00:00Z")], headers={"ETag": '"a"'})
    assert run(transport=SINCE).watermark == "2026-06-01T00:00:00.000000Z"
    assert "since" not in agency.asked[0][1]
    run(transport=SINCE)
    assert "since=2026-05-31T23%3A50%3A00.000000Z" in agency.asked[1][1]
    agency.answer = lambda *_: (304, {}, b"")
    third = run(transport=SINCE)
    assert agency.asked[2][2]["If-None-Match"] == '"a"'
    assert (third.rows, third.watermark) == (0, "2026-06-01T00:00:00.000000Z")
    assert held(database) == 1


def test_numbers_of_people_stand_in_bodies_only_and_of_those_who_consented(
    run: Callable[..., Collected], agency: Agency, database: Database
) -> None:
    transport = {"method": "POST", "people": {"path": "query.ids", "column": "zjh", "size": 4}} | SINCE
    filtered = {"filter": "subjects", "kind": "SUBSIDY", "transport": transport}

    def people(_: str) -> Iterator[Sequence[str]]:
        yield [resident_id(number) for number in (1, 2, 3)]

    def answer(_: str, __: object, body: bytes) -> Answer:
        wanted = json.loads(body)["query"]["ids"]
        return page([one for one in map(row, range(1, 9)) if one["zjh"] in wanted])

    agency.answer = answer
    assert run(people=people, **filtered).rows == 3
    assert [len(json.loads(body)["query"]["ids"]) for *_, body in agency.asked] == [4, 2]  # each in two forms
    run(people=people, **filtered)
    assert all("since" in json.loads(body) for *_, body in agency.asked[2:])
    for _, path, headers, _ in agency.asked:
        assert resident_id(1) not in path + str(headers)
    agency.answer = lambda *_: page([row(7)])
    with pytest.raises(SourceRefused) as refused:
        run(people=people, **filtered)
    assert refused.value.fault == "ANSWERS_FOR_OTHERS"
    assert held(database) == 3


def old_form(number: int) -> str:
    return str(ResidentId.parse(resident_id(number)).old_form)


@pytest.mark.parametrize("size", [1, 2, 200])
def test_who_is_kept_under_an_old_number_is_found_and_nobody_else(
    run: Callable[..., Collected], agency: Agency, database: Database, size: int
) -> None:
    transport = {"method": "POST", "people": {"path": "ids", "column": "zjh", "size": size}}
    kept = [row(1) | {"zjh": old_form(1)}, row(2), row(3) | {"zjh": old_form(3)}]
    agency.answer = lambda _, __, body: page([one for one in kept if one["zjh"] in json.loads(body)["ids"]])

    def people(_: str) -> Iterator[Sequence[str]]:
        yield [resident_id(1), resident_id(2)]

    done = run(people=people, filter="subjects", kind="SUBSIDY", transport=transport)
    assert (done.rows, done.error) == (2, None)
    assert all(len(json.loads(body)["ids"]) <= size for *_, body in agency.asked)
    with database.transaction() as tx:
        found = tx.execute("SELECT codes->'warned'->'ID_15_CONVERTED' FROM batch").fetchall()
    assert (held(database), sum(counted or 0 for (counted,) in found)) == (2, 1)
    agency.answer = lambda *_: page([kept[2]])
    with pytest.raises(SourceRefused) as refused:
        run(people=people, filter="subjects", kind="SUBSIDY", transport=transport)
    assert refused.value.fault == "ANSWERS_FOR_OTHERS"


def test_a_token_is_fetched_once_and_anew_when_it_was_taken_back(run: Callable[..., Collected], agency: Agency) -> None:
    given: list[str] = []

    def answer(path: str, *_: object) -> Answer:
        if path == "/token":
            given.append(f"t{len(given)}")
            return 200, {}, json.dumps({"access_token": given[-1], "expires_in": 600}).encode()
        token = agency.asked[-1][2].get("Authorization")
        return page([row(1)]) if token == "Bearer t1" else (401, {}, b"")

    agency.answer = answer
    auth = {"by": "oauth", "token_url": agency.url + "/token", "client_id": "qingqiao"}
    assert run(transport={"auth": auth}).rows == 1
    assert given == ["t0", "t1"]
    assert b64decode(agency.asked[0][2]["Authorization"].split()[1]).decode().startswith("qingqiao:s3cret")


def test_a_private_key_signs_for_the_token(run: Callable[..., Collected], intake: Intake, agency: Agency) -> None:
    key = Ed25519Key.generate()
    Credentials(intake.database, intake.sealing).set("platform", b64url(key.private_bytes()), now=NOW)

    def answer(path: str, _: object, body: bytes) -> Answer:
        if path != "/token":
            return page([row(1)])
        form = parse_qs(body.decode())
        header, claims = jws.verify(form["client_assertion"][0], {"k1": key.public}, typ="JWT")
        assert header["alg"] == "Ed25519"
        assert json.loads(claims)["aud"] == agency.url + "/token"
        return 200, {}, b'{"access_token": "t", "expires_in": 60}'

    agency.answer = answer
    auth = {
        "by": "oauth",
        "token_url": agency.url + "/token",
        "client_id": "q",
        "method": "private_key_jwt",
        "key_id": "k1",
    }
    assert run(transport={"auth": auth}).rows == 1


def test_a_request_is_signed_by_sm3(run: Callable[..., Collected], agency: Agency) -> None:
    agency.answer = lambda *_: page([row(1)])
    run(transport={"auth": {"by": "signed", "scheme": "hmac-sm3", "key_id": "k"}, "parameters": {"a": "1"}})
    method, path, headers, body = agency.asked[0]
    base = "\n".join((method, path, headers["X-Date"], sm3(body).hex()))
    assert headers["X-Signature"] == hmac_sm3(SECRET.encode(), base.encode()).hex()


def test_bytes_are_counted_while_they_come(run: Callable[..., Collected], agency: Agency) -> None:
    agency.answer = lambda *_: page([row(number) for number in range(500)])
    with pytest.raises(LimitExceeded) as exceeded:
        run(limits={"bytes": 10_000})
    assert exceeded.value.fault == "TOO_MANY_BYTES"


def test_a_blocked_document_leaves_the_watermark_where_it_was(run: Callable[..., Collected], agency: Agency) -> None:
    agency.answer = lambda *_: page([row(1)])
    unknown = {key: (None if key in {"zjh", "je"} else heading) for key, heading in COLUMNS.items()}
    done = run(transport=SINCE | {"columns": unknown})
    assert done.error == "HEADER_UNKNOWN"
    assert done.watermark is None
    assert run(transport=SINCE).watermark is not None


def test_neither_secret_nor_person_nor_address_is_in_what_is_raised_or_logged(
    run: Callable[..., Collected], agency: Agency, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    person = resident_id(1)

    def people(_: str) -> Iterator[Sequence[str]]:
        yield [person]

    transport = {
        "method": "POST",
        "people": {"column": "zjh"},
        "auth": {"by": "signed", "scheme": "rfc9421", "key_id": "k"},
    }
    said = ""
    failing: list[Any] = [
        lambda *_: (500, {}, person.encode()),
        lambda *_: (400, {}, person.encode()),
        lambda *_: page([{person: 1}]),
        lambda *_: page([row(2)]),
        lambda *_: (200, {}, f"<p>{person} {SECRET}</p>".encode()),
    ]
    for answer in failing:
        agency.answer = answer
        with pytest.raises(SourceError) as failed:
            run(people=people, filter="subjects", kind="SUBSIDY", transport=transport, retry={"attempts": 1})
        said += "".join(traceback.format_exception(failed.value)) + repr(failed.value)
    said += caplog.text
    assert SECRET not in said
    assert person not in said


def test_check_looks_at_a_page_and_takes_nothing(intake: Intake, agency: Agency) -> None:
    agency.answer = lambda *_: page([row(1), row(2)])
    kept = Credentials(intake.database, intake.sealing)
    assert collecting.check(intake, feed(agency), credentials=kept, now=NOW).rows == 2
    assert held(intake.database) == 0
