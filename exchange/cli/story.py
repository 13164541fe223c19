"""A story told step by step: each step holds or the story ends, and what was found is kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from exchange.cli.context import console


class StepFailed(Exception):  # a statement, as the other errors are
    """A step of the story did not hold."""


@dataclass(slots=True)
class Story:
    """What happened so far, told and kept."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Tell a step; the facts it calls out are printed and kept. A step that raises did not hold."""
        number, facts, started = len(self.steps) + 1, {}, time.perf_counter()
        console.print(f"[bold]{number:>2}. {name}[/bold]")

        def tell(text: str, **found: Any) -> None:  # noqa: ANN401  # JSON values of any kind
            facts.update(found)
            console.print(f"    {text}", soft_wrap=True)

        held = False
        try:
            yield tell
            held = True
        finally:
            took = round((time.perf_counter() - started) * 1000)
            self.steps.append({"step": number, "name": name, "held": held, "milliseconds": took, "facts": facts})
            console.print(f"    [{'green]✓' if held else 'red]✗'}[/] {took} ms")


def hold(that: bool, otherwise: str) -> None:  # reads as a sentence
    """End the story unless this is so.

    Raises:
        StepFailed: it is not.
    """
    if not that:
        raise StepFailed(otherwise)
