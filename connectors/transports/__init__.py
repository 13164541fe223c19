"""The ways in over which data is fetched: REST, SQL, SFTP and a drop folder, one module each.

Each has `fetch` (arrivals, one by one) and `look` (what can be seen without taking anything in), and raises
SourceUnavailable, SourceRefused or LimitExceeded only. None of them knows the registry: what becomes of an arrival is
`collecting`'s business.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Final, cast

from connectors.transports import folder, rest, sftp, sql
from connectors.transports.line import Arrival, Line, Sight

_BY_KIND: Final[dict[str, ModuleType]] = {"rest": rest, "sql": sql, "sftp": sftp, "folder": folder}


def fetch(line: Line) -> Iterator[Arrival]:
    """Fetch over the transport of a feed."""
    return cast("Iterator[Arrival]", _BY_KIND[line.feed.transport.kind].fetch(line))


def look(line: Line) -> Sight:
    """See what a feed's source has, without taking anything in."""
    return cast("Sight", _BY_KIND[line.feed.transport.kind].look(line))
