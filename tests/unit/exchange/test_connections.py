"""Which connections go: those of which nothing is taken, and the heaviest when more waits than a process keeps."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from exchange import connections
from exchange.connections import TAKEN_BYTES, Bounded, Crowd
from exchange.limits import declared


@dataclass(eq=False)
class Taken:
    """A connection that is late for nothing and has bytes to be taken."""

    kept_bytes: int
    peer: str = "192.0.2.1"
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


def test_many_answers_of_one_address_take_no_room_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEPT_BYTES", 100)
    crowd = Crowd(declared.of(None).connections, None)
    of_many, of_one = [Taken(30, "198.51.100.7") for _ in range(4)], Taken(40)
    crowd.held = cast("dict[Any, None]", dict.fromkeys([of_one, *of_many]))
    crowd._look(cast("Any", Loop()))
    assert (len(of_one.gone), sum(len(one.gone) for one in of_many)) == (0, 2)


@dataclass
class Line:
    """A transport that holds bytes which the other side has not taken."""

    waiting: int
    closing: bool = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, _: str) -> "Line":
        return self

    def fileno(self) -> int:
        raise OSError


@pytest.fixture
def answered() -> Bounded:
    """A connection of which all requests are answered, with less waiting than fills the line."""
    one = Bounded.__new__(Bounded)
    one._crowd = Crowd(declared.of(None).connections, None)
    one.reads_headers, one._waits_since, one._full_since, one._full_bytes = False, 0.0, None, 0
    one.transport = cast("Any", Line(40_000))
    return one


def test_who_takes_nothing_of_a_last_answer_that_does_not_fill_the_line_is_let_go_of(answered: Bounded) -> None:
    most = answered._crowd.bounds.write_seconds
    assert not answered.is_late(1e6)
    assert not answered.is_stuck(1000)
    assert not answered.is_stuck(1000 + most)
    assert answered.is_stuck(1000 + most + 1)


def test_who_takes_all_of_a_last_answer_is_idle_from_then_on(answered: Bounded) -> None:
    most = answered._crowd.bounds.write_seconds
    answered.transport = cast("Any", Line(2 * TAKEN_BYTES))
    assert not answered.is_stuck(1000)
    answered.transport = cast("Any", Line(TAKEN_BYTES))
    assert not answered.is_stuck(1000 + most + 1), "as much was taken as is asked"
    answered.transport = cast("Any", Line(0))
    assert not answered.is_stuck(1000 + 9 * most)
    assert answered.is_late(1000 + 9 * most)


def test_what_waits_while_a_request_is_answered_is_looked_at_once_it_fills_the_line(answered: Bounded) -> None:
    answered._waits_since = None
    assert not answered.is_stuck(1000)
    assert not answered.is_stuck(1e6)
