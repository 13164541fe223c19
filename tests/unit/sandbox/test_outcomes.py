"""The people for every outcome, and what the document for lenders says of them."""

import re
from pathlib import Path

from exchange.problems import CATALOGUE
from sandbox.outcomes import PERMITTED, table

ROOT = Path(__file__).parents[3]


def test_the_document_lists_every_person_with_number_and_outcome() -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([a-z-]+) \| (\d{17}[\dX]) \| `([a-z-]+)`(?:, (\w+))? \| (.+) \|$", text, re.MULTILINE)
    assert listed == [(one.name, one.identifier, one.expect, one.label or "", one.zh) for one in table().outcomes]


def test_every_outcome_is_a_published_one() -> None:
    assert {one.expect for one in table().outcomes} - set(CATALOGUE) == {PERMITTED}


def test_what_is_repeated_by_its_key_was_asked_before() -> None:
    assert [one.name for one in table().outcomes if one.ask.again and "ask" not in one.then] == []
    assert len({one.key for one in table().outcomes}) == len(table().outcomes)


def test_a_question_is_the_same_whenever_it_is_asked() -> None:
    for one in table().outcomes:
        assert one.question() == one.question()
