"""Canonical bytes: the one way a value is written before it is hashed, committed to or signed.

After RFC 8785 (JCS), in a profile so narrow that orjson's sorted output *is* the canonical form:
  * object keys are ASCII strings (there, byte order and UTF-16 order agree)
  * numbers are integers with |n| < 2^53; rates and amounts with decimals are strings
  * no float, Decimal, bytes, date or any other type; strings are valid Unicode (no lone surrogates)
Everything else raises `CanonicalError`. Held equal to the `rfc8785` package by a property test.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import orjson

from registry.errors import CanonicalError

JSON: TypeAlias = "str | int | bool | Sequence[JSON] | Mapping[str, JSON] | None"

_FIRST_INEXACT_INTEGER: Final = 2**53  # RFC 8785 §3.2.2.3: beyond it IEEE doubles lose digits
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS


def canonical(value: JSON) -> bytes:
    """Write a value as canonical JSON in UTF-8.

    Raises:
        CanonicalError: a value outside the profile; the message names its type, never its content.
    """
    if type(value) is not str:
        _check(value)
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise CanonicalError("the value cannot be written as canonical JSON") from error


def _check(value: object) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -_FIRST_INEXACT_INTEGER < value < _FIRST_INEXACT_INTEGER:  # type: ignore[operator]
            raise CanonicalError("an integer of 2^53 or more")
        return
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                raise CanonicalError("an object key that is not an ASCII string")
            _check(item)
        return
    if kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            _check(item)
        return
    raise CanonicalError(f"a value of type {kind.__name__}")


def b64(data: bytes) -> str:
    """Encode bytes as base64 with padding (RFC 4648 §4), as C2SP formats do."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Decode base64 with padding; one byte string has exactly one spelling.

    Raises:
        ValueError: not base64, or stray trailing bits.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if b64(data) != text:
        raise ValueError("not base64 in its one spelling")
    return data


def b64url(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """Decode base64url without padding; one byte string has exactly one spelling.

    Raises:
        ValueError: padding, a character outside the alphabet, or stray trailing bits.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if b64url(data) != text:
        raise ValueError("not base64url in its one spelling")
    return data
