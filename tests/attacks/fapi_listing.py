"""The catalogue of cases named after the OpenID Foundation's modules, read from the tests: what docs/fapi.md lists.

python -m tests.attacks.fapi_listing     write the document's list anew

A case is one run of a test: each member of its parameters counts, and those that carry a module of their own count for
that one. The document's head is written by hand, up to the line `BEGINS`.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from tests.attacks.fapi_modules import NOT_OURS, OURS

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parents[1] / "docs" / "fapi.md"
BEGINS: Final = "<!-- the list: written by python -m tests.attacks.fapi_listing -->"
_INTRODUCTION: Final = """
## Cases by module

{count} cases of `tests/attacks/`, by the modules of `fapi2-security-profile-final-test-plan` that they are named after.
This list is held equal to the tests by `tests/attacks/test_fapi_listing.py`. All of them, none left out, are also run
against two server processes over one database, called over their sockets (`tests/attacks/test_on_two_processes.py`).

| Module | Promises | Cases |
|---|---|---|
"""
_ELSEWHERE: Final = """
## Modules that do not concern this server

| Module | Why |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a test, and the modules that it is named after."""

    file: str
    promise: str
    modules: frozenset[str]


def cases() -> list[Case]:
    """Read all cases that name a module, file by file."""
    return [case for path in sorted(HERE.glob("test_*.py")) for case in _of_file(path) if case.modules]


def written() -> str:
    """Write the document: its head as it stands, and the list anew."""
    head, _, _ = DOCUMENT.read_text(encoding="utf-8").partition(BEGINS)
    found = cases()
    rows = [_row(module, [case for case in found if module in case.modules]) for module in OURS]
    others = [f"| `{module}` | {reason} |" for module, reason in NOT_OURS.items()]
    listed = _INTRODUCTION.format(count=len(found)) + "\n".join(rows) + "\n" + _ELSEWHERE + "\n".join(others) + "\n"
    return head + BEGINS + "\n" + listed


def _row(module: str, found: list[Case]) -> str:
    promises = dict.fromkeys(f"{case.promise} (`{case.file}`)" for case in found)
    return f"| `{module}` | {'<br>'.join(promises)} | {len(found)} |"


def _of_file(path: Path) -> Iterator[Case]:
    module = importlib.import_module(f"tests.attacks.{path.stem}")
    for name, test in vars(module).items():
        if name.startswith("test_") and getattr(test, "__module__", None) == module.__name__:
            promise = name.removeprefix("test_").replace("_", " ")
            for modules in _runs(test):
                yield Case(path.name, promise[0].upper() + promise[1:], modules)


def _runs(test: Callable[..., Any]) -> Iterator[frozenset[str]]:
    marks: list[pytest.Mark] = getattr(test, "pytestmark", [])
    own = _named(marks)
    values = [list(mark.args[1]) for mark in marks if mark.name == "parametrize"]
    for chosen in product(*values):
        beside = [_named(one.marks) for one in chosen if hasattr(one, "marks")]
        yield own.union(*beside)


def _named(marks: Any) -> frozenset[str]:  # marks, and what makes them
    found = (getattr(mark, "mark", mark) for mark in marks)
    return frozenset(str(name) for mark in found if mark.name == "oidf" for name in mark.args)


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
