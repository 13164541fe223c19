"""Which connections go when more waits to be taken than a process keeps."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from exchange import connections
from exchange.connections import Crowd
from exchange.limits import declared


@dataclass(eq=False)
class Taken:
    """A connection that is late for nothing and has bytes to be taken."""

    kept_bytes: int
    reads_headers: bool = False
    gone: list[bytes] = field(default_factory=list)

    def is_late(self, _: float) -> bool:
        return False

    def is_stuck(self, _: float) -> bool:
        return False

    def let_go(self, last: bytes = b"") -> None:
        self.gone.append(last)


class Loop:
    """A loop of which nothing is asked but the time."""

    def time(self) -> float:
        return 0.0

    def call_later(self, *_: object) -> None:
        return None


@pytest.mark.parametrize(
    ("waiting", "gone"),
    [((40, 30, 30), ()), ((40, 30, 31), (40,)), ((10, 90, 80, 20), (90,)), ((70, 60, 55, 50), (70, 60, 55))],
)
def test_whoever_has_most_waiting_goes_first_until_the_rest_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, waiting: tuple[int, ...], gone: tuple[int, ...]
) -> None:
    monkeypatch.setattr(connections, "KEPT_BYTES", 110 if waiting[0] == 10 else 100)
    crowd = Crowd(declared.of(None).connections, None)
    held = [Taken(size) for size in waiting]
    crowd.held = cast("dict[Any, None]", dict.fromkeys(held))
    crowd._look(cast("Any", Loop()))
    assert tuple(one.kept_bytes for one in held if one.gone) == gone
