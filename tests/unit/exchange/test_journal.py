"""The process log cannot carry personal data, whoever writes to it."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog

from exchange import journal

PERSON = "630222199901010001"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    journal.set_up(out)
    yield out
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def last(lines: io.StringIO) -> dict[str, Any]:
    return dict(orjson.loads(lines.getvalue().splitlines()[-1]))


def test_a_listed_field_is_written_and_an_unlisted_one_dropped(lines: io.StringIO) -> None:
    structlog.get_logger().info("request", status=200, identifier=PERSON, body="x")
    assert last(lines) == {"at": last(lines)["at"], "level": "info", "event": "request", "status": 200}


@pytest.mark.parametrize("text", [PERSON, f"x{PERSON}y", "张三", "a@b.example", "x" * 300])
def test_a_text_that_looks_like_a_person_is_withheld_even_in_a_listed_field(lines: io.StringIO, text: str) -> None:
    structlog.get_logger().warning(text, route=text, client_id=text)
    assert text not in lines.getvalue()
    assert last(lines)["route"] == "[withheld]"


def test_a_line_written_for_a_request_is_what_a_logger_would_have_written(lines: io.StringIO) -> None:
    said = {"status": 200, "route": f"x{PERSON}y", "client_id": "bank", "identifier": PERSON, "ms": 1.5}
    structlog.get_logger().info("request", **said)
    by_logger = last(lines)
    journal.write("request", **said)
    assert last(lines) | {"at": ""} == by_logger | {"at": ""}
    assert PERSON not in lines.getvalue()


def test_an_exception_is_told_by_class_and_place_only(lines: io.StringIO) -> None:
    try:
        int(PERSON + "x")  # says the text in its message
    except ValueError:
        structlog.get_logger().exception("failed")
    assert PERSON not in lines.getvalue()
    assert last(lines)["error"] == "ValueError"
    assert last(lines)["where"].startswith("test_journal.py:")


def test_a_librarys_line_loses_its_text_and_its_exceptions_message(lines: io.StringIO) -> None:
    try:
        dict[str, str]()[PERSON]
    except KeyError:
        logging.getLogger("psycopg.pool").exception("row %s", PERSON)
    assert PERSON not in lines.getvalue()
    assert last(lines)["logger"] == "psycopg.pool"
    assert last(lines)["error"] == "KeyError"


def test_the_servers_own_lines_keep_their_template_without_arguments(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://127.0.0.1:8420")
    assert last(lines)["event"] == "Uvicorn running on %s"
    before = lines.getvalue()
    logging.getLogger("uvicorn.access").info("GET /?x=%s", PERSON)
    assert lines.getvalue() == before


def test_a_request_is_no_line_of_a_command_which_shows_its_own_output_alone(lines: io.StringIO) -> None:
    journal.set_up(lines, level=logging.WARNING)
    journal.write("request", status=200)
    assert lines.getvalue() == ""
    journal.set_up(lines)
    journal.write("request", status=200)
    assert last(lines)["status"] == 200
