"""What a file or a sheet is called here: its name as its sender chose it, less the numbers that name somebody. Pure.

Staff call files and sheets as they like, by the number of whoever is in them too. Labels are kept in the clear, listed
to all of an agency's clients and printed by commands. So an identifier in a name is made unreadable before the name is
kept: resident IDs of 18 and 15 digits, credit codes, numbers of cards and accounts, mobile telephones; written in one
piece, in the usual groups, or in full-width digits. Years, dates, times and division codes stay.

A name without digits names a person too, and nobody can tell it from a village's: that stays, and the documents ask
agencies not to do so (docs/agencies.md).
"""

import re
import unicodedata
from typing import Final

MASK: Final = "＊＊＊"  # full-width: an asterisk may stand in no file name
_LAST: Final = 2  # digits that stay, so that two files of one name can be told apart
_IDENTIFIER: Final = re.compile(
    r"""
    (?<!\d) [1-9A-GY] [1-9] \d{6} [0-9A-HJ-NP-RTUW-Y]{10} (?![0-9A-Z])  # a credit code
    | (?<!\d) \d{15,} X? (?!\d)                           # IDs, accounts, cards: no date or time has as many digits
    | (?<!\d) \d{6} [ _-] \d{8} [ _-] \d{3} [\dX]       # an ID in its parts
    | (?<!\d) \d{4} (?: [ _-] \d{4} ){3} (?: [ _-] \d{1,4} )? (?!\d)  # a card in groups of four
    | (?<!\d) (?: 86 )? 1 [3-9] \d{9} (?!\d)            # a mobile telephone
    | (?<!\d) 1 [3-9] \d [ _-] \d{4} [ _-] \d{4} (?!\d)
    """,
    re.VERBOSE,
)


def nameless(name: str) -> str:
    """Give a name with its identifiers made unreadable; one that has none is given as it is."""
    plain = "".join(_plain(one) for one in name)
    kept, end = "", 0
    for found in _IDENTIFIER.finditer(plain):
        kept += name[end : found.start()] + MASK + name[found.end() - _LAST : found.end()]
        end = found.end()
    return kept + name[end:]


def of_table(name: str, sheet: str, number: int) -> str:
    """Label a table by its file's name and its sheet's; by the sheet's number where its name holds an identifier.

    So no two sheets of one file have the same label, whatever is left of their names.
    """
    return f"{name}#{sheet if nameless(sheet) == sheet else f'第{number}张'}"


def _plain(one: str) -> str:
    """Write a character as what it stands for, one for one: digits and letters of any width."""
    folded = unicodedata.normalize("NFKC", one).upper()
    return folded if len(folded) == 1 else one
