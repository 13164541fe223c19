"""Feeds for tests: files of folder feeds, and what stands in for collecting from them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import yaml

from connectors.collecting import Collected
from connectors.feed import Feed
from exchange.home import Home

NIGHTLY = {"cron": "0 2 * * *", "quiet": ["08:00-18:00"], "deadline": "PT6H"}


def write_feed(
    home: Path,
    name: str,
    *,
    schedule: Mapping[str, object] | None = None,
    transport: Mapping[str, object] | None = None,
    source: str = "rating_results",
) -> Path:
    """Write a feed's file into a home."""
    folder = home / "feeds"
    folder.mkdir(parents=True, exist_ok=True)
    said: dict[str, object] = {"feed": name, "source": source, "agency": "玉树市信用联社"}
    said |= {"transport": dict(transport or {"kind": "folder", "path": str(home / "drop" / name)})}
    if schedule is not None:
        said["schedule"] = dict(schedule)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
    return path


class Source:
    """Stands in for collecting: counts what was asked, and does what it is told next."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, datetime]] = []
        self.then: list[Collected | Exception] = []

    def __call__(self, home: Home, feed: Feed, now: datetime) -> Collected:
        self.asked.append((feed.feed, now))
        given = self.then.pop(0) if self.then else Collected(rows=3, bytes=30, files=1)
        if isinstance(given, Exception):
            raise given
        return given
