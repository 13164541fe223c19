"""What the benchmarks print rests on: ratios, verdicts, and requests as they go over the wire."""

from collections import deque

import pytest

from bench.rig.cost import Parts
from bench.rig.load import Load, request
from bench.rig.measure import Figure, best_rate, show
from bench.withdrawal import Answer, Person
from connectors.settling import Settling


def test_a_ratio_is_held_against_its_aim() -> None:
    assert Figure("x", limit=1000, ours=250, unit="rows", aim=0.25).verdict == "reached"
    assert Figure("x", limit=1000, ours=249, unit="rows", aim=0.25).verdict == "not reached"


def test_an_absolute_aim_is_held_against_our_rate() -> None:
    figure = Figure("x", limit=1_000_000, ours=100_000, unit="entries", aim=100_000, absolute=True)
    assert figure.verdict == "reached"
    assert figure.cells == ["x", "1,000,000 entries/s", "100,000 entries/s", "0.10", "100,000 entries/s", "reached"]


def test_a_figure_without_aim_has_no_verdict() -> None:
    assert Figure("x", limit=10, ours=5, unit="rows").cells[-2:] == ["", ""]


def test_the_table_is_printed_with_machine_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    show("title", [Figure("what", 10, 5, "rows", 0.5)], ["a note"])
    printed = capsys.readouterr().out
    assert "title" in printed
    assert "cores" in printed
    assert "reached" in printed
    assert "a note" in printed


def test_a_rate_counts_every_repeat_but_the_first() -> None:
    runs: list[int] = []
    assert best_rate(10, lambda: runs.append(1), repeats=3) > 0
    assert len(runs) == 4


def test_a_request_is_plain_http() -> None:
    assert request("POST", "/x", {"A": "b"}, b"hi") == (
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nA: b\r\n\r\nhi"
    )


def test_a_percentile_is_a_latency_that_was_seen() -> None:
    load = Load(seconds=2.0, latencies=[0.001, 0.002, 0.003, 0.1], statuses={200: 4})
    assert load.rate == 2.0
    assert load.percentile(0.5) == 3.0
    assert load.percentile(1.0) == 100.0


def test_a_permit_asked_for_after_the_withdrawal_had_returned_counts_as_broken() -> None:
    person = Person("one", deque(), commit_began=10.0, committed=10.01)
    person.answers = [Answer(9.0, 9.5, 200), Answer(9.9, 10.03, 200), Answer(10.02, 10.05, 403)]
    assert (person.broken, person.late) == (0, 1)
    assert person.lag_ms == pytest.approx(30)
    person.answers.append(Answer(10.02, 10.06, 200))
    assert person.broken == 1


def test_answers_that_all_came_before_a_withdrawal_lag_by_nothing() -> None:
    person = Person("one", deque(), [Answer(9.0, 9.5, 200), Answer(10.02, 10.05, 403)], 10.0, 10.01)
    assert (person.broken, person.late, person.lag_ms) == (0, 0, 0.0)


def test_every_part_that_an_intake_is_timed_by_exists_and_is_put_back() -> None:
    parts, before = Parts(), Settling._publish
    with parts.watching():
        assert Settling._publish is not before
    assert Settling._publish is before
