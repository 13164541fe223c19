"""Counting what is asked of the database: a bound that no load of the machine can move."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import psycopg


@contextmanager
def statements() -> Iterator[list[str]]:
    """Give a list that grows by each statement that the block executes, in any connection of this process."""
    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *more: Any, **named: Any) -> Any:
        asked.append(str(query))
        return execute(self, query, *more, **named)

    with mock.patch.object(psycopg.Cursor, "execute", counted):
        yield asked
