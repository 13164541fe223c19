"""Lines of a lender's batch of questions, through the same steps as a question that is asked alone.

Steps, those of the gate (`exchange.release`), with two differences:
  1. open one transaction, and in it have the batch held: whoever works on the same batch waits, and what was cancelled
     or done meanwhile ends it here, with nothing written
  2. decide, from the consents, read and locked inside the transaction
  3. write the outcome of each line to the log and count its use, and have it noted with the batch: all or nothing
  4. open nothing: a line is opened when its result is fetched (`AskAgain`), if its consent still stands then
  5. commit

So a line is decided, counted and logged exactly once, whatever is killed when; and no answer waits anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import psycopg

from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.release.cases import Ask, Case, Refused
from exchange.release.deciding import decide_all
from exchange.release.finding import admit_all, find
from exchange.release.limiting import cut_off, giving_back, limit_all
from exchange.release.recording import record
from registry.database import Transaction
from registry.errors import DatabaseUnavailable

INTERNAL: Final = "internal"
_OUTAGES: Final = (DatabaseUnavailable, psycopg.OperationalError, psycopg.InterfaceError)


class Overtaken(Exception):  # a statement, as the other errors are
    """The batch is not to be worked on, or no longer: cancelled, over, or done by another process."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a line. `reason` None: permitted."""

    line: int
    query_id: UUID
    reason: str | None


class Book(Protocol):
    """Where the outcomes of a batch's lines are noted."""

    def hold(self, tx: Transaction) -> None:
        """Have the batch for this transaction alone, or raise `Overtaken`."""

    def note(self, tx: Transaction, decided: Sequence[Decided]) -> None:
        """Note outcomes in the transaction that decided them."""


def settle_lines(
    home: Home, asks: Sequence[Ask], book: Book, *, at_step: Callable[[int], None] = lambda _: None
) -> dict[int, str]:
    """Decide lines of one batch together and note them; give those that could not be settled, with a problem's code.

    If one of them is to blame for a failure, each is tried by itself, as at the gate.

    Args:
        home: the installation.
        asks: questions with their `line` and an Idempotency-Key of their own.
        book: the batch.
        at_step: called with the number of each step before it; tests break in there.

    Raises:
        Overtaken: see `Book.hold`; nothing of what was not yet noted was written.
        DatabaseUnavailable, psycopg.Error: an entry could not be written; the lines wait as they did.
    """
    try:
        return _settled(home, asks, book, at_step)
    except (Overtaken, *_OUTAGES):
        raise
    except Exception as error:  # noqa: BLE001  # whatever one line does, it takes nothing from the others
        if len(asks) == 1:
            malformed = isinstance(error, (psycopg.DataError, OverflowError))  # a value that no database can hold
            return {_number(asks[0]): "request-malformed" if malformed else INTERNAL}
    failed: dict[int, str] = {}
    for ask in asks:
        failed |= settle_lines(home, [ask], book, at_step=at_step)
    return failed


def _settled(home: Home, asks: Sequence[Ask], book: Book, at_step: Callable[[int], None]) -> dict[int, str]:
    cases = [Case(ask) for ask in asks]
    at_step(1)
    with giving_back(home) as counted, home.database.transaction() as tx:  # 1, 5
        book.hold(tx)
        admit_all(tx, cases)
        find(home, tx, cases)
        limit_all(home, cases, counted)
        at_step(2)
        now = decide_all(tx, cases)  # 2
        cut_off(home, tx, cases, now)
        at_step(3)
        record(home, tx, cases, now)  # 3
        if any(case.conflict for case in cases):  # a line that the log has, of a batch that does not: nobody can do it
            raise Overtaken
        at_step(4)  # 4: opens nothing
        book.note(tx, [one for case in cases if (one := _decided(case)) is not None])
        at_step(5)
    return {_number(case.ask): _code(case.outcome) for case in cases if isinstance(case.outcome, Exception)}


def _decided(case: Case) -> Decided | None:
    if isinstance(case.outcome, Refused):
        return Decided(_number(case.ask), case.outcome.query_id, case.outcome.reason.value)
    if case.outcome is None and case.facts is not None:
        return Decided(_number(case.ask), case.facts.query_id, None)
    return None


def _code(error: Exception) -> str:
    return error.code if isinstance(error, RequestRefused) else INTERNAL


def _number(ask: object) -> int:
    if not isinstance(ask, Ask) or ask.line is None:
        raise TypeError("only a line of a batch is settled here")
    return ask.line.number
