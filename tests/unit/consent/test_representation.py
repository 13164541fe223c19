"""Who may act for whom, on which document, and until when."""

from dataclasses import replace
from datetime import date, timedelta
from importlib import resources

import pytest

from consent import representation
from consent.errors import DeclarationInvalid, Fault, TermsRefused
from consent.representation import Kind, Meeting, Relation, Representation, Resolution

FIRST = date(2026, 1, 10)
TEXT = (resources.files("consent") / "resolutions.yml").read_text("utf-8")
PROXY = Representation(Kind.PROXY, Relation.CHILD, "lookup-1:00", b"\x01" * 32, date(2026, 12, 31))
GUARDIAN = Representation(Kind.GUARDIAN, Relation.PARENT, "lookup-1:00", b"\x01" * 32)
MEETING = Resolution(
    meeting=Meeting.MEMBERS,
    number="2025-12",
    members=90,
    present=60,
    votes_for=60,
    votes_against=0,
    votes_abstained=0,
    held_on=date(2025, 12, 20),
    publicity_from=date(2025, 12, 21),
    publicity_to=date(2025, 12, 27),
    term_until=date(2026, 12, 31),
    minutes_sha256=b"\x02" * 32,
)


def fault(acted: Representation, *, sensitive: bool = False) -> Fault | None:
    try:
        representation.check(acted, sensitive=sensitive, first_day=FIRST, given=representation.rules())
    except TermsRefused as refused:
        return refused.code
    return None


def resolved(**changes: object) -> Representation:
    return Representation(Kind.RESOLUTION, Relation.BOARD, resolution=replace(MEETING, **changes))  # type: ignore[arg-type]  # edges of the example


@pytest.mark.parametrize("acted", [PROXY, GUARDIAN, resolved()])
def test_whoever_has_a_document_may_act(acted: Representation) -> None:
    assert fault(acted) is None
    assert Representation.of_json(acted.as_json()) == acted


@pytest.mark.parametrize(
    ("acted", "expected"),
    [
        (replace(PROXY, document_sha256=None), Fault.POWER_OF_ATTORNEY_MISSING),
        (replace(PROXY, document_sha256=b"\x01" * 31), Fault.POWER_OF_ATTORNEY_MISSING),
        (replace(PROXY, until=None), Fault.POWER_OF_ATTORNEY_MISSING),
        (replace(PROXY, by=None), Fault.REPRESENTATION_INVALID),
        (replace(PROXY, until=FIRST - timedelta(days=1)), Fault.REPRESENTATION_OVER),
        (replace(GUARDIAN, document_sha256=None), Fault.GUARDIANSHIP_UNPROVEN),
        (replace(GUARDIAN, relation=Relation.AGENT), Fault.GUARDIANSHIP_UNPROVEN),
        (replace(GUARDIAN, by=None), Fault.REPRESENTATION_INVALID),
        (replace(PROXY, resolution=MEETING), Fault.REPRESENTATION_INVALID),
        (replace(resolved(), resolution=None), Fault.RESOLUTION_MISSING),
    ],
)
def test_nobody_acts_without_a_document_or_after_its_last_day(acted: Representation, expected: Fault) -> None:
    assert fault(acted) is expected


def test_a_power_of_attorney_carries_its_last_day_and_no_sensitive_item() -> None:
    assert fault(replace(PROXY, until=FIRST)) is None
    assert fault(PROXY, sensitive=True) is Fault.SENSITIVE_BY_PROXY
    assert fault(GUARDIAN, sensitive=True) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"present": 59, "votes_for": 59}, Fault.QUORUM_MISSED),
        ({"votes_for": 59, "votes_against": 1}, Fault.VOTES_MISSED),
        ({"present": 90, "votes_for": 59, "votes_against": 31}, Fault.VOTES_MISSED),
        ({"votes_for": 61}, Fault.RESOLUTION_INVALID),
        ({"present": 91, "votes_for": 91}, Fault.RESOLUTION_INVALID),
        ({"votes_for": 61, "votes_against": -1}, Fault.RESOLUTION_INVALID),
        ({"number": "  "}, Fault.RESOLUTION_INVALID),
        ({"minutes_sha256": b"\x02"}, Fault.RESOLUTION_INVALID),
        ({"publicity_from": date(2025, 12, 19)}, Fault.RESOLUTION_INVALID),
        ({"publicity_to": date(2025, 12, 26)}, Fault.PUBLICITY_TOO_SHORT),
        ({"publicity_to": FIRST}, Fault.PUBLICITY_NOT_OVER),
        ({"term_until": FIRST - timedelta(days=1)}, Fault.REPRESENTATION_OVER),
        ({"meeting": Meeting.REPRESENTATIVES, "members": 20, "present": 20, "votes_for": 20}, Fault.QUORUM_MISSED),
        (
            {"meeting": Meeting.REPRESENTATIVES, "term_until": date(2030, 12, 21)},
            Fault.RESOLUTION_INVALID,
        ),
    ],
)
def test_a_meeting_that_the_law_would_not_count_decides_nothing(changes: dict[str, object], expected: Fault) -> None:
    assert fault(resolved(**changes)) is expected


def test_two_thirds_are_two_thirds_to_the_head() -> None:
    exact = {"members": 91, "present": 61, "votes_for": 61}
    assert fault(resolved(**exact)) is None  # 61 of 91 is more than two thirds; 60 of 91 is less
    assert fault(resolved(**exact | {"present": 60, "votes_for": 60})) is Fault.QUORUM_MISSED
    reps = {"meeting": Meeting.REPRESENTATIVES, "members": 21, "present": 14, "votes_for": 14}
    assert fault(resolved(**reps, term_until=date(2030, 12, 20))) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("votes_for: {of: 3, least: 2}", "votes_for: {of: 3, least: 4}", "more than all"),
        ("    term_years: 0\n", "", "term_years: missing"),
        ("publicity_days: 7", "publicity_days: 0", "at least 1"),
        ("publicity_days: 7", "publicity_days: 7\npublicity: 3", "not understood"),
        ("  representatives:", "  delegates:", "representatives: missing"),
        ("version:", "version: [", "not readable"),
    ],
)
def test_a_mistake_in_the_rules_is_loud(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(DeclarationInvalid, match=message):
        representation.read(TEXT.replace(old, new, 1))


def test_who_acted_is_in_no_repr() -> None:
    assert "lookup-1" not in repr(PROXY)
