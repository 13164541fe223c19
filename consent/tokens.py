"""People who stand beside a consent, as keyed tokens: witnesses and representatives, never by name.

The same person gives the same token under the same key, so that a witness of a hundred consents can be told from a
hundred witnesses; without the keyring a token says nothing. Two uses of one text give two tokens.
"""

from collections.abc import Sequence
from typing import Final

from registry.keyring import SymmetricKey
from registry.suites import hmac_sha256

_BYTES: Final = 16


def witness(text: str, keys: Sequence[SymmetricKey]) -> list[str]:
    """Give a witness's token under each key, in their order. `text` is a name, or an identifier."""
    return _tokens(b"consent-witness|", text, keys)


def representative(text: str, keys: Sequence[SymmetricKey]) -> list[str]:
    """Give the token of whoever acts for a subject under each key, in their order. `text` is an identifier."""
    return _tokens(b"consent-representative|", text, keys)


def _tokens(use: bytes, text: str, keys: Sequence[SymmetricKey]) -> list[str]:
    return [f"{key.key_id}:{hmac_sha256(key.secret, use + text.encode())[:_BYTES].hex()}" for key in keys]
