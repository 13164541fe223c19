"""`qingqiao notices` as the operator's staff call it."""

import re
from pathlib import Path

import pytest

from consent import notices, wordings
from consent.evidence import Language
from consent.notices import Form
from registry import catalogue
from tests.commanding import InProcess
from tests.databases import Addresses

NAME, ROLE = "卓玛", "州编译局译审"


@pytest.fixture
def qingqiao(short_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(short_path, addresses, monkeypatch)


def digits(form: Form = Form.READ) -> str:
    found = notices.find("RATING", "2026-03", Language.TIBETAN, form)
    assert found is not None
    return found.sha256.hex()


def test_a_text_is_listed_shown_read_and_signed_off(qingqiao: InProcess) -> None:
    waiting = qingqiao("notices", "list", "--waiting").stdout
    assert digits()[:16] in waiting
    assert waiting.count("待母语审校 / needs native review") == sum(one.needs_review for one in wordings.reviewable())

    shown = qingqiao("notices", "show", "RATING", "2026-03", "bo")
    assert digits() in shown.stdout
    assert "སུས་ལྟ་བ།" in shown.stdout
    assert "待母语审校" in shown.stdout

    said = ("--sha256", digits()[:16], "--reviewer", NAME, "--role", ROLE)
    signed = qingqiao("notices", "review", "RATING", "2026-03", "bo", *said, "--decision", "approved")
    assert (signed.returncode, "已审校 / reviewed" in signed.stdout) == (0, True), signed.stdout + signed.stderr
    assert digits()[:16] not in qingqiao("notices", "list", "--waiting").stdout
    assert digits(Form.ALOUD)[:16] in qingqiao("notices", "list", "--waiting").stdout  # a text of its own
    assert NAME in qingqiao("notices", "list").stdout
    assert f"approved: {NAME}, {ROLE}" in qingqiao("notices", "show", "RATING", "2026-03", "bo").stdout


def test_what_was_not_read_is_not_signed_off(qingqiao: InProcess) -> None:
    said = ("--reviewer", NAME, "--role", ROLE, "--decision", "approved")
    other = qingqiao("notices", "review", "RATING", "2026-03", "bo", "--aloud", "--sha256", digits(), *said)
    assert (other.returncode, other.stdout.count("✓")) == (2, 0)
    assert "审校的不是这份文本" in other.stderr
    unnamed = ("--sha256", digits(), "--reviewer", " ", "--role", ROLE, "--decision", "approved")
    assert "审校人须有姓名和身份" in qingqiao("notices", "review", "RATING", "2026-03", "bo", *unnamed).stderr
    silent = ("--sha256", digits(), "--reviewer", NAME, "--role", ROLE, "--decision", "refused")
    assert "须写明要改什么" in qingqiao("notices", "review", "RATING", "2026-03", "bo", *silent).stderr
    assert "没有这份文本" in qingqiao("notices", "show", "RATING", "2025-01", "bo").stderr


@pytest.mark.parametrize(("language", "words"), [("zh", "一级字表以外的字"), ("en", "Flesch-Kincaid")])
def test_a_text_is_shown_with_how_hard_it_is_to_read(qingqiao: InProcess, language: str, words: str) -> None:
    shown = qingqiao("notices", "show", "LOAN_APPROVAL", "2026-03", language, "--aloud")
    assert shown.returncode == 0, shown.stderr
    assert words in shown.stdout


def test_the_page_of_texts_is_written_to_a_file_that_a_browser_opens(qingqiao: InProcess, short_path: Path) -> None:
    out = short_path / "texts.html"
    made = qingqiao("notices", "page", str(out))
    assert made.returncode == 0, made.stderr
    text = out.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert not re.search(r"<(script|link|img|iframe)|url\(|@import", text), "it needs nothing from elsewhere"
    assert text.count("待母语审校 / needs native review") >= sum(one.needs_review for one in wordings.reviewable())


def test_the_tibetan_names_of_items_are_read_and_signed_off_like_a_text(qingqiao: InProcess) -> None:
    names = wordings.names()
    shown = qingqiao("notices", "show", names.purpose, names.version, "bo").stdout
    assert catalogue.current().kinds["RATING"].fields["grade"].bo in shown
    said = ("--sha256", names.sha256.hex(), "--reviewer", NAME, "--role", ROLE, "--decision", "approved")
    signed = qingqiao("notices", "review", names.purpose, names.version, "bo", *said)
    assert (signed.returncode, "已审校 / reviewed" in signed.stdout) == (0, True), signed.stdout + signed.stderr
    assert names.sha256.hex()[:16] not in qingqiao("notices", "list", "--waiting").stdout
