"""The sandbox's lender: one made-up person for each outcome, arranged once, and never in production."""

from collections.abc import Iterator

import pytest

from exchange.cli import lending
from exchange.client import Answer, Lender, QueryRefused, Refused, TrustPolicy, read_client
from exchange.home import Home
from registry.identifiers import ResidentId
from sandbox.outcomes import PERMITTED, Outcome, table
from tests.attacks.bent_client import ISSUER, Door
from tests.through import through


@pytest.fixture
def account(exchange_home: Home) -> lending.Account:
    return lending.provide(exchange_home, exchange_home.settings.home / "sandbox", table())


@pytest.fixture
def lender(exchange_home: Home, account: lending.Account) -> Iterator[Lender]:
    policy = TrustPolicy.parse(account.trust.read_bytes())
    with Door(exchange_home) as door, through(door) as http:
        yield Lender(ISSUER, read_client(account.key), http=http, trust=policy)


def came(lender: Lender, one: Outcome) -> Answer | Refused:
    subject, stated = one.question()
    try:
        return lender.query(subject, idempotency_key=one.key if one.ask.again else None, **stated)
    except Refused as refused:
        return refused


def test_each_person_stands_for_the_outcome_that_the_table_says(lender: Lender) -> None:
    for one in table().outcomes:
        found, again = came(lender, one), came(lender, one)
        for outcome in (found, again):
            code = PERMITTED if isinstance(outcome, Answer) else outcome.code
            assert (one.name, code) == (one.name, one.expect)
        if one.labelled is not None and isinstance(found, Answer):
            label = found.items[one.labelled]
            assert one.label == ("disputed" if label.get("disputed") else label["completeness"]), one.name


def test_arranging_again_changes_nothing_that_stands(
    exchange_home: Home, account: lending.Account, lender: Lender
) -> None:
    assert account.arranged == len([one for one in table().outcomes if one.held != "nothing"])
    before = account.key.read_bytes()
    again = lending.provide(exchange_home, exchange_home.settings.home / "sandbox", table())
    assert (again.arranged, again.key.read_bytes()) == (0, before)
    assert account.key.stat().st_mode & 0o077 == 0


def test_a_person_whose_uses_are_spent_is_given_another_consent(
    exchange_home: Home, account: lending.Account, lender: Lender
) -> None:
    one = table().named(PERMITTED)
    subject, stated = one.question()
    answered = lender.query(subject, **stated)
    lender.withdraw(answered.consent_id, channel="counter")
    with pytest.raises(QueryRefused, match="withdrawn"):
        lender.query(subject, **stated)
    assert lending.provide(exchange_home, exchange_home.settings.home / "sandbox", table()).arranged == 1
    lender.query(subject, **stated)


def test_people_of_the_table_are_nobody_and_each_another() -> None:
    numbers = [one.identifier for one in table().outcomes]
    assert len(set(numbers)) == len(numbers)
    assert all(ResidentId.parse(number).text[14:17] == "000" for number in numbers)
    assert numbers[0] not in repr(table().outcomes[0])
