"""The command `qingqiao` loads what it is asked for, and all of it when nobody says what."""

from importlib import import_module

import pytest
import typer

from exchange.cli import WHERE, build


def _names(app: typer.Typer) -> set[str]:
    commands = {one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands}
    return commands | {str(one.name) for one in app.registered_groups}


@pytest.mark.parametrize("where", sorted(set(WHERE.values())))
def test_a_command_is_looked_for_in_the_module_that_adds_it(where: str) -> None:
    some = typer.Typer()
    import_module(f"exchange.cli.{where}").add_to(some, **({"with_as_of": False} if where == "intake" else {}))
    assert _names(some) == {name for name, module in WHERE.items() if module == where}


def test_one_command_brings_its_own_module_alone() -> None:
    assert _names(build("keys")) == {"keys", "verify"}


@pytest.mark.parametrize("word", [None, "--help", "nosuch"])
def test_without_a_command_all_are_there(word: str | None) -> None:
    assert _names(build(word)) == set(WHERE)
