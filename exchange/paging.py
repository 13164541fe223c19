"""Cursors: where a page of a list ended, for the next one to begin. Opaque to who sends them back. Pure."""

from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from exchange.errors import RequestRefused
from registry.canonical import b64url, unb64url
from registry.instants import rfc3339

LONGEST: Final = 200


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
        raise RequestRefused("request-malformed", "the cursor is not one that a page gave") from error


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a moment without its zone")
    return at
