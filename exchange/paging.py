"""Cursors: where a page of a list ended, for the next one to begin. Opaque to who sends them back. Pure.

Lists that go by time, then by id, have `cursor` and `opened`; lists whose entries have a number that only grows, their
position, `placed` and `place`; lists in an order of their own `written` and `parts`. A cursor names its list, no other
list takes it, and it has one spelling. Those of alerts alone have another form (`exchange/limits/alerts.py`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Protocol, TypeVar
from uuid import UUID

import orjson
from fastapi import Query

from exchange.errors import RequestRefused
from registry.canonical import b64url, unb64url
from registry.instants import rfc3339

LONGEST: Final = 200
Cursor = Annotated[str | None, Query(max_length=LONGEST, description="`next` of the last page")]
_POSITIONS: Final = 2**63


class Numbered(Protocol):
    """An entry of a list that goes by position."""

    @property
    def position(self) -> int:
        """Its place in the list."""


_Entry = TypeVar("_Entry", bound=Numbered)


def written(what: str, *place: str | int) -> str:
    """Write a place in the list `what`."""
    return b64url(orjson.dumps([what, *place]))


def parts(what: str, given: str, *kinds: type) -> list[Any]:
    """Read a place that `written` wrote, of these kinds of parts.

    Raises:
        RequestRefused: it is not one that a page of this list gave.
    """
    place: list[Any]
    try:
        name, *place = orjson.loads(unb64url(given))
    except (ValueError, TypeError) as error:
        raise _not_given() from error
    if name != what or [type(part) for part in place] != list(kinds) or given != written(what, *place):
        raise _not_given()
    return place


def cursor(what: str, at: datetime, last: UUID) -> str:
    """Write where a page of the list `what` ended that goes by time and then by id."""
    return written(what, rfc3339(at), str(last))


def opened(what: str, given: str | None) -> tuple[datetime, UUID] | None:
    """Read what `cursor` wrote; None stays None.

    Raises:
        RequestRefused: it is not one that a page of this list gave.
    """
    if given is None:
        return None
    at, last = parts(what, given, str, str)
    return time_and_id(at, last)


def time_and_id(at: str, last: str) -> tuple[datetime, UUID]:
    """Read a time and an id, each in the one spelling that a cursor has.

    Raises:
        RequestRefused: no page wrote them so.
    """
    try:
        read = datetime.fromisoformat(at), UUID(last)
        same = (rfc3339(read[0]), str(read[1])) == (at, last)
    except (ValueError, OverflowError) as error:  # of a time at the calendar's end, whose zone leads beyond it
        raise _not_given() from error
    if not same:
        raise _not_given()
    return read


def placed(what: str, position: int) -> str:
    """Write a position in the list `what`; it stays good for as long as what it points into is kept."""
    return written(what, position)


def place(what: str, given: str | None) -> int | None:
    """Read what `placed` wrote; None stays None.

    Raises:
        RequestRefused: it is not one that a page of this list gave.
    """
    if given is None:
        return None
    (position,) = parts(what, given, int)
    if not 0 <= position < _POSITIONS:
        raise _not_given()
    return int(position)


def page(what: str, found: Sequence[_Entry], limit: int) -> tuple[Sequence[_Entry], str | None]:
    """Cut a page from what was found, one more than it has room for; give the cursor of the next, None at the end."""
    shown = found[:limit]
    return shown, placed(what, shown[-1].position) if len(found) > limit else None


def _not_given() -> RequestRefused:
    return RequestRefused("request-malformed", "the cursor is not one that a page gave")
