"""What of the interfaces will go, as declared in deprecations.yml, and the headers that say so.

  Deprecation: @1767225600                              since when (RFC 9745), seconds since 1970
  Sunset: Thu, 31 Dec 2026 00:00:00 GMT                 when it stops (RFC 8594)
  Link: <https://…>; rel="deprecation"; type="text/html"

They stand on every answer of a route that is declared, or of a route whose declared parameter was sent.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from functools import cache
from importlib import resources
from typing import Any, Final, Self
from urllib.parse import parse_qsl

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exchange.errors import RulesRefused

_NOTICE: Final = timedelta(days=180)
Headers = tuple[tuple[bytes, bytes], ...]


class Deprecated(BaseModel):
    """One route, or one parameter of its query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE|HEAD)$")
    path: str = Field(pattern=r"^/")
    parameter: str | None = None
    since: date
    sunset: date
    link: str = Field(pattern=r"^(https://|/)[!-~]+$")

    @model_validator(mode="after")
    def _gives_notice(self) -> Self:
        if self.sunset - self.since < _NOTICE:
            raise ValueError("six months' notice at least")
        return self

    @property
    def headers(self) -> Headers:
        """What an answer says."""
        since = int(datetime.combine(self.since, time(), UTC).timestamp())
        sunset = format_datetime(datetime.combine(self.sunset, time(), UTC), usegmt=True)
        link = f'<{self.link}>; rel="deprecation"; type="text/html"'
        return ((b"deprecation", b"@%d" % since), (b"sunset", sunset.encode()), (b"link", link.encode()))


class Deprecations:
    """All that is declared."""

    def __init__(self, declared: list[Deprecated]) -> None:
        """Sort by route."""
        self.declared = tuple(declared)
        self._by_route: dict[tuple[str, str], list[Deprecated]] = defaultdict(list)
        for one in declared:
            self._by_route[one.method, one.path].append(one)

    def headers(self, method: str, route: str, query: bytes) -> Headers:
        """Give the headers of an answer; none, unless its route or a parameter of it is declared."""
        found = self._by_route.get((method, route)) if self._by_route else None
        if not found:
            return ()
        sent = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
        met = [one for one in found if one.parameter is None or one.parameter in sent]
        return min(met, key=lambda one: one.sunset).headers if met else ()


NOTHING: Final = Deprecations([])


@cache
def current() -> Deprecations:
    """Give what this release declares.

    Raises:
        RulesRefused: the file is not understood.
    """
    return read((resources.files("exchange") / "deprecations.yml").read_text("utf-8"))


def read(text: str) -> Deprecations:
    """Read a declaration.

    Raises:
        RulesRefused: it is not understood, or gives less than six months' notice.
    """
    try:
        raw: Mapping[str, Any] = yaml.safe_load(text)
        if raw.keys() != {"deprecated"}:
            raise RulesRefused("deprecations: one list, deprecated")
        return Deprecations([Deprecated.model_validate(one) for one in raw["deprecated"]])
    except (yaml.YAMLError, ValidationError, AttributeError, TypeError) as error:
        raise RulesRefused("deprecations: not understood, or less than six months' notice") from error
