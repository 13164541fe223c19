"""Identifiers by which the exchange names persons, organisations, accounts and animals.

An identifier is parsed once, where it enters, into a value that cannot be malformed. Code further in takes `ResidentId`
or `CreditCode` instead of `str` and never checks again. `registry.identifier_columns` applies the same tables and the
same order to whole columns.

Rules followed:
  * resident ID number (公民身份号码): GB 11643-1999, check by ISO 7064 MOD 11-2; residence permits for Hong Kong, Macao
    and Taiwan (81/82/83…) and the foreign permanent resident card of 2023 (9…) have the same shape and check
  * unified social credit code (统一社会信用代码): GB 32100-2015, with the organisation code of GB 11714 inside
  * ear tag (畜禽标识): 15 digits; contractor code (承包方编码): 18 digits
  * division code (区划代码): 6, 9 or 12 digits; whether there is such a division is for `registry.divisions` to say
Order of checks: length and characters first (`MalformedIdentifier`), then check character, dates, age
(`IdentifierCheckFailed`). Not done here: whether the region exists (`registry.divisions`), which is a remark and no
error. No error and no repr shows more than four characters.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import ClassVar, Final, Self, TypeAlias

from registry.errors import IdentifierCheckFailed, MalformedIdentifier

RESIDENT_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # 2^(17-i) mod 11, GB 11643
RESIDENT_CHECKS: Final = "10X98765432"  # by the weighted sum mod 11
CREDIT_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z: too like digits
CREDIT_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))  # GB 32100
ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)  # GB 11714; letters count A = 10 … Z = 35
ORGANISATION_CHECKS: Final = "0X987654321"  # by the weighted sum mod 11: 11 - sum, 10 is X, 11 is 0
OLDEST_YEARS: Final = 120
RESIDENT_LENGTH: Final = 18
OLD_RESIDENT_LENGTH: Final = 15
CREDIT_LENGTH: Final = 18
_OLD_CENTURY: Final = "19"  # what the old form leaves out
_REGION: Final = slice(2, 8)
_DIVISION_LENGTHS: Final = (6, 9, 12)
_NOISE: Final = re.compile("[\\s\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u2010-\u2015\u2212-]")
_LEADING_QUOTES: Final = "'`\u2018\u2019\u00b4"
_DIGITS: Final = re.compile("[0-9]+")
_RESIDENT: Final = re.compile("[0-9]{17}[0-9X]")


class SubjectKind(StrEnum):
    """What a subject is."""

    PERSON = "person"
    ORGANISATION = "organisation"
    REGION = "region"  # a district that weather and prices are about; nobody's data


class ResidentDocument(StrEnum):
    """Which card a person's 18 characters stand on."""

    RESIDENT = "resident"
    HONG_KONG_MACAO_TAIWAN = "hmt-permit"
    FOREIGN = "foreign-permit"


def normalise(text: str) -> str:
    """Write an identifier as its rule expects it.

    Full-width to half-width (NFKC); zero-width characters, spaces and hyphens removed wherever they stand; a leading
    apostrophe (how a spreadsheet marks text) removed; letters upper case. Repeated until nothing changes, since what
    is left of a removed character may combine anew with its neighbour.
    """
    while (folded := _folded(text)) != text:
        text = folded
    return text


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).strip().lstrip(_LEADING_QUOTES)
    return _NOISE.sub("", folded).lstrip(_LEADING_QUOTES).upper()


def resident_check(digits: str) -> str:
    """Return the check character of 17 digits (ISO 7064 MOD 11-2)."""
    return RESIDENT_CHECKS[
        sum(int(digit) * weight for digit, weight in zip(digits, RESIDENT_WEIGHTS, strict=True)) % 11
    ]


