"""Resident IDs and credit codes: what is read, what is refused and why, what is never printed."""

from datetime import date

import pytest

from registry.errors import IdentifierCheckFailed, MalformedIdentifier
from registry.identifiers import (
    CREDIT_ALPHABET,
    CreditCode,
    Identifier,
    ResidentDocument,
    ResidentId,
    SubjectKind,
    luhn_holds,
    parse_identifier,
    resident_check,
)

DAY = date(2026, 6, 15)
HALF_WIDTH = {ord("０") + digit: str(digit) for digit in range(10)}
PUBLISHED_RESIDENT = "11010519491231002X"
PUBLISHED_CREDIT = "91350100M000100Y43"
RESIDENTS = [
    PUBLISHED_RESIDENT,
    "440524188001010014",
    "630222199901010001",
    "63272119850302000X",
    "630203197606150003",
    "632123198012310002",
    "632521199107040002",
    "630102198802290006",
]
CREDITS = [
    PUBLISHED_CREDIT,
    "N2630203000000019A",
    "N2632721000000027R",
    "N2632323MF0000099W",
    "N1630222000000035K",
    "N36325210000000432",
    "93632801000000051T",
    "1163000000000006XG",
]


def checked(body: str) -> str:
    return body + resident_check(body)


@pytest.mark.parametrize("text", RESIDENTS)
def test_published_and_synthetic_resident_ids_are_read(text: str) -> None:
    assert ResidentId.parse(text).text == text


@pytest.mark.parametrize("text", CREDITS)
def test_published_and_synthetic_credit_codes_are_read(text: str) -> None:
    assert CreditCode.parse(text.lower()).text == text


@pytest.mark.parametrize(
    "text",
    [
        " 630203 19760615 0003 ",
        "'630203197606150003",
        "６３０２０３１９７６０６１５０００３",
        "630203\u200b197606150003\ufeff",
        "630203-19760615-0003",
        "630203\u3000197606150003\n",
    ],
)
def test_what_a_keyboard_adds_is_taken_away(text: str) -> None:
    assert ResidentId.parse(text).text == "630203197606150003"


def test_a_small_x_counts_as_the_check_character() -> None:
    assert ResidentId.parse("63272119850302000x").text == "63272119850302000X"


def test_an_old_number_of_fifteen_digits_becomes_one_of_eighteen_and_says_so() -> None:
    old = ResidentId.parse("632123801231000")
    assert (old.text, old.converted) == ("632123198012310002", True)
    assert old == ResidentId.parse("632123198012310002")


@pytest.mark.parametrize(
    ("text", "old"),
    [
        ("632123198012310002", "632123801231000"),
        ("63272119850302000X", "632721850302000"),
        ("632123" + "20051231000" + resident_check("63212320051231000"), None),
        ("810000" + "19801231000" + resident_check("81000019801231000"), None),
        ("911156" + "19801231000" + resident_check("91115619801231000"), None),
    ],
)
def test_the_old_form_is_known_where_there_was_one_and_leads_back(text: str, old: str | None) -> None:
    assert ResidentId.parse(text).old_form == old
    if old is not None:
        assert ResidentId.parse(old).text == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("630222199901010002", "check character"),
        ("63020319991301000X", "birth date"),
        ("630203197802290003", "birth date"),
        ("632123801331000", "birth date"),
    ],
)
def test_a_number_of_the_right_form_that_cannot_be_is_refused(text: str, fault: str) -> None:
    with pytest.raises(IdentifierCheckFailed, match=fault):
        ResidentId.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "63020319760615000", "6302031976061500033", "63O203197606150003", "63020319760615000Y", "X30203197606150003"],
)
def test_a_wrong_length_or_character_is_told_apart_from_a_wrong_check(text: str) -> None:
    with pytest.raises(MalformedIdentifier) as refused:
        ResidentId.parse(text)
    assert not isinstance(refused.value, IdentifierCheckFailed)


@pytest.mark.parametrize("position", range(18))
@pytest.mark.parametrize(("kind", "text"), [(ResidentId, PUBLISHED_RESIDENT), (CreditCode, PUBLISHED_CREDIT)])
def test_any_single_wrong_character_is_refused(kind: type[Identifier], text: str, position: int) -> None:
    wrong = "1" if text[position] != "1" else "2"
    with pytest.raises(MalformedIdentifier):
        kind.parse(text[:position] + wrong + text[position + 1 :])


def test_a_birth_after_the_record_is_refused_only_when_the_day_is_known() -> None:
    unborn = checked("63022220270101000")
    assert ResidentId.parse(unborn).birth == date(2027, 1, 1)
    with pytest.raises(IdentifierCheckFailed, match="living person"):
        ResidentId.parse(unborn, on=DAY)


