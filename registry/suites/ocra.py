"""Codes over a challenge and the clock (OCRA, RFC 6287): HMAC-SHA-256, eight digits over eight digits, 30 seconds.

A code answers one challenge: what is to be confirmed makes the challenge, so that a code which was overheard confirms
nothing else. The key is shared by the phone and the exchange.

Says which code belongs to a challenge and a step, and which step a code belongs to. Not here: what a challenge is made
of, counting wrong tries, and refusing a step that was used; whoever asks does that in the transaction in which it
decides.
"""

from base64 import b32encode
from datetime import datetime
from typing import Final

from registry.suites.digests import constant_time_equal, hmac_sha256

SUITE: Final = "OCRA-1:HOTP-SHA256-8:QN08-T30S"
SECRET_BYTES: Final = 32  # RFC 6287 §5.1: as long as the hash
STEP_SECONDS: Final = 30
CHALLENGE_DIGITS: Final = 8
_DRIFT_STEPS: Final = 1  # RFC 6238 §5.2: one step to either side for clocks and slow typing
_DIGITS: Final = 8
_QUESTION_HEX: Final = 256  # RFC 6287 §5.1: 128 bytes


def ocra_text(secret: bytes) -> str:
    """Write a secret as people type it and apps read it: base32 without padding."""
    return b32encode(secret).decode("ascii").rstrip("=")


def ocra_at(secret: bytes, challenge: str, step: int) -> str:
    """Give the code for a challenge in a step."""
    return ocra_response(SUITE, secret, _question(challenge), step.to_bytes(8, "big"))


def ocra_step(secret: bytes, challenge: str, code: str, *, now: datetime) -> int | None:
    """Say in which step near `now` a code answers a challenge; None: in none. Each step is compared, whatever fits."""
    here, found = int(now.timestamp()) // STEP_SECONDS, None
    given = code.encode()
    for step in range(here - _DRIFT_STEPS, here + _DRIFT_STEPS + 1):
        if constant_time_equal(ocra_at(secret, challenge, step).encode(), given):
            found = step
    return found


def ocra_response(suite: str, secret: bytes, question: bytes, more: bytes) -> str:
    """Compute a code of eight digits (RFC 6287 §5, §6) for a suite of SHA-256: `more` is what follows the question."""
    digest = hmac_sha256(secret, suite.encode("ascii") + b"\x00" + question + more)
    start = digest[-1] & 0x0F  # RFC 4226 §5.3
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def _question(challenge: str) -> bytes:
    """Write a number as a question: in hexadecimal, filled up with zeros on the right (RFC 6287, reference code)."""
    return bytes.fromhex(f"{int(challenge):x}".ljust(_QUESTION_HEX, "0"))
