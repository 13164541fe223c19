"""Rows of an interface: held to the columns declared, renamed to headings, written as lines of JSON."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import orjson

from connectors.errors import SourceRefused
from connectors.spool import Spool
from registry.instants import BEIJING


class Writer:
    """Writes rows into a spool. `columns`: key → heading, None for what is not taken; `optional` keys may be absent.

    A key that nobody declared, or a declared one that no row had, is a changed schema: nothing is taken.
    """

    def __init__(self, body: Spool, columns: Mapping[str, str | None], optional: Iterable[str] = ()) -> None:
        self._body, self._columns = body, columns
        self._missing = set(columns) - set(optional)
        self._taken = {key: heading for key, heading in columns.items() if heading is not None}
        self.rows = 0

    def write(self, row: object, place: str) -> dict[str, Any]:
        """Write one row; give it back as it came.

        Raises:
            SourceRefused: it is no object, has a key that is not declared, or a value that is no plain one.
        """
        if not isinstance(row, dict):
            raise SourceRefused("ANSWER_MALFORMED", place)
        if not row.keys() <= self._columns.keys():
            raise SourceRefused("SCHEMA_CHANGED", f"{place}: {told(set(row) - self._columns.keys())}")
        self._missing.difference_update(row)
        line = {heading: _plain(row.get(key), place) for key, heading in self._taken.items()}
        self._body.write(orjson.dumps(line) + b"\n")
        self.rows += 1
        return row

    def finish(self) -> None:
        """Hold what came to what was declared.

        Raises:
            SourceRefused: a column was in no row.
        """
        if self.rows and self._missing:
            raise SourceRefused("SCHEMA_CHANGED", told(self._missing))


def told(keys: Iterable[object]) -> str:
    """Give names of columns as a source has them; what may be somebody's data, or speaks to a terminal, is left out."""
    names = [str(key) for key in keys]
    return ", ".join(sorted(name if _is_name(name) else "…" for name in names))


def _is_name(text: str) -> bool:
    return len(text) <= 40 and text.isprintable() and not _numeric(text)  # noqa: PLR2004  # longer than any column's name


def _numeric(text: str) -> bool:
    return sum(letter.isdigit() for letter in text) > 6  # noqa: PLR2004  # an identifier put where a key belongs


def _plain(value: object, place: str) -> object:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        local = value.astimezone(BEIJING).replace(tzinfo=None) if value.tzinfo else value
        return local.date().isoformat() if local.time() == time() else local.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    raise SourceRefused("VALUE_NESTED", place)
