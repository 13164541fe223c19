"""Codes of accounts, animals and contracts: parsed values for what stands beside persons and organisations.

  * bank account (银行账号): 6–32 digits; a card number (62…, 16–19 digits) should also pass the Luhn check
  * ear tag (畜禽标识): species 1 ‖ county 6 ‖ serial 8 (畜禽标识和养殖档案管理办法 §7–12)
  * contractor code (承包方编码): issuer 14 (county 6, town 3, village 3, group 2) ‖ household 4 (NY/T 2538-2014)
  * organisation code (组织机构代码) in its old nine-character form (GB 11714)
Reprs and errors show at most four characters.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from registry.errors import IdentifierCheckFailed, MalformedIdentifier
from registry.identifiers import luhn_holds, normalise, organisation_check

_ACCOUNT: Final = re.compile("[0-9]{6,32}")
_CARD: Final = re.compile("62[0-9]{14,17}")
_EAR_TAG: Final = re.compile("[123][0-9]{14}")
_CONTRACTOR: Final = re.compile("[0-9]{18}")
_ORGANISATION: Final = re.compile("[0-9A-Z]{8}[0-9X]")


class Species(StrEnum):
    """The animal an ear tag is for."""

    PIG = "1"
    CATTLE = "2"
    SHEEP = "3"


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A bank account or card number."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an account number; spaces and hyphens between its digits are allowed.

        Raises:
            MalformedIdentifier: not 6 to 32 digits.
        """
        digits = normalise(text)
        if not _ACCOUNT.fullmatch(digits):
            raise MalformedIdentifier("bank account: not 6 to 32 digits")
        return cls(digits)

    @property
    def luhn_suspect(self) -> bool:
        """Whether it looks like a bank card and fails the Luhn check: a remark, never an error."""
        return _CARD.fullmatch(self.text) is not None and not luhn_holds(self.text)

    def __repr__(self) -> str:
        """Show the last two digits."""
        return f"BankAccount(…{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class EarTag:
    """The ear tag of one animal."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 15 digits.

        Raises:
            MalformedIdentifier: not 15 digits, or a species other than 1, 2, 3.
        """
        digits = normalise(text)
        if not _EAR_TAG.fullmatch(digits):
            raise MalformedIdentifier("ear tag: not 15 digits that begin with 1, 2 or 3")
        return cls(digits)

    @property
    def species(self) -> Species:
        """Pig, cattle (yaks too) or sheep."""
        return Species(self.text[0])

    @property
    def county(self) -> str:
        """The six-digit code of the county that gave it."""
        return self.text[1:7]

    def __repr__(self) -> str:
        """Show the species and the last two digits."""
        return f"EarTag({self.text[0]}…{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class ContractorCode:
    """A contracting household in the register of contracted land."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 18 digits.

        Raises:
            MalformedIdentifier: not 18 digits.
        """
        digits = normalise(text)
        if not _CONTRACTOR.fullmatch(digits):
            raise MalformedIdentifier("contractor code: not 18 digits")
        return cls(digits)

    @property
    def village(self) -> str:
        """The twelve-digit code of the village."""
        return self.text[:12]

    @property
    def group(self) -> str:
        """The two digits of the villagers' group."""
        return self.text[12:14]

    def __repr__(self) -> str:
        """Show the first two and the last two digits."""
        return f"ContractorCode({self.text[:2]}…{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class OrganisationCode:
    """An organisation code in its old form, nine characters without the hyphen."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `12345678-9` or `123456789`.

        Raises:
            MalformedIdentifier: not eight letters or digits and a check character.
            IdentifierCheckFailed: the check character does not match.
        """
        code = normalise(text)
        if not _ORGANISATION.fullmatch(code):
            raise MalformedIdentifier(f"organisation code {code[:2]}…: not nine letters and digits")
        if code[8] != organisation_check(code[:8]):
            raise IdentifierCheckFailed(f"organisation code {code[:2]}…: check character does not match")
        return cls(code)

    def __repr__(self) -> str:
        """Show the first two and the last two characters."""
        return f"OrganisationCode({self.text[:2]}…{self.text[-2:]})"
