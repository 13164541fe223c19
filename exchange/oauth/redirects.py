"""Redirect URIs: where a person is sent back to. Registered by the operator, compared letter by letter. Pure.

A page that sent people wherever a request says would send them, and a code, anywhere. So: `https` with a host, or
`http` on the machine itself (a test); no user name, no fragment, nothing that a browser would read as another host.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from exchange.errors import RequestRefused

MOST: Final = 8  # of one client
_LONGEST: Final = 300
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_FORBIDDEN: Final = frozenset(' "<>\\^`{|}#*')


def check(uri: str) -> str:
    """Return a redirect URI that may be registered.

    Raises:
        RequestRefused: see the module's header.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RequestRefused("client-unregistrable", "a redirect URI that cannot be read") from error
    plain = uri.isascii() and uri.isprintable() and _FORBIDDEN.isdisjoint(uri) and len(uri) <= _LONGEST
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not (plain and secure and host) or "@" in parts.netloc or ";" in parts.netloc or "," in parts.netloc:
        raise RequestRefused("client-unregistrable", "a redirect URI is https, with a host, without user or fragment")
    return uri


def origin(uri: str) -> str:
    """Give the origin of a registered redirect URI, as a content security policy names it."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def answered(uri: str, answer: Mapping[str, str | None]) -> str:
    """Add an authorization response to a redirect URI (RFC 6749 §4.1.2), keeping the query that it has."""
    more = urlencode({name: value for name, value in answer.items() if value is not None})
    return f"{uri}{'&' if urlsplit(uri).query else '?'}{more}"
