"""The sheet: three languages, nothing from elsewhere, and no more than the signed document says."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import escape

from consent import printing, receipt
from consent.evidence import Language
from consent.grant import State
from consent.parties import Contact, Party
from consent.printing import Sheet
from consent.receipt import Issuer
from registry import catalogue
from registry.keyring import Keyring
from registry.suites import sm2_available
from tests.reachable import CONTACT
from tests.unit.consent.test_receipt import NOW, PURPOSE, TERMS
from tests.unit.consent.test_representation import PROXY, resolved

WHERE = "https://exchange.example/receipts/c-1"
BANK = Contact("贷款部", "0971-0000003", "西宁市示例街3号", url="https://bank.example/privacy")


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.of(Keyring.create(tmp_path, origin="test.example/log", now=NOW), Party("青桥<测试>", CONTACT))


def sheet(issuer: Issuer, **changes: object) -> Sheet:
    terms = replace(TERMS, **changes)  # type: ignore[arg-type]  # edges of the example
    signed = receipt.issue("c-1", terms, State.ACTIVE, NOW, PURPOSE, issuer, BANK)
    return Sheet(signed, receipt.countersign(signed, issuer), WHERE)


class Links(HTMLParser):
    """Collects every address that a browser would fetch, and every script."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"src", "href", "action", "data", "poster", "srcset", "xlink:href"}
        self.found += [f"{tag} {name}" for name, _ in attrs if name in names or name.startswith("on")]
        if tag in {"script", "link", "iframe", "object", "img"}:
            self.found.append(tag)


@pytest.mark.parametrize("language", [Language.CHINESE, Language.TIBETAN, Language.ENGLISH])
def test_a_sheet_needs_nothing_from_elsewhere(issuer: Issuer, language: Language) -> None:
    text = printing.html(sheet(issuer), language)
    links = Links()
    links.feed(text)
    assert links.found == []
    assert "url(" not in text
    assert "@import" not in text
    assert "<svg" in text
    assert "size:A4" in text
    assert "width=device-width" in text


def test_a_sheet_says_in_plain_words_what_the_receipt_says(issuer: Issuer) -> None:
    text = printing.html(sheet(issuer), Language.CHINESE)
    for words in ("授权回执", "青海民和农村商业银行", "贷款审批", "信用等级", "2026-01-10 — 2026-04-10", "不良后果"):
        assert words in text
    english = printing.html(sheet(issuer), Language.ENGLISH)
    assert "Loan approval" in english
    assert catalogue.current().kinds["RATING"].titles["en"] in english
    tibetan = printing.html(sheet(issuer), Language.TIBETAN)
    assert "needs native review" in tibetan
    assert 'lang="bo"' in tibetan


@pytest.mark.parametrize("language", printing.LANGUAGES)
def test_it_says_in_each_language_how_the_operator_and_the_recipient_are_reached(
    issuer: Issuer, language: Language
) -> None:
    text = printing.html(sheet(issuer), language)
    for contact in (CONTACT, BANK):
        for stated in filter(None, contact.as_json().values()):
            assert str(escape(stated)) in text


def test_a_receipt_of_before_contacts_stood_in_it_prints_and_says_that_there_are_none(issuer: Issuer) -> None:
    old = receipt.issue("c-1", TERMS, State.ACTIVE, NOW, PURPOSE, replace(issuer, contact=None))
    text = printing.html(Sheet(old, None, WHERE), Language.CHINESE)
    assert text.count("联系方式未登记") == 2
    assert "青桥&lt;测试&gt;" in text


def test_kinds_and_items_have_their_tibetan_names_on_a_tibetan_sheet(issuer: Issuer) -> None:
    text, kind = printing.html(sheet(issuer), Language.TIBETAN), catalogue.current().kinds["RATING"]
    assert kind.titles["bo"] in text
    for item in TERMS.scope.items:
        assert catalogue.current().field(item).bo in text
        assert catalogue.current().field(item).zh not in text


def test_a_language_that_we_do_not_write_gets_chinese(issuer: Issuer) -> None:
    made = sheet(issuer)
    assert printing.html(made, Language.MONGOLIAN) == printing.html(made, Language.CHINESE)


def test_the_code_to_type_is_the_beginning_of_the_digest_behind_the_hash(issuer: Issuer) -> None:
    made = sheet(issuer)
    code = printing.check_code(made.receipt)
    assert receipt.digest(made.receipt).hex().startswith(code.replace(" ", ""))
    assert re.fullmatch(r"([0-9a-f]{4} ){5}[0-9a-f]{4}", code)
    assert code in printing.html(made, Language.CHINESE)


def test_the_whole_signed_receipt_lies_in_the_sheet(issuer: Issuer) -> None:
    made = sheet(issuer)
    text = printing.html(made, Language.ENGLISH)
    assert made.receipt in text
    if sm2_available():
        assert made.sm2 is not None
        assert made.sm2 in text


def test_a_name_is_on_the_sheet_only_if_whoever_prints_it_gives_one_and_is_escaped(issuer: Issuer) -> None:
    made = sheet(issuer)
    assert "姓名不在本回执中" in printing.html(made, Language.CHINESE)
    named = printing.html(replace(made, masked_name="<b>张*"), Language.CHINESE)
    assert str(escape("<b>张*")) in named
    assert "<b>张*" not in named
    assert "青桥&lt;测试&gt;" in named


def test_who_acted_is_told_by_ground_and_never_by_token(issuer: Issuer) -> None:
    proxy = printing.html(sheet(issuer, representation=PROXY), Language.CHINESE)
    assert "受托人" in proxy
    assert "2026-12-31" in proxy
    assert "lookup-1" not in proxy
    meeting = printing.html(sheet(issuer, representation=resolved()), Language.ENGLISH)
    assert "resolution of the collective 2025-12 (60/90, 2025-12-20)" in meeting


def test_a_request_is_no_consent_on_paper_either(issuer: Issuer) -> None:
    asked = receipt.issue("c-1", TERMS, State.REQUESTED, NOW, PURPOSE, issuer)
    assert "尚未同意" in printing.html(Sheet(asked, None, WHERE), Language.CHINESE)
    assert "尚未同意" not in printing.html(sheet(issuer), Language.CHINESE)
