"""Whoever withdraws while a file is taken in: found by what changed in the ledger; nobody else is asked about again."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from threading import Event

import pytest

from connectors.intake import Intake, Step
from consent import covering, ledger
from consent.evidence import Channel
from exchange import consents
from exchange.home import Home
from registry import clock, store
from registry.basis import Basis
from registry.identifiers import ResidentId
from sandbox import bulk
from tests.people import LI, ZHANG, consented

ROWS = 12


def agreed(home: Home, folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a roster whose people have all consented; give their consents by identifier."""
    made = bulk.write(folder / "roster.csv", rows=ROWS, faults=False)
    given = {text: consented(home, ResidentId.parse(text)).consent_id for text in made.resident_ids}
    return made.path, given


def subjects_of(home: Home, given: Iterable[str]) -> list[bytes]:
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [ResidentId(text) for text in given])
    return [subject.bytes for subject in found.values()]


def settled(home: Home, ids: list[bytes]) -> None:
    """Wait until no transaction is on, in any database of the server, that is older than these subjects' consents.

    Until then everything might have changed, and is asked about once more: right, but not what is looked at here.
    """
    for _ in range(600):
        with home.database.transaction() as tx:
            if not covering.changed_since(tx, covering.moment(tx), ids):
                return
        Event().wait(0.1)
    raise AssertionError("an older transaction went on for a minute")


def taken_in(home: Home, path: Path, at_step: Callable[[Step], None]) -> list[list[str]]:
    """Take a file in; give whom each question about bases was about."""
    asked: list[list[str]] = []

    def basis_of(kind: str, identifiers: Sequence[str], at: date) -> list[Basis | None]:
        asked.append(list(identifiers))
        return consents.basis_of(home, kind, identifiers, at)

    way = Intake(home.database, home.sealing, home.raw, basis_of, changes=consents.Changes(), at_step=at_step)
    way.run([path], as_of=clock.beijing_day(clock.now()))
    return asked


def standing(home: Home) -> tuple[int, int]:
    """Count records, and those that are frozen."""
    with home.database.transaction() as tx:
        row = tx.execute("SELECT count(*), count(frozen_at) FROM record").fetchone()
    assert row is not None
    return row[0], row[1]


def test_nobody_is_asked_about_again_while_no_consent_changes(exchange_home: Home, tmp_path: Path) -> None:
    path, given = agreed(exchange_home, tmp_path)
    settled(exchange_home, subjects_of(exchange_home, given))
    asked = taken_in(exchange_home, path, lambda _: None)
    assert [sorted(one) for one in asked] == [sorted(given)]
    assert standing(exchange_home) == (ROWS, 0)


@pytest.mark.parametrize("step", [Step.EVALUATED, Step.OPENED])
def test_who_withdraws_is_asked_about_again_and_frozen_and_nobody_else(
    exchange_home: Home, tmp_path: Path, step: Step
) -> None:
    path, given = agreed(exchange_home, tmp_path)
    who, consent_id = next(iter(given.items()))
    settled(exchange_home, subjects_of(exchange_home, given))

    def withdraw(reached: Step) -> None:
        if reached is step:
            consents.withdraw(exchange_home, consent_id, Channel.VILLAGE, actor="test")

    asked = taken_in(exchange_home, path, withdraw)
    assert asked[1:] == [[who]]
    assert standing(exchange_home) == (ROWS, 1)


def test_a_withdrawal_that_was_under_way_when_bases_were_asked_for_is_a_change(exchange_home: Home) -> None:
    """No clock tells: its moment is before the question, its commit after it."""
    first, _ = consented(exchange_home, ZHANG), consented(exchange_home, LI)
    with exchange_home.database.transaction() as tx:
        subjects = store.lookup(tx, exchange_home.keyring, [ZHANG, LI])
    ids = [subject.bytes for subject in subjects.values()]
    settled(exchange_home, ids)
    with exchange_home.database.transaction() as under_way:
        ledger.withdraw(under_way, first.consent_id, Channel.VILLAGE, clock.now())
        with exchange_home.database.transaction() as tx:
            moment = covering.moment(tx)
            assert covering.changed_since(tx, moment, ids) == set()
    with exchange_home.database.transaction() as tx:
        assert covering.changed_since(tx, moment, ids) == {subjects[ZHANG.text].bytes}
    settled(exchange_home, ids)
