"""No cell that we write becomes a formula, and no text is changed that would not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.neutral import neutral


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1", "＠x", "\u3000=1", "-cmd|'/c calc'!A0",
     "\ufeff=1", "|x", "%x"],
)  # fmt: skip
def test_what_a_spreadsheet_would_run_is_written_as_text(text: str) -> None:
    assert neutral(text) == "'" + text


@pytest.mark.parametrize("text", ["", "卓玛", "-12.50", "+3", "-.5", "a=b", "2026-03-25", "'=1", "（-1）"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert neutral(text) == text


@given(st.text(max_size=30))
def test_doing_it_twice_is_doing_it_once(text: str) -> None:
    assert neutral(neutral(text)) == neutral(text)
