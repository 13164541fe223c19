"""The people for every outcome, and what the document for lenders says of them."""

import re
from pathlib import Path

from consent.decision import Reason
from exchange.problems import CATALOGUE
from sandbox.outcomes import PERMITTED, table

ROOT = Path(__file__).parents[3]
OF_NO_PERSON = {
    Reason.NOTHING_ASKED,  # a list of items without one is malformed, and no kind is empty
    Reason.HISTORY_TOO_LONG,  # a question states no history: it gets what the consent allows
    Reason.SENSITIVE_NOT_AGREED,  # a consent of such items without the act is not taken at all
    Reason.STAFF_NOT_LISTED,  # its lender keeps no list, so that everybody may try under any code
}


def test_the_document_lists_every_person_with_number_and_outcome() -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([a-z-]+) \| (\d{17}[\dX]) \| `([a-z-]+)`(?:, (\w+))? \| (.+) \|$", text, re.MULTILINE)
    assert listed == [(one.name, one.identifier, one.expect, one.label or "", one.zh) for one in table().outcomes]


def test_every_reason_of_a_refusal_has_its_person_or_is_said_to_have_none() -> None:
    shown = {one.expect for one in table().outcomes}
    assert {reason for reason in Reason if reason.value not in shown} == OF_NO_PERSON
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| none \| \| `([a-z-]+)` \| .+ \|$", text, re.MULTILINE)
    assert listed == [reason.value for reason in Reason if reason in OF_NO_PERSON]


def test_every_outcome_is_a_published_one() -> None:
    assert {one.expect for one in table().outcomes} - set(CATALOGUE) == {PERMITTED}


def test_what_is_repeated_by_its_key_was_asked_before() -> None:
    assert [one.name for one in table().outcomes if one.ask.again and "ask" not in one.then] == []
    assert len({one.key for one in table().outcomes}) == len(table().outcomes)


def test_a_question_is_the_same_whenever_it_is_asked() -> None:
    for one in table().outcomes:
        assert one.question() == one.question()
