"""The collecting entrance: a source is told of those who consented and nobody else; the table of them says nothing."""

from datetime import timedelta

import pytest

from consent.evidence import Channel
from exchange import consents
from exchange.home import Home
from exchange.release import collecting
from exchange.release.collecting import people_for
from registry import clock, disclosure, identifying
from registry.errors import SealBroken
from registry.identifiers import ResidentId, SubjectKind, resident_check
from tests.people import LI, ZHANG, consented, held

TODAY = clock.beijing_day(clock.now())


def told(home: Home, kind: str = "SUBSIDY", page: int = collecting.PAGE) -> list[str]:
    return [text for told in people_for(home, kind, actor="agency", at=TODAY, page=page) for text in told]


def entries(home: Home) -> list[dict[str, object]]:
    with home.database.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT fields FROM log_entry WHERE event = 'release:people:told'")]


def test_only_those_are_named_who_consented_to_that_kind(exchange_home: Home) -> None:
    consented(exchange_home, ZHANG, items=("RATING",))
    consented(exchange_home, LI, items=("SUBSIDY",))
    assert told(exchange_home, "RATING") == [ZHANG.text]
    assert told(exchange_home, "SUBSIDY") == [LI.text]
    assert told(exchange_home, "SANZI_CONTRACT") == []


def test_a_person_about_whom_data_is_held_without_consent_is_named_to_nobody(exchange_home: Home) -> None:
    held(exchange_home, LI)
    assert told(exchange_home) == []
    assert entries(exchange_home) == []


def test_w_items_alone_name_nobody_who_was_not_told_of_adverse_consequences(exchange_home: Home) -> None:
    consented(exchange_home, ZHANG, items=("SUBSIDY.area",), w_acknowledged=False)
    assert told(exchange_home) == [ZHANG.text]
    assert told(exchange_home, "RATING") == []


def test_a_consent_that_begins_later_names_nobody_today(exchange_home: Home) -> None:
    consented(exchange_home, began=-timedelta(days=3))
    assert told(exchange_home) == []


def test_a_withdrawal_within_the_same_second_takes_the_person_out(exchange_home: Home) -> None:
    consent = consented(exchange_home)
    assert told(exchange_home) == [ZHANG.text]
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert told(exchange_home) == []


def test_a_withdrawal_between_two_pages_takes_the_person_out_of_the_second(exchange_home: Home) -> None:
    given = {who.text: consented(exchange_home, who) for who in (ZHANG, LI)}
    pages = people_for(exchange_home, "SUBSIDY", actor="agency", at=TODAY, page=1)
    (first,) = next(pages)
    (other,) = given.keys() - {first}
    consents.withdraw(exchange_home, given[other].consent_id, Channel.VILLAGE, actor="test")
    assert list(pages) == []


def test_pages_name_everybody_once(exchange_home: Home) -> None:
    people = []
    for n in range(5):
        digits = f"63022219990101{n:02d}0"
        people.append(ResidentId.parse(digits + resident_check(digits)))
        consented(exchange_home, people[-1])
    assert sorted(told(exchange_home, page=2)) == sorted(who.text for who in people)


def test_telling_is_logged_as_counts_before_anything_is_told(exchange_home: Home) -> None:
    consented(exchange_home)
    pages = people_for(exchange_home, "SUBSIDY", actor="agency", at=TODAY)
    next(pages)
    assert entries(exchange_home) == [{"day": TODAY.isoformat(), "kind": "SUBSIDY", "people": 1}]


def test_the_table_of_identifiers_says_nothing_without_the_keys(exchange_home: Home) -> None:
    consented(exchange_home)
    with exchange_home.database.transaction() as tx:
        (row,) = tx.execute("SELECT t::text, sealed FROM subject_identifier t").fetchall()
    assert ZHANG.text not in row[0]
    assert ZHANG.text.encode() not in row[1]
    assert ZHANG.text.encode().hex() not in row[0]


def test_a_sealed_identifier_cannot_be_moved_to_another_subject(exchange_home: Home) -> None:
    consented(exchange_home, ZHANG)
    consented(exchange_home, LI)
    with exchange_home.database.transaction() as tx:
        subjects = [row[0] for row in tx.execute("SELECT subject_id FROM subject_identifier")]
        sealed = identifying.sealed_of(tx, subjects, SubjectKind.PERSON)
    first, second = subjects
    with pytest.raises(SealBroken):
        disclosure.open_identifiers(exchange_home.datakeys, {first: sealed[second]})


def test_an_identifier_is_erased_with_its_subjects_key_and_stops_nobody_else(exchange_home: Home) -> None:
    consent = consented(exchange_home, ZHANG)
    consented(exchange_home, LI)
    exchange_home.datakeys.erase(consent.terms.subject_id, now=clock.now())
    assert told(exchange_home) == [LI.text]


def test_what_was_erased_is_not_sealed_again_under_the_same_subject(exchange_home: Home) -> None:
    consent = consented(exchange_home, ZHANG)
    exchange_home.datakeys.erase(consent.terms.subject_id, now=clock.now())
    with exchange_home.database.transaction() as tx:
        tx.execute("DELETE FROM subject_identifier")
        people = {consent.terms.subject_id: ZHANG}
        assert identifying.remember(tx, exchange_home.sealing, people, now=clock.now()) == 0
