"""How organisations are reached: an office's, complete, and so said that a person or a speech engine can read it."""

import re
from typing import Any

import pytest

from consent.errors import ContactInvalid
from consent.evidence import Language
from consent.parties import Contact, Parties, Party, party_of, reached, words
from tests.reachable import CONTACT

STATED = {"office": "客户服务部", "phone": "0971-0000002", "address": "西宁市示例路2号"}
SPOKEN = (Language.CHINESE, Language.TIBETAN, Language.ENGLISH)
BOTH = Parties(Party("青桥运营中心", CONTACT), Party("甲银行", CONTACT))


def test_a_contact_is_read_and_written_back_the_same() -> None:
    read = Contact.read(STATED | {"email": "service@bank.example", "url": "https://bank.example/privacy"})
    assert Contact.read(read.as_json()) == read
    assert party_of({"party_name": "甲银行", **read.as_party()}) == Party("甲银行", read)


@pytest.mark.parametrize("missing", ["office", "phone", "address"])
@pytest.mark.parametrize("value", [None, "", " ", "x", 7, "a\u200bb", "行" * 201])
def test_an_office_a_phone_and_an_address_are_needed(missing: str, value: Any) -> None:
    with pytest.raises(ContactInvalid, match=missing):
        Contact.read(STATED | {missing: value})


@pytest.mark.parametrize("phone", ["13900000000", "+86 139 0000 0000", "86-139-0000-0000", "139-0000-0000"])
def test_nobodys_own_mobile_is_an_offices_phone(phone: str) -> None:
    with pytest.raises(ContactInvalid, match="个人手机"):
        Contact.read(STATED | {"phone": phone})


@pytest.mark.parametrize("phone", ["0971-0000000", "95588", "12345", "400-000-0000", "+86 971 0000000"])
def test_phones_of_offices_pass(phone: str) -> None:
    assert Contact.read(STATED | {"phone": phone}).phone == phone


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone": "call us"},
        {"phone": "0971-0000000; 2"},
        {"email": "nobody"},
        {"email": "a@b"},
        {"url": "http://bank.example"},
        {"url": "javascript:alert(1)"},
        {"url": "https://bank.example/?x=<script>"},
    ],
)
def test_what_is_not_of_its_form_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ContactInvalid):
        Contact.read(STATED | wrong)


@pytest.mark.parametrize("language", SPOKEN)
def test_both_are_told_for_the_eye_with_everything_that_is_stated(language: Language) -> None:
    text = BOTH.read(language)
    for name in ("青桥运营中心", "甲银行"):
        assert name in text
    for stated in filter(None, CONTACT.as_json().values()):
        assert text.count(stated) == 2


@pytest.mark.parametrize("language", SPOKEN)
def test_for_the_ear_there_is_no_digit_and_every_digit_is_a_word(language: Language) -> None:
    text = BOTH.aloud(language)
    assert not re.search(r"[0-9@{}]", text)
    digits = words(language)["digits"]
    assert text.count(digits[9]) == 2 * CONTACT.phone.count("9")


def test_the_words_of_every_language_are_there() -> None:
    names = [set(words(language)) for language in SPOKEN]
    assert names[0] == names[1] == names[2]
    assert all(len(words(language)["digits"]) == 10 for language in SPOKEN)
    assert words(Language.MONGOLIAN) == words(Language.CHINESE)


def test_one_that_nobody_registered_is_said_to_have_no_contact() -> None:
    assert reached(None, Language.ENGLISH) == "no contact is registered"
    spoken = Parties(Party("青桥运营中心", CONTACT), Party("乙银行")).aloud(Language.CHINESE)
    assert "乙银行" in spoken
    assert "{" not in spoken
