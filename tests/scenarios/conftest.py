"""An installation for each file of scenarios, and the scene that holds a scenario to what it promises."""

from collections.abc import Iterator

import pytest

from exchange.home import SANDBOX, Home
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from tests.asking import bank
from tests.attacks.bent_client import Door
from tests.capturing import staffed
from tests.databases import Server, fresh
from tests.people import BANK
from tests.scenarios.stage import OTHER, OTHER_REDIRECT, PERMITTED, Lender, Scene, World


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation with two lenders, for all scenarios of a file: each brings people of its own."""
    path = tmp_path_factory.mktemp("scenarios") / "home"
    with fresh(server) as made:
        database, keystore = Database(made.database_url), Database(made.keystore_url)
        keyring = Keyring.create(path, origin="exchange.example/log", now=clock.now())
        settings = Settings(home=path, issuer="https://exchange.example")
        home = Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))
        with Door(home) as door:
            first = bank(home, door, "bank-one", BANK)
            second = bank(home, door, "bank-two", OTHER, OTHER_REDIRECT)
            for organisation in (BANK, OTHER):
                staffed(home, organisation)
            yield World(home, door, Lender(first, first.caller.token(door)), Lender(second, second.caller.token(door)))
        database.close()
        keystore.close()


@pytest.fixture
def scene(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The stage of one scenario: at its end it has shown what is refused, and what passes beside it."""
    marked = request.node.get_closest_marker("refuses")
    assert marked is not None, "a scenario says by which code it is refused: @refuses(code)"
    shown = Scene(world, frozenset(marked.args), monkeypatch)
    yield shown
    assert "refused" in shown.shown, "nothing was refused"
    assert PERMITTED in shown.shown, "nothing passed: the refusal may have another reason"
