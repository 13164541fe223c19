"""PKCE (RFC 7636), S256 only: who redeems a code is who asked for it. Pure."""

import re
from typing import Final

from registry.canonical import b64url
from registry.suites import constant_time_equal, sha256

METHOD: Final = "S256"
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(text: str) -> bool:
    """Tell whether a text has the form of an S256 challenge."""
    return bool(_CHALLENGE.fullmatch(text))


def answers(verifier: str, challenge: str) -> bool:
    """Tell whether a verifier is the one that a challenge was made of."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    return constant_time_equal(b64url(sha256(verifier.encode("ascii"))).encode(), challenge.encode())
