"""Who handles a person's data and who receives it, and how both are reached (个人信息保护法 §17, §23). Pure.

A contact is of an office, never of a person: what it is called, a telephone, an address, and an e-mail or web address
if there is one. A mobile number of the mainland is refused, since it is somebody's own.

Names in records are those of ISO/IEC TS 27560:2023, party identification: `party_contact`, `party_phone`,
`party_address`, `party_email`, `party_url`. `Parties` says both for the eye and for the ear, by `parties.yml`; for the
ear without a digit, since speech engines read 0971 as a number. The words in Tibetan need native review.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Self

import yaml

from consent.errors import ContactInvalid
from consent.evidence import Language

_SHORTEST: Final = 2
_LONGEST: Final = 200
_PHONE: Final = re.compile(r"\+?[0-9][0-9 -]{1,22}[0-9]", re.ASCII)
_MOBILE: Final = re.compile(r"(86)?1[3-9][0-9]{9}", re.ASCII)  # a person's own, by the national numbering plan
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII)
_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._~/%-]*)?", re.ASCII)
_FIELDS: Final[Mapping[str, str]] = {
    "office": "party_contact",
    "phone": "party_phone",
    "address": "party_address",
    "email": "party_email",
    "url": "party_url",
}


@dataclass(frozen=True, slots=True)
class Contact:
    """How an organisation is reached. `office` names a role, as 客户服务部; it holds nobody's name."""

    office: str
    phone: str
    address: str
    email: str | None = None
    url: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Read a contact as it stands in a file, a row or an option.

        Raises:
            ContactInvalid: a part is missing or not of its form; whoever registers it must correct it.
        """
        office, phone, address = (_text(given, name) for name in ("office", "phone", "address"))
        digits = re.sub(r"[ +-]", "", phone)
        if not _PHONE.fullmatch(phone):
            raise ContactInvalid("电话只用数字、空格和连字符，如 0971-0000000 / phone: digits, spaces and hyphens only")
        if _MOBILE.fullmatch(digits):
            raise ContactInvalid("电话须是单位的，不是个人手机 / phone: of an office, not somebody's mobile")
        email, url = given.get("email") or None, given.get("url") or None
        if email is not None and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
            raise ContactInvalid("电子邮箱写法不对，如 privacy@bank.example / email: not an e-mail address")
        if url is not None and not (isinstance(url, str) and _URL.fullmatch(url)):
            raise ContactInvalid("网址须以 https:// 开头 / url: an https address")
        return cls(office, phone, address, email, url)

    def as_json(self) -> dict[str, str | None]:
        """Write it as it stands in files and answers."""
        return {name: getattr(self, name) for name in _FIELDS}

    def as_party(self) -> dict[str, str]:
        """Write it by the names of TS 27560; what there is not is left out."""
        stated = self.as_json()
        return {standard: value for name, standard in _FIELDS.items() if (value := stated[name]) is not None}


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation by its name, and how it is reached; None where nobody has said so (an unregistered one)."""

    name: str
    contact: Contact | None = None

    def as_json(self) -> dict[str, Any]:
        """Write it as it stands in answers."""
        return {"name": self.name, "contact": None if self.contact is None else self.contact.as_json()}


@dataclass(frozen=True, slots=True)
class Parties:
    """Both organisations that a person is told of before anybody agrees; None: no recipient is named yet."""

    operator: Party
    recipient: Party | None

    def read(self, language: Language) -> str:
        """Say both for the eye, in the marks that our texts use."""
        w = words(language)
        said = ((w["operator"], self.operator), (w["recipient"], self.recipient))
        told = ((title, one) for title, one in said if one is not None)
        return "\n".join(f"- {title}{one.name}{w['between']}{reached(one.contact, language)}" for title, one in told)

    def aloud(self, language: Language) -> str:
        """Say both for the ear: sentences, every digit a word of its own."""
        w = words(language)
        said = ((w["aloud_operator"], self.operator), (w["aloud_recipient"], self.recipient))
        return "\n\n".join(_spoken(sentence, one, w) for sentence, one in said if one is not None)

    def as_json(self) -> dict[str, Any]:
        """Write both."""
        named = {"operator": self.operator, "recipient": self.recipient}
        return {role: None if one is None else one.as_json() for role, one in named.items()}


def reached(contact: Contact | None, language: Language) -> str:
    """Say on one line how an organisation is reached."""
    w = words(language)
    if contact is None:
        return str(w["unknown"])
    stated = contact.as_json()
    return str(w["between"]).join(f"{w[name]}{stated[name]}" for name in _FIELDS if stated[name] is not None)


def party_of(identified: Mapping[str, Any]) -> Party:
    """Read a party of a signed receipt; one of before contacts stood in receipts has none."""
    stated = {name: identified.get(standard) for name, standard in _FIELDS.items()}
    complete = all(isinstance(stated[name], str) for name in ("office", "phone", "address"))
    return Party(str(identified["party_name"]), Contact(**stated) if complete else None)  # type: ignore[arg-type]


@cache
def words(language: Language) -> Mapping[str, Any]:
    """Give the words of a language, by name; Chinese for one that we do not write."""
    file = yaml.safe_load((resources.files("consent") / "parties.yml").read_text("utf-8"))
    chosen = language.value if language.value in file["unknown"] else Language.CHINESE.value
    return {name: said[chosen] for name, said in file.items()}


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    plain = all(unicodedata.category(character) not in {"Cc", "Cf"} for character in text)
    if not plain or not _SHORTEST <= len(text) <= _LONGEST:
        raise ContactInvalid(
            f"联系方式缺少 {name}（部门、电话、地址必填，{_SHORTEST} 至 {_LONGEST} 字）"
            f" / contact: {name} is missing or not {_SHORTEST} to {_LONGEST} visible characters"
        )
    return text


def _spoken(sentence: str, one: Party, w: Mapping[str, Any]) -> str:
    if one.contact is None:
        return _digits(sentence.partition("{phone}")[0].format(name=one.name).rstrip(), w)
    return _digits(sentence.format(name=one.name, phone=one.contact.phone, address=one.contact.address), w)


def _digits(text: str, w: Mapping[str, Any]) -> str:
    """Say every digit as a word; hyphens between digits are pauses."""
    paused = re.sub(r"(?<=[0-9])[ -]+(?=[0-9])", str(w["pause"]), text)
    spelt = re.sub(r"[0-9]", lambda found: f"{w['digits'][int(found[0])]}{w['gap']}", paused)
    return re.sub(r" (?=[,.])", "", spelt)
