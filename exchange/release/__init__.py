"""The gate: the only module through which a subject's data leaves the exchange.

Steps (the numbers are used in the code, the tests and docs/architecture.md):
  1. open one transaction
  2. decide, from the subject's consents for this lender, read and locked inside the transaction, as of `now`
  3. write the outcome, permit or refusal, to the log, and count the use
  4. open exactly the permitted items
  5. commit; only then sign and hand the answer to the caller

Step 5 comes last so that no bytes leave before their log entry is durable.

Requests that arrive together share one transaction and one statement a step; one that fails is tried again by
itself, so that it fails alone. Uses are summed per consent and admitted up to what is left. A query that was answered
before is opened again under the same consent, from the same record versions, without a second use: no answer is stored.

An unknown subject and a subject without consent take the same way through all steps: nobody outside can tell them
apart, in code, body or time.

Not here: credentials (`exchange.oauth`, though they are admitted in step 1), transport (`lender_api`), what an answer
looks like (`answer`), proofs (`evidence`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import psycopg

from exchange.home import Home
from exchange.release.cases import Ask, AskAgain, Case, Outcome, Permitted, Refused
from exchange.release.deciding import decide_all
from exchange.release.finding import admit_all, find
from exchange.release.opening import open_all, response_bytes, signed
from exchange.release.recording import record
from registry.errors import AnswerFailed, DatabaseUnavailable, RegistryError

__all__ = ["Ask", "AskAgain", "Outcome", "Permitted", "Refused", "Settled", "release", "response_bytes", "settle"]

Settled = Callable[[], Outcome]


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
    try:
        cases = _released(home, asks, at_step)
    except DatabaseUnavailable:
        raise  # nobody is to blame, and trying each by itself would only make everybody wait
    except (RegistryError, psycopg.DataError, KeyError, ValueError) as error:
        if len(asks) > 1:  # one of them is to blame: each by itself
            return [settled for ask in asks for settled in settle(home, [ask], at_step=at_step)]
        if isinstance(error, RegistryError):
            return [partial(_as_is, error)]
        raise
    outcomes: list[Settled] = []
    for case in cases:
        if case.conflict:  # another process answered the same Idempotency-Key first: its query is opened again
            outcomes += _after_conflict(home, case, at_step)
        elif case.outcome is None:
            outcomes.append(partial(_answered, home, case))
        else:
            outcomes.append(partial(_as_is, case.outcome))
    return outcomes


def _as_is(outcome: Outcome) -> Outcome:
    return outcome


def _answered(home: Home, case: Case) -> Outcome:
    """Sign what was committed; what goes wrong with one answer is that caller's alone."""
    try:
        return signed(home, case)
    except (ArithmeticError, TypeError, ValueError, KeyError) as error:
        return AnswerFailed(f"an answer could not be built: {type(error).__name__}")


def _released(home: Home, asks: Sequence[Ask | AskAgain], at_step: Callable[[int], None]) -> list[Case]:
    cases = [Case(ask) for ask in asks]
    at_step(1)
    with home.database.transaction() as tx:  # 1, 5
        admit_all(tx, cases)
        find(home, tx, cases)
        at_step(2)
        now = decide_all(tx, cases)  # 2
        at_step(3)
        record(home, tx, cases, now)  # 3
        at_step(4)
        open_all(home, cases)  # 4
        at_step(5)
    return cases


def _after_conflict(home: Home, case: Case, at_step: Callable[[int], None]) -> list[Settled]:
    """Open the query that the same Idempotency-Key made first; the caller was admitted and committed already."""
    if case.caller is None:
        raise TypeError("a conflict is between admitted callers")
    return settle(home, [replace(case.ask, presented=case.caller)], at_step=at_step)
