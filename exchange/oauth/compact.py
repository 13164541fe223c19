"""A strict reader of compact JWS (RFC 7515 §7.1), for tokens that strangers send.

It splits and decodes; it does not verify, and it does not decide what a claim means. A JWS is
refused unless: it is short enough, has exactly three parts, each part is base64url in its one
spelling, header and payload are JSON objects, and the header has no `crit` and no `b64`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

import orjson

from registry.canonical import unb64url

MAX_CHARACTERS: Final = 8192  # an RSA-4096 proof with its key is about 2,000
_KEPT_CHARACTERS: Final = 1024  # a header with a key of RSA-4096 has 970; longer ones would fill memory with nonsense


class MalformedJws(ValueError):
    """Not a compact JWS that we read. The message is fixed and repeats nothing."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A JWS taken apart, unverified."""

    header: Mapping[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def read(text: str) -> Compact:
    """Take a compact JWS apart.

    Raises:
        MalformedJws: see the module's header.
    """
    if len(text) > MAX_CHARACTERS:
        raise MalformedJws("too long")
    parts = text.split(".")
    if len(parts) != 3:  # noqa: PLR2004  # header, payload, signature
        raise MalformedJws("not three parts")
    try:
        read_header = _header if len(parts[0]) <= _KEPT_CHARACTERS else _header.__wrapped__
        header, claims = read_header(parts[0]), orjson.loads(unb64url(parts[1]))
        signature = unb64url(parts[2])
        signing_input = text[: text.rindex(".")].encode("ascii")
    except ValueError as error:  # bad base64url, bad JSON (orjson's error is a ValueError), not ASCII
        raise MalformedJws("not base64url, or not JSON") from error
    if header is None or not isinstance(claims, dict):
        raise MalformedJws("not JSON objects")
    if "crit" in header or "b64" in header:
        raise MalformedJws("critical headers are not taken")
    return Compact(header, claims, signing_input, signature)


@lru_cache(maxsize=512)  # whoever signs, signs under one header again and again
def _header(part: str) -> Mapping[str, Any] | None:
    """Decode a header, a ValueError if it cannot be; None if it is no object."""
    header = orjson.loads(unb64url(part))
    return MappingProxyType(header) if isinstance(header, dict) else None


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate claim in seconds since 1970, or None when it is absent.

    Raises:
        MalformedJws: present, but not a finite number that a date can hold.
    """
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or abs(value) > 2**40:
        raise MalformedJws(f"{name} is not a time")
    return float(value)


def text(claims: Mapping[str, Any], name: str, *, longest: int = 256) -> str:
    """Return a claim that must be a non-empty string of at most `longest` characters.

    Raises:
        MalformedJws: absent, empty, too long or not a string (an array of strings is not one).
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise MalformedJws(f"{name} is missing or not one string")
    return value
