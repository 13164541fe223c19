"""Cursors: where a page of a list ended, for the next one to begin. Opaque to who sends them back. Pure.

Two kinds: of lists that go by time, then by id (`cursor`, `opened`); and of lists whose entries have a number that only
grows, their position (`placed`, `place`). A cursor of the second kind names its list, and no other list takes it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Protocol, TypeVar
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


def cursor(at: datetime, last: UUID) -> str:
    """Write where a page ended that goes by time and then by id."""
    return b64url(orjson.dumps([rfc3339(at), str(last)]))


def opened(given: str) -> tuple[datetime, UUID]:
    """Read what `cursor` wrote.

    Raises:
        RequestRefused: it is not one that a page gave. A time without a zone, too: whose it was would be guessed.
    """
    try:
        at, last = orjson.loads(unb64url(given))
        return _aware(datetime.fromisoformat(at)), UUID(last)
    except (ValueError, TypeError, AttributeError) as error:
        raise _not_given() from error


def placed(what: str, position: int) -> str:
    """Write a position in the list `what`; it stays good for as long as what it points into is kept."""
    return b64url(orjson.dumps([what, position]))


def place(what: str, given: str | None) -> int | None:
    """Read what `placed` wrote; None stays None.

    Raises:
        RequestRefused: it is not one that a page of this list gave.
    """
    if given is None:
        return None
    try:
        _, position = orjson.loads(unb64url(given))
    except (ValueError, TypeError) as error:
        raise _not_given() from error
    if type(position) is not int or not 0 <= position < _POSITIONS or given != placed(what, position):
        raise _not_given()
    return position


def page(what: str, found: Sequence[_Entry], limit: int) -> tuple[Sequence[_Entry], str | None]:
    """Cut a page from what was found, one more than it has room for; give the cursor of the next, None at the end."""
    shown = found[:limit]
    return shown, placed(what, shown[-1].position) if len(found) > limit else None


def _not_given() -> RequestRefused:
    return RequestRefused("request-malformed", "the cursor is not one that a page gave")


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a moment without its zone")
    return at
