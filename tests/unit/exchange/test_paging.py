"""Cursors of lists whose entries have a position: read by their own list, and only as a page wrote them."""

from dataclasses import dataclass

import orjson
import pytest

from exchange import paging
from exchange.errors import RequestRefused
from registry.canonical import b64url


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
