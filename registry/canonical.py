"""Canonical bytes: the one way a value is written before it is hashed, committed to or signed.

After RFC 8785 (JCS), in a profile so narrow that orjson's sorted output *is* the canonical form:
  * object keys are ASCII strings (there, byte order and UTF-16 order agree)
  * numbers are integers with |n| < 2^53; rates and amounts with decimals are strings
  * no float, Decimal, bytes, date or any other type; strings are valid Unicode (no lone surrogates)
Everything else raises `CanonicalError`. Held equal to the `rfc8785` package by a property test.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from registry.errors import CanonicalError

JSON: TypeAlias = "str | int | bool | Sequence[JSON] | Mapping[str, JSON] | None"

_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_SCALARS: Final = frozenset({str, int, bool, type(None)})
_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER  # RFC 8785 §3.2.2.3: from 2^53 on IEEE doubles lose digits
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


def canonical(value: JSON) -> bytes:
    """Write a value as canonical JSON in UTF-8.

    Raises:
        CanonicalError: a value outside the profile; the message names its type, never its content.
    """
    try:
        written = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:  # also: a structure that holds itself
        raise CanonicalError("the value cannot be written as canonical JSON") from error
    if type(value) not in _SCALARS:
        _check(value)
    return written


def canonical_each(values: Sequence[str | int | bool | None]) -> list[bytes]:
    """Write each of many scalars as `canonical` does; much faster than a call for each.

    Raises:
        CanonicalError: one of them is no string, integer, boolean or null, or is outside the profile.
    """
    kinds = set(map(type, values))
    if foreign := kinds - _SCALARS:
        raise CanonicalError(f"a value of type {min(kind.__name__ for kind in foreign)} among scalars")
    try:
        if kinds == {str}:
            # The quotes around the delimiter are never escaped, and each closing one is read before the next opens:
            # written as one array and cut there, texts cost a third of a call for each.
            return [b'"' + text + b'"' for text in orjson.dumps(list(values), option=_OPTIONS)[2:-2].split(b'","')]
        if str not in kinds and values:
            return orjson.dumps(list(values), option=_OPTIONS)[1:-1].split(b",")
        write = orjson.dumps
        return [write(value, None, _OPTIONS) for value in values]
    except orjson.JSONEncodeError as error:
        raise CanonicalError("the value cannot be written as canonical JSON") from error


def canonical_object(members: Mapping[str, JSON], written: Mapping[str, bytes]) -> bytes:
    """Write an object of which some members are there already as `canonical` wrote them.

    The same bytes as `canonical` of the whole. Lets what many answers share be written once.

    Raises:
        CanonicalError: a member outside the profile.
    """
    _check(dict(members))
    if not "".join(written).isascii():
        raise CanonicalError("an object key that is not an ASCII string")
    return _dumps({**members, **{name: orjson.Fragment(member) for name, member in written.items()}})


def canonical_array(elements: Iterable[bytes]) -> bytes:
    """Put an array together from elements that `canonical` wrote."""
    return b"[" + b",".join(elements) + b"]"


def _dumps(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:  # also: a structure that holds itself
        raise CanonicalError("the value cannot be written as canonical JSON") from error


def _check(value: object) -> None:
    """Refuse what orjson writes and the profile does not know: floats, UUIDs, enums, keys outside ASCII.

    Works through containers only, without recursion. Integers out of range, keys that are no strings, foreign types
    and depth without end are refused by orjson itself.
    """
    containers: list[Any] = [value]
    for one in containers:  # grows while it is read
        kind = type(one)
        if kind is dict:
            if not "".join(one).isascii():
                raise CanonicalError("an object key that is not an ASCII string")
            containers += [item for item in one.values() if type(item) not in _SCALARS]
        elif kind is list or kind is tuple:
            containers += [item for item in one if type(item) not in _SCALARS]
        elif kind not in _SCALARS:
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
    encoded = binascii.b2a_base64(data, newline=False).rstrip(b"=")
    return encoded.replace(b"+", b"-").replace(b"/", b"_").decode("ascii")  # a fifth of what translating takes


def unb64url(text: str) -> bytes:
    """Decode base64url without padding; one byte string has exactly one spelling.

    Raises:
        ValueError: padding, a character outside the alphabet, or stray trailing bits.
    """
    try:
        encoded = text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4)
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:  # binascii's error, and that of a text that is not ASCII, are ValueErrors
        raise ValueError("not base64url") from error
    if b64url(data) != text:
        raise ValueError("not base64url in its one spelling")
    return data
