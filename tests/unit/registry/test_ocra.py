"""Codes over a challenge: the vectors of RFC 6287, the clock, and one challenge only."""

from datetime import UTC, datetime, timedelta

import pytest

from registry.suites import OCRA_SECRET_BYTES, ocra_at, ocra_step, ocra_text
from registry.suites.ocra import ocra_response

KEY = b"12345678901234567890123456789012"
PIN = bytes.fromhex("7110eda4d09e062aa5e4a390b0a572ac0d2c0220")  # SHA-1 of 1234
NOW = datetime(2026, 3, 2, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("challenge", "code"),
    [
        ("00000000", "83238735"),
        ("11111111", "01501458"),
        ("22222222", "17957585"),
        ("33333333", "86776967"),
        ("44444444", "86807031"),
    ],
)
def test_numbers_are_answered_as_rfc_6287_appendix_c1_has_it(challenge: str, code: str) -> None:
    question = bytes.fromhex(f"{int(challenge):x}".ljust(256, "0"))
    assert ocra_response("OCRA-1:HOTP-SHA256-8:QN08-PSHA1", KEY, question, PIN) == code


@pytest.mark.parametrize(
    ("challenge", "code"),
    [("CLI22220SRV11110", "28247970"), ("CLI22221SRV11111", "01984843"), ("CLI22222SRV11112", "65387857")],
)
def test_letters_are_answered_as_rfc_6287_appendix_c2_has_it(challenge: str, code: str) -> None:
    assert ocra_response("OCRA-1:HOTP-SHA256-8:QA08", KEY, challenge.encode().ljust(128, b"\x00"), b"") == code


@pytest.mark.parametrize(("late", "found"), [(-30, True), (0, True), (30, True), (61, False), (-61, False)])
def test_a_code_counts_one_step_to_either_side(late: int, found: bool) -> None:  # noqa: FBT001  # what is expected
    step = int(NOW.timestamp()) // 30
    code = ocra_at(KEY, "12345678", step)
    assert (ocra_step(KEY, "12345678", code, now=NOW + timedelta(seconds=late)) == step) is found


def test_a_code_answers_no_other_challenge_and_no_other_phones() -> None:
    code = ocra_at(KEY, "12345678", int(NOW.timestamp()) // 30)
    assert ocra_step(KEY, "12345679", code, now=NOW) is None
    assert ocra_step(bytes(OCRA_SECRET_BYTES), "12345678", code, now=NOW) is None


@pytest.mark.parametrize("code", ["", "1234567", "123456789", "١٢٣٤٥٦٧٨", "12345678\n", "abcdefgh"])
def test_what_is_no_code_belongs_to_no_step(code: str) -> None:
    assert ocra_step(KEY, "12345678", code, now=NOW) is None


def test_a_secret_is_written_for_apps() -> None:
    assert ocra_text(b"12345678901234567890") == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
