"""Accounts, ear tags, contractor and organisation codes."""

import pytest

from registry.errors import IdentifierCheckFailed, MalformedIdentifier
from registry.rural_codes import BankAccount, ContractorCode, EarTag, OrganisationCode, Species


def test_an_account_is_read_with_its_spaces() -> None:
    assert BankAccount.parse("6239 9900 0000 0000 018").text == "6239990000000000018"


def test_a_card_that_fails_its_check_is_suspect_and_a_passbook_is_not() -> None:
    assert BankAccount.parse("6239990000000000019").luhn_suspect
    assert not BankAccount.parse("6239990000000000018").luhn_suspect
    assert not BankAccount.parse("82010500012345678").luhn_suspect


@pytest.mark.parametrize("text", ["", "12345", "6239-x", "1" * 33])
def test_what_is_no_account_number_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(MalformedIdentifier) as refused:
        BankAccount.parse(text)
    assert str(refused.value) == "bank account: not 6 to 32 digits"


def test_a_yak_carries_a_cattle_tag_of_its_county() -> None:
    tag = EarTag.parse("263272100000001")
    assert (tag.species, tag.county) == (Species.CATTLE, "632721")


@pytest.mark.parametrize("text", ["463272100000001", "26327210000000", "2632721000000011"])
def test_an_ear_tag_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(MalformedIdentifier):
        EarTag.parse(text)


def test_a_contractor_code_tells_village_and_group() -> None:
    code = ContractorCode.parse("630222201201030007")
    assert (code.village, code.group) == ("630222201201", "03")
    with pytest.raises(MalformedIdentifier):
        ContractorCode.parse("63022220120103000")


def test_an_old_organisation_code_is_read_with_its_hyphen() -> None:
    assert OrganisationCode.parse("M000100Y-4").text == "M000100Y4"
    with pytest.raises(IdentifierCheckFailed):
        OrganisationCode.parse("M000100Y-5")
    with pytest.raises(MalformedIdentifier):
        OrganisationCode.parse("M000100Y")


@pytest.mark.parametrize(
    "value",
    [
        BankAccount.parse("6239990000000000018"),
        EarTag.parse("263272100000001"),
        ContractorCode.parse("630222201201030007"),
        OrganisationCode.parse("M000100Y4"),
    ],
)
def test_reprs_show_at_most_four_characters(value: BankAccount | EarTag | ContractorCode | OrganisationCode) -> None:
    shown = repr(value).partition("(")[2].replace("…", "").rstrip(")")
    assert len(shown) <= 4
