"""The list of all scenarios, read from their source: what docs/consent-scenarios.md says.

python -m tests.scenarios.listing        write the document anew
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
DOCUMENT: Final = HERE.parents[1] / "docs" / "consent-scenarios.md"
_INTRODUCTION: Final = """\
# What a consent does not permit

{count} scenarios of `tests/scenarios/`. Each is something that must not pass, by the code under which it is refused,
and in each the same act with the one thing set right does pass: a refusal that has another reason fails the scenario.
They come in by the real doors where there is one, on a real database. This list is held equal to the code by
`tests/scenarios/test_listing.py`; `python -m tests.scenarios.listing` writes it.
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: its promise, and the codes under which what must not pass is refused."""

    promise: str
    codes: tuple[str, ...]
    parametrised: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The scenarios of a file."""

    file: str
    title: str
    scenarios: tuple[Scenario, ...]


def groups() -> list[Group]:
    """Read all scenarios, file by file."""
    return [group for path in sorted(HERE.glob("test_*.py")) if (group := _group(path)).scenarios]


def written() -> str:
    """Write the document."""
    found = groups()
    parts = [_INTRODUCTION.format(count=sum(len(group.scenarios) for group in found))]
    for group in found:
        parts.append(f"## {group.title}\n\n`{group.file}`, {len(group.scenarios)} scenarios\n")
        rows = [f"| {one.promise} | {', '.join(f'`{code}`' for code in one.codes)} |" for one in group.scenarios]
        parts.append("\n".join(["| Promise | Refused as |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _group(path: Path) -> Group:
    module = ast.parse(path.read_text(encoding="utf-8"))
    title = (ast.get_docstring(module) or "").partition("\n")[0].rstrip(".")
    return Group(path.name, title, tuple(_scenarios(module)))


def _scenarios(module: ast.Module) -> Iterator[Scenario]:
    for node in module.body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        codes = [mark for mark in map(_codes, node.decorator_list) if mark]
        if codes:
            promise = node.name.removeprefix("test_").replace("_", " ")
            yield Scenario(promise[0].upper() + promise[1:], codes[0], len(node.decorator_list) > 1)


def _codes(mark: ast.expr) -> tuple[str, ...]:
    if not isinstance(mark, ast.Call) or not isinstance(mark.func, ast.Name) or mark.func.id != "refuses":
        return ()
    return tuple(str(argument.value) for argument in mark.args if isinstance(argument, ast.Constant))


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
