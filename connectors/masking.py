"""Identifiers made unreadable, for copies that are shown and not sent back. Pure."""

import re
from typing import Final

_LIKE_IDENTIFIER: Final = re.compile(r"(?<![0-9A-Za-z])[0-9]{6,}[0-9Xx*]*(?![0-9A-Za-z])")
_FIRST: Final = 3
_LAST: Final = 2


def masked(text: str) -> str:
    """Mask an identifier: its first three and last two characters stay of a long one, nothing of a short one."""
    bare = text.strip()
    if len(bare) <= 2 * _FIRST:
        return "*" * len(bare)
    return f"{bare[:_FIRST]}{'*' * (len(bare) - _FIRST - _LAST)}{bare[-_LAST:]}"


def masked_text(text: str) -> str:
    """Mask whatever in a text looks like an identifier."""
    return _LIKE_IDENTIFIER.sub(lambda found: masked(found[0]), text)
