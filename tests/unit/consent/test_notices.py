"""Texts that people agree to: what they name, and that nobody agrees to anything else on them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from uuid import UUID

import pytest

from connectors import source
from consent import notices, purposes, receipt
from consent.errors import DeclarationInvalid, Fault, TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.parties import Party
from consent.record import NewConsent, SubjectType, Terms, midnight, settle
from consent.representation import Kind, Meeting, Relation, Representation, Resolution
from registry import catalogue
from registry.identifiers import SubjectKind
from registry.keyring import Keyring

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
WRITTEN = (Language.CHINESE, Language.TIBETAN, Language.ENGLISH)
TEXTS = sorted(
    (folder.name, Path(file.name).stem)
    for folder in resources.files("consent.notices").iterdir()
    if folder.name.isupper()
    for file in folder.iterdir()
    if file.name.endswith(".yml")
)
RESOLVED = Representation(
    Kind.RESOLUTION,
    Relation.BOARD,
    resolution=Resolution(
        meeting=Meeting.MEMBERS,
        number="2025-12",
        members=90,
        present=60,
        votes_for=60,
        votes_against=0,
        votes_abstained=0,
        held_on=date(2025, 12, 20),
        publicity_from=date(2025, 12, 21),
        publicity_to=date(2025, 12, 27),
        term_until=date(2026, 12, 31),
        minutes_sha256=bytes.fromhex("ab" * 32),
    ),
)


def asked(items: tuple[str, ...], version: str = "2026-01", language: Language = Language.CHINESE) -> NewConsent:
    return NewConsent(
        subject_id=UUID(int=7),
        subject_type=SubjectType.PERSON,
        recipient="青海民和农村商业银行",
        purpose="LOAN_APPROVAL",
        items=items,
        valid_from=midnight(date(2026, 1, 10)),
        capture=Capture(
            Channel.VILLAGE, version, language, Evidence(EvidenceKind.PAPER_SCAN, b"\xab" * 32, redacted=True)
        ),
        w_acknowledged=True,
    )


def settled(new: NewConsent) -> Terms:
    return settle(new, purposes=purposes.current(), catalogue=catalogue.current())


@pytest.mark.parametrize("language", WRITTEN)
@pytest.mark.parametrize(("purpose", "version"), TEXTS)
def test_every_text_names_what_is_said_of_it_and_nothing_beyond_its_purpose(
    purpose: str, version: str, language: Language
) -> None:
    notice = notices.find(purpose, version, language)
    assert notice is not None
    allowed = purposes.current().by_code[purpose]
    about_people = [
        item
        for item in catalogue.current().expand(notice.names)
        if SubjectKind.PERSON in catalogue.current().kinds[item.partition(".")[0]].subject
    ]
    assert about_people
    assert all(allowed.allows_item(item) for item in about_people)


def test_the_newest_text_names_every_kind_that_is_taken_in_of_people() -> None:
    everything = catalogue.current()
    taken = {table.kind for declared in source.current().sources for table in declared.tables}
    loans = purposes.current().by_code["LOAN_APPROVAL"]
    wanted = {
        item
        for kind in taken
        if SubjectKind.PERSON in everything.kinds[kind].subject
        for item in everything.kinds[kind].items
        if loans.allows_item(item)
    }
    newest = notices.find("LOAN_APPROVAL", max(version for _, version in TEXTS), Language.CHINESE)
    assert newest is not None
    assert newest.unnamed(wanted, everything) == frozenset()


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        (asked(("SUBSIDY", "TAX_PAYMENT")), Fault.ITEM_NOT_IN_TEXT),
        (asked(("LIVESTOCK.heads_total",)), Fault.ITEM_NOT_IN_TEXT),
        (asked(("SANZI_FUND",)), Fault.ITEM_NOT_IN_TEXT),
        (asked(("RATING",), "2025-09"), Fault.TEXT_UNKNOWN),
        (asked(("RATING",), "2026-01", Language.MONGOLIAN), Fault.TEXT_UNKNOWN),
        (replace(asked(("TAX_PAYMENT",)), state=State.REQUESTED), Fault.ITEM_NOT_IN_TEXT),
    ],
)
def test_nobody_agrees_to_what_the_text_does_not_name(new: NewConsent, fault: Fault) -> None:
    with pytest.raises(TermsRefused) as refused:
        settled(new)
    assert refused.value.code is fault


@pytest.mark.parametrize("language", WRITTEN)
def test_a_text_that_names_the_class_is_agreed_on(language: Language) -> None:
    assert settled(asked(("SUBSIDY", "TAX", "LIVESTOCK"), "2026-02", language)).scope.items


def test_an_agencys_register_rests_on_its_own_paper_and_no_text_of_ours_is_claimed(tmp_path: Path) -> None:
    terms = settled(replace(asked(("SUBSIDY", "TAX")), register_no="SQ1"))
    issuer = receipt.Issuer.of(Keyring.create(tmp_path, origin="test.example/log", now=NOW), Party("青桥测试"))
    signed = receipt.issue("c-1", terms, State.ACTIVE, NOW, purposes.current().by_code["LOAN_APPROVAL"], issuer)
    shown = receipt.verify(signed, {issuer.key.key_id: issuer.key.public}).document["processing"]["privacy_notice"]
    assert shown == {"purpose": "LOAN_APPROVAL", "version": "2026-01", "language": "zh", "sha256": None, "sm3": None}


def test_a_collective_resolves_on_papers_of_its_own() -> None:
    minutes = Capture(Channel.VILLAGE, "2025-09", Language.CHINESE, Evidence.of(EvidenceKind.RESOLUTION, "ab" * 32))
    resolved = replace(
        asked(("SANZI_FUND",)), subject_type=SubjectType.ORGANISATION, capture=minutes, representation=RESOLVED
    )
    assert settled(resolved).scope.items


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "what it names is not said"),
        ("SUBSIDY: {zh: 补贴}", "does not name SUBSIDY"),
        ("SUBSIDY: {en: subsidies}", "does not name SUBSIDY"),
        ("[SUBSIDY]", "what it names is not said"),
    ],
)
def test_a_text_that_lacks_its_words_is_no_text(
    said: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "LOAN_APPROVAL"
    folder.mkdir()
    (folder / "2030-01.zh.md").write_text("信用户评定结果", encoding="utf-8")
    if said is not None:
        (folder / "2030-01.yml").write_text(said, encoding="utf-8")
    monkeypatch.setattr("consent.notices.resources.files", lambda _: tmp_path)
    with pytest.raises(DeclarationInvalid, match=reason):
        notices.find("LOAN_APPROVAL", "2030-01", Language.CHINESE)
