"""Identifiers that check, and ones broken on purpose, for people and collectives that do not exist.

Written a second time, apart from the product's own rules, because the sandbox is an outside party: if both
sides shared the rule, a wrong rule would agree with itself. Texts: GB 11643-1999 (resident ID), GB 32100-2015
and GB 11714 (credit code), ISO/IEC 7812-1 (Luhn).

Every resident ID has the sequence 000, which is not given to anybody, so no number here belongs to a person.
It does not judge identifiers; it only makes them.
"""

from datetime import date
from typing import Final

SEQUENCE: Final = "000"  # not allocated in practice
_RESIDENT_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS: Final = "10X98765432"
_CREDIT_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z: too like digits
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)


def resident_id(division: str, born: date) -> str:
    """Make the 18-character resident ID (公民身份号码) of a birth date registered in a six-digit division."""
    body = f"{division}{born:%Y%m%d}{SEQUENCE}"
    total = sum(int(digit) * weight for digit, weight in zip(body, _RESIDENT_WEIGHTS, strict=True))
    return body + _RESIDENT_CHECKS[total % 11]


def old_resident_id(number: str) -> str:
    """Cut an 18-character resident ID of somebody born in the 1900s to the 15-digit form used before 1999."""
    return number[:6] + number[8:17]


def credit_code(kind: str, division: str, serial: int) -> str:
    """Make a unified social credit code (统一社会信用代码).

    Args:
        kind: department and type, two characters; N2 is a village collective.
        division: six digits of the registering county.
        serial: the organisation's number, up to eight digits.
    """
    body = f"{serial:08d}"
    remainder = 11 - sum(int(c) * weight for c, weight in zip(body, _ORGANISATION_WEIGHTS, strict=True)) % 11
    text = f"{kind}{division}{body}" + {10: "X", 11: "0"}.get(remainder, str(remainder))
    total = sum(_CREDIT_ALPHABET.index(c) * pow(3, position, 31) for position, c in enumerate(text))
    return text + _CREDIT_ALPHABET[-total % 31]


def card_number(serial: int) -> str:
    """Make a 19-digit 一卡通 card number that passes the Luhn check; the bank prefix 623999 is nobody's."""
    body = f"623999{serial:012d}"
    total = 0
    for position, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if position % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the digits of a two-digit number, added
    return body + str(-total % 10)


def ear_tag(species: str, county: str, serial: int) -> str:
    """Make an ear tag of 15 digits: species (1 pig, 2 cattle, 3 sheep), county of six digits, serial of eight."""
    return f"{species}{county}{serial:08d}"


def with_wrong_end(text: str) -> str:
    """Change the last character to another digit, so that the check of whatever this was fails."""
    return text[:-1] + ("1" if text[-1] != "1" else "2")


def full_width(text: str) -> str:
    """Write digits and letters in their full-width forms, as an input method left on Chinese does."""
    return "".join(chr(ord(c) + 0xFEE0) for c in text)
