"""A whole exchange over this test's databases, and systems registered with it."""

import pytest

from exchange.home import Home
from exchange.oauth.scopes import Role
from tests.attacks.bent_client import Caller, registered


@pytest.fixture
def lender(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("lender-one"))


@pytest.fixture
def other_lender(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("lender-two"))


@pytest.fixture
def regulator(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("regulator-one"), Role.REGULATOR)
