"""Rows weighed by other processes end as rows weighed here; what is under way is bounded; a worker gets no key."""

import os
import pickle
import pickletools
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from connectors import delimited, reading, weighing
from connectors.chunk import Portion
from connectors.executors import Processes
from connectors.normalise import TableOutcome
from connectors.weighing import Rules, Weighed
from tests.unit.connectors.tables import csv, person, table, xlsx

HEADER = ["身份证号", "姓名", "补贴金额(元)", "发放日期"]
TWO = Processes(2, fewest=0)


def rows(count: int) -> list[list[str]]:
    found = [[person(n), f"某{n}", f"{n}.50", "2026-05-08"] for n in range(1, count)]
    found[7][2], found[9][2] = "—", "若干"
    return [*found, [*found[3][:2], "4.50", "2026-05-08"]]


def text(count: int = 400) -> bytes:
    return csv([HEADER, *rows(count)], "gb18030")


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is long, and its blocks are of some twenty rows."""
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)


def assert_same(one: TableOutcome, other: TableOutcome) -> None:
    assert one.bare() == other.bare()
    assert one.quarantined == other.quarantined
    assert one.uncovered == other.uncovered
    pd.testing.assert_frame_equal(one.frame, other.frame)


def test_a_table_laid_out_whole_is_weighed_by_other_processes_as_here() -> None:
    assert_same(table(text(), chunk_rows=90, workers=TWO), table(text(), chunk_rows=90))


def test_a_workbook_is_weighed_by_other_processes_as_here() -> None:
    numbers = [[*row[:2], float(row[2]) if row[2][0].isdigit() else row[2], row[3]] for row in rows(60)]
    book = xlsx({"一村": [HEADER, *numbers[:30]], "二村": [HEADER, *numbers[30:]]})
    assert_same(table(book, "补贴.xlsx", workers=TWO), table(book, "补贴.xlsx"))


@pytest.mark.usefixtures("short_blocks")
def test_a_long_table_is_weighed_by_other_processes_as_here() -> None:
    raw = csv([HEADER, *rows(400), ["合计", "", "79806.50", ""]], "gb18030")
    assert_same(table(raw, workers=TWO), table(raw))


def test_a_table_of_few_rows_is_weighed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[int] = []
    monkeypatch.setattr(weighing, "weigh", noting(here))
    table(text(), workers=Processes(2, fewest=400_000))
    assert here == [os.getpid()]


def noting(where: list[int], weigh: Callable[[Portion, Rules], Weighed] = weighing.weigh) -> Any:
    def noted(portion: Portion, rules: Rules) -> Weighed:
        where.append(os.getpid())
        return weigh(portion, rules)

    return noted


def die(_: Portion, __: Rules) -> Weighed:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.usefixtures("short_blocks")
def test_a_worker_that_is_killed_fails_the_file_and_weighing_it_again_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(weighing, "weigh", die)
        with pytest.raises(BrokenProcessPool):
            table(text(), workers=TWO)
    assert table(text(), workers=TWO).bare() == table(text()).bare()


# ---- how much is under way, and what is handed out ------------------------------------------------------------------


class _Asked(Future[Any]):
    """Done when it is asked for."""

    def __init__(self, executor: "Patient", work: Callable[[], object]) -> None:
        super().__init__()
        self._executor, self._work = executor, work

    def result(self, timeout: float | None = None) -> Any:  # as its base
        self._executor.waiting -= 1
        return self._work()


@dataclass
class Patient(Executor):
    """Begins nothing before it is asked for; counts what waits, and keeps what it was given."""

    waiting: int = 0
    most: int = 0
    given: list[bytes] = field(default_factory=list)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # as its base
        self.given.append(pickle.dumps((fn, args)))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return _Asked(self, lambda: fn(*args, **kwargs))


@dataclass(frozen=True)
class Slow:
    """Workers of one patient executor."""

    patient: Patient
    ahead: int = 3

    @contextmanager
    def executor(self, records: int) -> Iterator[Executor]:
        assert records > 0
        yield self.patient


@pytest.mark.usefixtures("short_blocks")
def test_no_more_blocks_are_under_way_than_may_wait() -> None:
    patient = Patient()
    assert_same(table(text(), workers=Slow(patient)), table(text()))
    assert len(patient.given) > 10
    assert patient.most == 4


def test_what_a_worker_gets_is_rows_and_rules_and_nothing_that_opens_more() -> None:
    patient = Patient()
    table(text(), workers=Slow(patient))
    (given,) = patient.given
    strings = {arg for op, arg, _ in pickletools.genops(given) if op.name in {"SHORT_BINUNICODE", "BINUNICODE"}}
    ours = {one for one in strings if str(one).startswith(("registry.", "connectors.", "consent.", "exchange."))}
    assert "connectors.chunk" in ours
    assert ours <= {
        "connectors.weighing", "connectors.chunk", "connectors.sheaves", "connectors.layout", "connectors.source",
        "connectors.places", "connectors.schemes", "registry.catalogue", "registry.identifiers",
    }  # fmt: skip
    assert {"Sealed", "_arrived"} & strings == {"_arrived"}
    assert len(given) < 60_000


def test_rows_that_were_sent_come_back_as_they_were() -> None:
    patient = Patient()
    table(text(), workers=Slow(patient))
    weigh, (portion, rules) = pickle.loads(patient.given[0])  # noqa: S301  # what was written above
    found: Weighed = weigh(portion, rules)
    again: Weighed = pickle.loads(pickle.dumps(found))  # noqa: S301  # what was written here
    pd.testing.assert_frame_equal(again.laid_out.frame, found.laid_out.frame)
    assert again.people == found.people
    assert (again.hashes == found.hashes).all()