@dataclass(frozen=True, slots=True)
class ResidentId:
    """A person's 18 characters, with their check character and birth date proven."""

    text: str
    converted: bool = field(default=False, compare=False)  # came as an old 15-digit number

    kind: ClassVar[SubjectKind] = SubjectKind.PERSON

    @classmethod
    def parse(cls, text: str, *, on: date | None = None) -> Self:
        """Read 18 characters, or 15 digits of the old form, which become 18.

        Args:
            text: as an agency writes it; see `normalise`.
            on: the day of the record. With it, a birth after that day or an age over 120 is refused.

        Raises:
            MalformedIdentifier: wrong length, or a character that cannot stand there (the letter O for a zero).
            IdentifierCheckFailed: check character, birth date or age impossible.
        """
        code = normalise(text)
        shown = code[:2]
        converted = len(code) == OLD_RESIDENT_LENGTH
        if converted and _DIGITS.fullmatch(code):
            code = f"{code[:6]}{_OLD_CENTURY}{code[6:]}"
            code += resident_check(code)
        if len(code) != RESIDENT_LENGTH:
            raise MalformedIdentifier(f"resident ID {shown}…: {len(code)} characters, need 18 or 15")
        if not _RESIDENT.fullmatch(code):
            raise MalformedIdentifier(f"resident ID {shown}…: a character that cannot stand there")
        if code[17] != resident_check(code[:17]):
            raise IdentifierCheckFailed(f"resident ID {shown}…: check character does not match")
        try:
            birth = date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
        except ValueError:
            raise IdentifierCheckFailed(f"resident ID {shown}…: birth date does not exist") from None
        if on is not None and not (birth <= on and years_between(birth, on) <= OLDEST_YEARS):
            raise IdentifierCheckFailed(f"resident ID {shown}…: birth date is not that of a living person")
        return cls(code, converted)

    @property
    def old_form(self) -> str | None:
        """The 15 digits that became this number; None where there never were any: a permit, or born after 1999."""
        born_before = self.text[6:8] == _OLD_CENTURY and self.document is ResidentDocument.RESIDENT
        return self.text[:6] + self.text[8:17] if born_before else None

    @property
    def region(self) -> str:
        """The six-digit code of the county that first issued it; never a place of residence."""
        return self.text[:6]

    @property
    def birth(self) -> date:
        """The birth date."""
        return date(int(self.text[6:10]), int(self.text[10:12]), int(self.text[12:14]))

    @property
    def document(self) -> ResidentDocument:
        """Which card it stands on."""
        if self.text[0] == "9":
            return ResidentDocument.FOREIGN
        if self.text[:2] in {"81", "82", "83"}:
            return ResidentDocument.HONG_KONG_MACAO_TAIWAN
        return ResidentDocument.RESIDENT

    @property
    def synthetic(self) -> bool:
        """Whether the sequence is 000, which is given to nobody: test and sandbox persons have it."""
        return self.text[14:17] == "000"

    @property
    def masked(self) -> str:
        """The form that may be displayed: first six and last four characters."""
        return f"{self.text[:6]}********{self.text[14:]}"

    def __repr__(self) -> str:
        """Show enough to tell two apart in a traceback, not enough to look one up."""
        return f"ResidentId({self.text[:2]}…{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class CreditCode:
    """An organisation's unified social credit code, with both its check characters proven."""

    text: str

    kind: ClassVar[SubjectKind] = SubjectKind.ORGANISATION

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an 18-character code as an agency writes it; see `normalise`.

        Raises:
            MalformedIdentifier: wrong length, a letter outside the alphabet, or a region that is not six digits.
            IdentifierCheckFailed: the check character, or that of the organisation code inside, does not match.
        """
        code = normalise(text)
        shown = code[:2]
        if len(code) != CREDIT_LENGTH:
            raise MalformedIdentifier(f"credit code {shown}…: {len(code)} characters, need 18")
        values = [CREDIT_ALPHABET.find(character) for character in code]
        if -1 in values:
            raise MalformedIdentifier(f"credit code {shown}…: character {values.index(-1) + 1} not allowed")
        if not _DIGITS.fullmatch(code[_REGION]):
            raise MalformedIdentifier(f"credit code {shown}…: its region is not six digits")
        total = sum(value * weight for value, weight in zip(values[:17], CREDIT_WEIGHTS, strict=True))
        if values[17] != -total % 31:
            raise IdentifierCheckFailed(f"credit code {shown}…: check character does not match")
        if code[16] != organisation_check(code[8:16]):
            raise IdentifierCheckFailed(
                f"credit code {shown}…: check character of its organisation code does not match"
            )
        return cls(code)

    @property
    def region(self) -> str:
        """The six-digit code of the registering county; it may be retired."""
        return self.text[_REGION]

    @property
    def organisation_code(self) -> str:
        """The nine characters of the organisation code inside (主体标识码)."""
        return self.text[8:17]

    @property
    def collective_level(self) -> str | None:
        """`group`, `village` or `town` for a rural collective economic organisation (N1, N2, N3), else None."""
        return {"N1": "group", "N2": "village", "N3": "town"}.get(self.text[:2])

    def __repr__(self) -> str:
        """Show enough to tell two apart in a traceback, not enough to look one up."""
        return f"CreditCode({self.text[:2]}…{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class DivisionCode:
    """A district's code: 6 digits of a county or above, 9 of a town, 12 of a village. It names nobody."""

    text: str

    kind: ClassVar[SubjectKind] = SubjectKind.REGION

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 6, 9 or 12 digits; see `normalise`.

        Raises:
            MalformedIdentifier: another number of digits, or something else.
        """
        code = normalise(text)
        if len(code) not in _DIVISION_LENGTHS or not _DIGITS.fullmatch(code):
            raise MalformedIdentifier("division code: not 6, 9 or 12 digits")
        return cls(code)


Identifier: TypeAlias = ResidentId | CreditCode | DivisionCode
BY_KIND: Final[Mapping[SubjectKind, type[Identifier]]] = {
    one.kind: one for one in (ResidentId, CreditCode, DivisionCode)
}
"""The identifier by which a subject of each kind is found."""


def parse_identifier(kind: SubjectKind, text: str) -> Identifier:
    """Read the identifier by which a subject of this kind is found.

    Raises:
        MalformedIdentifier: not one of that kind.
    """
    return BY_KIND[kind].parse(text)


def organisation_check(body: str) -> str:
    """Return the check character of an organisation code's first eight characters (GB 11714)."""
    return ORGANISATION_CHECKS[
        sum(int(character, 36) * weight for character, weight in zip(body, ORGANISATION_WEIGHTS, strict=True)) % 11
    ]


def years_between(birth: date, on: date) -> int:
    """Return the age in whole years on a day; negative before birth."""
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def luhn_holds(digits: str) -> bool:
    """Say whether digits pass the Luhn check (mod 10) of bank cards.

    Advisory: passbook and corporate account numbers need not pass. Anything but digits does not.
    """
    if not _DIGITS.fullmatch(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10 == 0
