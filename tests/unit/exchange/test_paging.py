"""Cursors: read by their own list, and only as a page wrote them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest

from exchange import paging
from exchange.errors import RequestRefused
from registry.canonical import b64url

AT = datetime(2026, 6, 15, 2, 3, 4, 5, tzinfo=UTC)
WRITTEN = "2026-06-15T02:03:04.000005Z"
LAST = UUID(int=10)


@dataclass(frozen=True)
class Entry:
    position: int


@pytest.mark.parametrize("position", [0, 7, 2**63 - 1])
def test_a_cursor_leads_back_to_where_its_page_ended(position: int) -> None:
    assert paging.place("event", paging.placed("event", position)) == position
    assert paging.place("event", None) is None


@pytest.mark.parametrize(
    "bent",
    [
        paging.placed("delivery", 7),
        paging.placed("event", -1),
        paging.placed("event", 2**63),
        *(
            b64url(orjson.dumps(one))
            for one in (7, {}, {"event": 7, "x": 1}, "ab", ["event"], ["event", 7, 7], ["event", "7"], ["event", True])
        ),
        b64url(b'["event", 7]'),
        b64url(b'["event",7.0]'),
        b64url(b'["event",7e0]'),
        b64url(b'["\\u0065vent",7]'),
        b64url(b'["event",123456]\n'),
        b64url(b'["event",7]') + "=",
        "",
        "x",
        "7",
        "é",
    ],
)
def test_what_no_page_of_this_list_wrote_is_refused(bent: str) -> None:
    with pytest.raises(RequestRefused, match="not one that a page gave"):
        paging.place("event", bent)


def test_a_page_has_a_next_one_only_where_more_was_found() -> None:
    found = [Entry(3), Entry(5), Entry(9)]
    assert paging.page("event", found, 2) == (found[:2], paging.placed("event", 5))
    assert paging.page("event", found, 3) == (found, None)
    assert paging.page("event", [], 3) == ([], None)


@pytest.mark.parametrize("at", [AT, AT.astimezone(timezone(timedelta(hours=8)))])
def test_a_cursor_by_time_and_id_keeps_its_microseconds(at: datetime) -> None:
    assert paging.opened("batch", paging.cursor("batch", at, LAST)) == (AT, LAST)
    assert paging.opened("batch", None) is None


@pytest.mark.parametrize(
    "bent",
    [
        paging.cursor("paper", AT, LAST),
        paging.placed("batch", 7),
        *(
            b64url(orjson.dumps(one))
            for one in (
                [WRITTEN, str(LAST)],
                {"batch": 1, WRITTEN: 2, str(LAST): 3},
                ["batch", WRITTEN],
                ["batch", WRITTEN, str(LAST), 1],
                ["batch", WRITTEN, 10],
                ["batch", 7, str(LAST)],
                ["batch", WRITTEN, f"{{{LAST}}}"],
                ["batch", WRITTEN, LAST.hex],
                ["batch", WRITTEN, f"urn:uuid:{LAST}"],
                ["batch", WRITTEN, str(LAST).upper()],
                ["batch", WRITTEN[:-1], str(LAST)],
                ["batch", "2026-06-15T02:03:04.000005+00:00", str(LAST)],
                ["batch", "2026-06-15T10:03:04.000005+08:00", str(LAST)],
                ["batch", "2026-06-15T02:03:04Z", str(LAST)],
                ["batch", "0001-01-01T00:00:00+14:00", str(LAST)],
                ["batch", "9999-12-31T23:59:59-14:00", str(LAST)],
                ["batch", "x", "x"],
            )
        ),
        b64url(orjson.dumps(["batch", WRITTEN, str(LAST)]).replace(b",", b", ")),
        "e30",
        "",
        "x",
    ],
)
def test_no_other_text_is_a_time_and_an_id(bent: str) -> None:
    with pytest.raises(RequestRefused, match="not one that a page gave"):
        paging.opened("batch", bent)
