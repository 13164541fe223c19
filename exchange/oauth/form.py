"""The token endpoint's form: `application/x-www-form-urlencoded`, each parameter once. Pure.

Authlib takes the first of several values; which of two a proxy or a log before us took, nobody
knows. RFC 6749 §3.2 forbids the repetition, and so do we.
"""

from typing import Final
from urllib.parse import unquote

from exchange.errors import RequestRefused

MAX_BYTES: Final = 16 * 1024
_MAX_PARAMETERS: Final = 16
_CONTENT_TYPE: Final = "application/x-www-form-urlencoded"


def read(content_type: str | None, body: bytes) -> dict[str, str]:
    """Return the parameters; those sent empty count as not sent (RFC 6749 §3.2).

    Raises:
        RequestRefused: another content type, not such a form, not UTF-8, a parameter twice, or too many.
    """
    kind, _, parameters = (content_type or "").partition(";")
    if kind.strip().lower() != _CONTENT_TYPE or parameters.strip().lower() not in {"", "charset=utf-8"}:
        raise RequestRefused("request-malformed", f"the content type is {_CONTENT_TYPE}")
    if len(body) > MAX_BYTES:
        raise RequestRefused("request-malformed", "the form is too long")
    try:
        fields = [field.split("=", 1) for field in body.decode("ascii").split("&")] if body else []
        pairs = [(_decoded(name), _decoded(value)) for name, value in fields]
    except ValueError as error:  # not ASCII, not UTF-8 behind the escapes, or a field without a value
        raise RequestRefused("request-malformed", "the form cannot be read") from error
    if len(pairs) > _MAX_PARAMETERS:
        raise RequestRefused("request-malformed", "the form has too many parameters")
    if len({name for name, _ in pairs}) != len(pairs):
        raise RequestRefused("request-malformed", "a parameter occurs more than once")
    return {name: value for name, value in pairs if value}


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " "), errors="strict") if "%" in text or "+" in text else text
