"""The gate: the only module through which a subject's data leaves the exchange.

Steps (the numbers are used in the code, the tests and docs/architecture.md):
  1. open one transaction
  2. decide, from the subject's consents for this lender, read and locked inside the transaction, as of `now`
  3. write the outcome, permit or refusal, to the log, and count the use
  4. open exactly the permitted items
  5. commit; only then sign and hand the answer to the caller

Step 5 comes last so that no bytes leave before their log entry is durable.

Requests that arrive together share one transaction and one statement a step. If that fails, each is tried again by
itself, so that the one that is to blame fails alone: whatever it fails with is its own outcome, and takes nothing from
those that were committed before it. Those that have the Idempotency-Key of another are settled together in a round
after it; when `FURTHER_ROUNDS` are over, whoever is left is told to come again. Uses are summed per consent and
admitted up to what is left. A query that was answered before is opened again under the same consent, from the same
record versions, without a second use: no answer is stored.

What is over a limit (`limiting`) is not decided: it is counted and answered 429, and takes no use.

An unknown subject and a subject without consent take the same way through all steps: nobody outside can tell them
apart, in code, body or time.

Lines of a batch of questions take the same steps, but for the opening (`lines`).

Not here: credentials (`exchange.oauth`, though they are admitted in step 1), transport (`lender_api`), what an answer
looks like (`answer`), proofs (`evidence`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import psycopg

from exchange.errors import OutOfService, RequestRefused
from exchange.home import Home
from exchange.release.cases import Ask, AskAgain, Case, Line, Outcome, Permitted, Refused
from exchange.release.deciding import decide_all
from exchange.release.finding import admit_all, find
from exchange.release.limiting import come_again, cut_off, giving_back, limit_all, limits_shown
from exchange.release.opening import open_all, response_bytes, signed
from exchange.release.recording import record
from registry.errors import AnswerFailed, DatabaseUnavailable, RegistryError

__all__ = [
    "Ask",
    "AskAgain",
    "Line",
    "Outcome",
    "Permitted",
    "Refused",
    "Settled",
    "release",
    "response_bytes",
    "settle",
]

FURTHER_ROUNDS: Final = 2  # so many copies of one key cost everybody else no more than these
Settled = Callable[[], Outcome]
_Step = Callable[[int], None]
_OUTAGES: Final = (DatabaseUnavailable, psycopg.OperationalError, psycopg.InterfaceError)


def release(
    home: Home, asks: Sequence[Ask | AskAgain], *, at_step: Callable[[int], None] = lambda _: None
) -> list[Outcome]:
    """Answer requests, or refuse them; each outcome stands at the place of its request, and each is in the log.

    Args:
        home: the installation.
        asks: requests whose credentials have been checked (`oauth.guard.verify_presented`), not yet admitted.
        at_step: called with the number of each step before it; tests break in there.

    Raises:
        DatabaseUnavailable, psycopg.Error: an entry could not be written. Nothing was released; answer 503.
    """
    return [settled() for settled in settle(home, asks, at_step=at_step)]


def settle(
    home: Home, asks: Sequence[Ask | AskAgain], *, at_step: Callable[[int], None] = lambda _: None
) -> list[Settled]:
    """Do all of `release` up to the commit. Each call of what comes back builds and signs one answer, without waiting.

    So that whoever hands out answers can write them while the next requests are being settled.
    """
    return _settle(home, asks, at_step, FURTHER_ROUNDS)


def _settle(home: Home, asks: Sequence[Ask | AskAgain], at_step: _Step, further: int) -> list[Settled]:
    """Settle a round, after which `further` ones may follow for those of it that come after others."""
    try:
        cases = _released(home, asks, at_step, last_round=not further)
    except _OUTAGES:
        raise  # nobody is to blame, and trying each by itself would only make everybody wait
    except Exception as error:
        if len(asks) > 1:  # one of them is to blame: each by itself
            return _apart(home, [[ask] for ask in asks], at_step, further)
        if isinstance(error, RegistryError):
            return [partial(_as_is, error)]
        if isinstance(error, (psycopg.DataError, OverflowError)):  # a value that the database cannot hold
            return [partial(_as_is, RequestRefused("request-malformed"))]
        raise
    late = iter(_after_others(home, [case for case in cases if case.conflict], at_step, further))
    outcomes: list[Settled] = []
    for case in cases:
        if case.conflict:
            outcomes.append(next(late))
        elif case.outcome is None:
            outcomes.append(partial(_answered, home, case))
        else:
            outcomes.append(partial(_as_is, limits_shown(case, case.outcome)))
    return outcomes


def _after_others(home: Home, cases: Sequence[Case], at_step: _Step, further: int) -> list[Settled]:
    """Settle together those whose Idempotency-Key another question had first, here or in another process.

    What became a query is opened again.
    """
    if not cases:
        return []
    if not further:
        return [partial(_as_is, come_again(case.left)) for case in cases]
    return _apart(home, [[_after_conflict(case) for case in cases]], at_step, further - 1)


def _apart(home: Home, rounds: Sequence[Sequence[Ask | AskAgain]], at_step: _Step, further: int) -> list[Settled]:
    """Settle each round by itself. Nothing leaves from here but outcomes: what was committed before must be told.

    An outage ends the trying: whoever is left is told to come again.
    """
    outcomes: list[Settled] = []
    down = False
    for asks in rounds:
        try:
            if not down:
                outcomes += _settle(home, asks, at_step, further)
                continue
        except _OUTAGES:
            down = True
        except Exception as error:  # noqa: BLE001  # whatever it was, it is these callers' alone
            failed = AnswerFailed(f"a request could not be settled: {type(error).__name__}")
            outcomes += [partial(_as_is, failed)] * len(asks)
            continue
        outcomes += [partial(_as_is, OutOfService("the registry cannot be reached"))] * len(asks)
    return outcomes


def _as_is(outcome: Outcome) -> Outcome:
    return outcome


def _answered(home: Home, case: Case) -> Outcome:
    """Sign what was committed; what goes wrong with one answer is that caller's alone."""
    try:
        return signed(home, case)
    except (ArithmeticError, TypeError, ValueError, KeyError) as error:
        return AnswerFailed(f"an answer could not be built: {type(error).__name__}")


def _released(home: Home, asks: Sequence[Ask | AskAgain], at_step: _Step, *, last_round: bool) -> list[Case]:
    cases = [Case(ask) for ask in asks]
    at_step(1)
    with giving_back(home) as taken, home.database.transaction() as tx:  # 1, 5
        admit_all(tx, cases)
        find(home, tx, cases)
        limit_all(home, cases, taken, last_round=last_round)
        at_step(2)
        now = decide_all(tx, cases)  # 2
        cut_off(home, tx, cases, now)
        at_step(3)
        record(home, tx, cases, now)  # 3
        at_step(4)
        open_all(home, cases)  # 4
        at_step(5)
    return cases


def _after_conflict(case: Case) -> Ask | AskAgain:
    """Ask again for the query that the same Idempotency-Key made first; the caller was admitted and committed already.

    A case that has no caller could not have lost a race; its question is put as it was, and fails as it is.
    """
    return case.ask if case.caller is None else replace(case.ask, presented=case.caller)