def test_an_age_of_120_is_the_last_that_is_accepted() -> None:
    assert ResidentId.parse(checked("63022219050616000"), on=DAY).birth == date(1905, 6, 16)
    with pytest.raises(IdentifierCheckFailed, match="living person"):
        ResidentId.parse(checked("63022219050615000"), on=DAY)


def test_sequence_000_is_read_and_known_to_be_nobody() -> None:
    assert ResidentId.parse("630222199901010001").synthetic
    assert not ResidentId.parse(PUBLISHED_RESIDENT).synthetic


@pytest.mark.parametrize(
    ("region", "document"),
    [
        ("810000", ResidentDocument.HONG_KONG_MACAO_TAIWAN),
        ("830000", ResidentDocument.HONG_KONG_MACAO_TAIWAN),
        ("911840", ResidentDocument.FOREIGN),
        ("630222", ResidentDocument.RESIDENT),
    ],
)
def test_permits_of_the_same_shape_are_told_apart(region: str, document: ResidentDocument) -> None:
    assert ResidentId.parse(checked(f"{region}19900101000")).document is document


@pytest.mark.parametrize("letter", "OISVZ")
def test_letters_too_like_digits_are_no_part_of_a_credit_code(letter: str) -> None:
    with pytest.raises(MalformedIdentifier, match="not allowed"):
        CreditCode.parse(f"N26302030000000{letter}9A")


def test_a_credit_code_whose_inner_code_is_wrong_is_refused() -> None:
    body = "N2630203000000018"
    total = sum(CREDIT_ALPHABET.index(character) * pow(3, place, 31) for place, character in enumerate(body))
    with pytest.raises(IdentifierCheckFailed, match="organisation code"):
        CreditCode.parse(body + CREDIT_ALPHABET[-total % 31])


def test_a_credit_code_tells_its_region_and_level() -> None:
    code = CreditCode.parse("N2632323MF0000099W")
    assert (code.region, code.collective_level, code.organisation_code) == ("632323", "village", "MF0000099")
    assert CreditCode.parse(PUBLISHED_CREDIT).collective_level is None


def test_a_kind_of_subject_decides_how_its_identifier_is_read() -> None:
    assert parse_identifier(SubjectKind.PERSON, PUBLISHED_RESIDENT).kind is SubjectKind.PERSON
    assert parse_identifier(SubjectKind.ORGANISATION, PUBLISHED_CREDIT).kind is SubjectKind.ORGANISATION
    with pytest.raises(MalformedIdentifier):
        parse_identifier(SubjectKind.PERSON, PUBLISHED_CREDIT)


@pytest.mark.parametrize("text", [*RESIDENTS, *CREDITS])
def test_neither_errors_nor_reprs_show_more_than_four_characters(text: str) -> None:
    kind: type[Identifier] = CreditCode if text in CREDITS else ResidentId
    assert text[2:16] not in repr(kind.parse(text))
    for damaged in (text[:-1] + ("0" if text[-1] != "0" else "1"), text[:-1], text + "1", text[:9] + "?" + text[10:]):
        with pytest.raises(MalformedIdentifier) as refused:
            kind.parse(damaged)
        assert text[:5] not in str(refused.value)
        assert text[2:7] not in str(refused.value)


def test_the_displayed_form_hides_the_birth_date() -> None:
    assert ResidentId.parse("630203197606150003").masked == "630203********0003"


@pytest.mark.parametrize("card", ["6239990000000000018", "6229990000000000027", "623999000000000036"])
def test_card_numbers_hold_and_with_one_digit_changed_do_not(card: str) -> None:
    assert luhn_holds(card)
    assert not luhn_holds(card[:-1] + str((int(card[-1]) + 1) % 10))
    assert not luhn_holds("")
    assert not luhn_holds("6239x")


@pytest.mark.parametrize("text", ["632701", "632701100", "632701100200", " 632701 ", "６３２７０１"])
def test_a_district_is_named_by_6_9_or_12_digits(text: str) -> None:
    found = parse_identifier(SubjectKind.REGION, text)
    assert (found.kind, found.text) == (SubjectKind.REGION, "".join(text.split()).translate(HALF_WIDTH))


@pytest.mark.parametrize("text", ["", "63270", "6327011", "63270A", PUBLISHED_RESIDENT, PUBLISHED_CREDIT])
def test_anything_else_names_no_district(text: str) -> None:
    with pytest.raises(MalformedIdentifier):
        parse_identifier(SubjectKind.REGION, text)
