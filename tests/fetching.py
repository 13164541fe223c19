"""A run of a feed as its transport sees it, with nothing behind it: what comes is looked at, and kept nowhere."""

from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from connectors import transports
from connectors.credentials import Secret
from connectors.feed import Feed
from connectors.transports.line import Line, Meter

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)


def line(folder: Path, transport: dict[str, Any], *, secret: str | None = None, **over: Any) -> Line:
    """Give a run of a feed with this transport."""
    said = {"feed": "platform", "source": "subsidy_roster", "agency": "玉树市农牧局", "transport": transport}
    feed = Feed.model_validate(said | {"retry": {"attempts": 2, "timeout": 10}} | over)
    return Line(
        feed=feed,
        secret=None if secret is None else Secret(secret),
        position={},
        began=NOW,
        meter=Meter(feed.limits, monotonic),
        folder=folder,
        sleep=lambda _: None,
    )


def rows(one: Line) -> list[Any]:
    """Fetch everything as rows."""
    found: list[Any] = []
    for arrival in transports.fetch(one):
        with arrival.body as body:
            found += [orjson.loads(text) for text in body.open().read().splitlines()]
    return found
