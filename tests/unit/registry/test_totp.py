"""One-time passwords by the clock are those of RFC 6238, and a step is found only near its time."""

from datetime import UTC, datetime, timedelta

import pytest

from registry.suites import totp_at, totp_step, totp_text, totp_uri

SECRET = b"12345678901234567890"  # of RFC 6238, appendix B


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ],
)
def test_passwords_are_those_of_the_rfc(second: int, code: str) -> None:
    """The vectors of RFC 6238, appendix B for SHA-1, of which the last six of eight digits are ours."""
    assert totp_at(SECRET, second // 30) == code
    assert totp_step(SECRET, code, now=datetime.fromtimestamp(second, UTC)) == second // 30


@pytest.mark.parametrize(("late", "found"), [(-31, False), (-30, True), (0, True), (59, True), (60, False)])
def test_a_password_counts_one_step_to_either_side(late: int, found: bool) -> None:  # noqa: FBT001  # what is expected
    now = datetime(2026, 6, 15, 8, 0, 0, tzinfo=UTC)
    step = int(now.timestamp()) // 30
    assert (totp_step(SECRET, totp_at(SECRET, step), now=now + timedelta(seconds=late)) == step) is found


@pytest.mark.parametrize("code", ["", "28708", "2870822", "２８７０８２", "abcdef"])
def test_what_is_no_password_belongs_to_no_step(code: str) -> None:
    assert totp_step(SECRET, code, now=datetime.fromtimestamp(59, UTC)) is None


def test_a_secret_is_written_as_apps_read_it() -> None:
    assert totp_text(SECRET) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    uri = totp_uri(SECRET, account="phone-1", issuer="Qingqiao")
    assert uri.startswith("otpauth://totp/Qingqiao:phone-1?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
