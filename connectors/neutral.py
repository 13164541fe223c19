"""Cells that we write for people to open: none of them may become a formula in a spreadsheet.

A cell that begins with = + - @ TAB or CR is run by spreadsheets when a file is opened; so may one behind spaces, in
full width, or after a line break in a CSV. Such a text gets an apostrophe before it, which spreadsheets show as text.
A plain number with a sign stays a number.

What a sender wrote, and the words that we put beside it, pass through here on their way into a workbook for people
(`annotate`, `templates`; OWASP: CSV Injection); no .csv is written for them. Reading is not affected: an apostrophe
that a file brings is part of its text.
"""

import re
import unicodedata
from typing import Final

_STARTS: Final = frozenset("=+-@\t\r\n|%")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")


def neutral(text: str) -> str:
    """Give a text that no spreadsheet runs; the same text if none would."""
    if not text:
        return text
    folded = unicodedata.normalize("NFKC", text)
    stripped = folded.lstrip(" \u00a0\u200b\ufeff\u3000\x00")
    first = stripped[:1] or folded[:1]
    if first not in _STARTS or _NUMBER.fullmatch(text):
        return text
    return "'" + text
