"""One-time passwords by the clock (TOTP, RFC 6238): SHA-1, six digits, 30 seconds, as authenticator apps expect.

Says which password belongs to a step, and which step a password belongs to. Not here: counting wrong tries and
refusing a step that was used; whoever asks does that in the transaction in which it decides.
"""

from base64 import b32encode
from datetime import datetime
from typing import Final

import pyotp

from registry.suites.digests import constant_time_equal

SECRET_BYTES: Final = 20  # RFC 4226 §4: 160 bits are recommended
STEP_SECONDS: Final = 30
_DRIFT_STEPS: Final = 1  # RFC 6238 §5.2: one step to either side for clocks and slow typing
_DIGITS: Final = 6


def totp_text(secret: bytes) -> str:
    """Write a secret as people type it and apps read it: base32 without padding."""
    return b32encode(secret).decode("ascii").rstrip("=")


def totp_uri(secret: bytes, *, account: str, issuer: str) -> str:
    """Write the `otpauth:` address that an app reads from a QR code."""
    return _totp(secret).provisioning_uri(name=account, issuer_name=issuer)


def totp_at(secret: bytes, step: int) -> str:
    """Give the password of a step."""
    return _totp(secret).generate_otp(step)


def totp_step(secret: bytes, code: str, *, now: datetime) -> int | None:
    """Say which step near `now` a password belongs to; None if to none. Every step near is compared, whatever fits."""
    here, found = int(now.timestamp()) // STEP_SECONDS, None
    given = code.encode()
    for step in range(here - _DRIFT_STEPS, here + _DRIFT_STEPS + 1):
        if constant_time_equal(totp_at(secret, step).encode(), given):
            found = step
    return found


def _totp(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(totp_text(secret), digits=_DIGITS, interval=STEP_SECONDS)
