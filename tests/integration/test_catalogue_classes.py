"""The newer classes with a database: from file to stored records, districts among them; and what lenders are shown."""

from pathlib import Path

import pytest

from connectors.intake import Intake
from exchange.home import Home
from registry import catalogue, clock, disclosure, store
from registry.database import Database
from registry.identifiers import DivisionCode, Identifier, ResidentId
from tests.attacks.bent_client import CATALOGUE_URL, Caller, Door, registered
from tests.unit.connectors.consent_register import AS_OF, everybody, nobody
from tests.unit.connectors.sample_headers import HEADERS
from tests.unit.connectors.tables import csv, person


def written(folder: Path, kind: str) -> Path:
    name, row = HEADERS[kind]
    path = folder / name
    path.write_bytes(csv([list(row), [f'"{cell}"' for cell in row.values()]]))
    return path


def held(home: Home, identifier: Identifier, kind: str) -> list[dict[str, object]]:
    """The standing records of a subject, opened."""
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [identifier])
        if identifier.text not in found:
            return []
        sealed = store.visible(tx, [(found[identifier.text], kind)])
    names = catalogue.current().kinds[kind].fields.keys()
    opened = disclosure.open_records(home.sealing.keys, [disclosure.Wanted(one, names, prove=True) for one in sealed])
    return [dict(record.fields) for record in opened]


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of=everybody, now=clock.now)


def count(database: Database, what: str) -> int:
    with database.transaction() as tx:
        row = tx.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


def test_every_newer_class_goes_from_file_to_stored_record(intake: Intake, database: Database, tmp_path: Path) -> None:
    taken = intake.run([written(tmp_path, kind) for kind in HEADERS], as_of=AS_OF)
    assert {one.outcome.kind: one.outcome.counts["accepted"] for one in taken} == dict.fromkeys(HEADERS, 1)
    for kind in HEADERS:
        assert count(database, f"record WHERE kind = '{kind}'") == 1
    assert not any(one.changed for one in intake.reevaluate(as_of=AS_OF))


def test_what_is_about_a_district_is_stored_under_its_code_and_opens_again(
    intake: Intake, exchange_home: Home, tmp_path: Path
) -> None:
    intake.run([written(tmp_path, "METEO"), written(tmp_path, "PRICE")], as_of=AS_OF)
    (weather,) = held(exchange_home, DivisionCode("632701"), "METEO")
    assert (weather["snow_depth_cm"], weather["alert_level"]) == ("31.5", "橙色")
    (price,) = held(exchange_home, DivisionCode("630100"), "PRICE")
    assert (price["price"], price["quarter_change"]) == (7650, "-0.152")
    assert count(exchange_home.database, "subject WHERE kind = 'region'") == 2
    assert count(exchange_home.database, "record WHERE basis LIKE 'public:%'") == 2


def test_public_lists_are_held_without_asking_and_no_withdrawal_freezes_them(
    intake: Intake, exchange_home: Home, tmp_path: Path
) -> None:
    Intake(intake.database, intake.sealing, intake.folder, basis_of=nobody, now=clock.now).run(
        [written(tmp_path, "JUDICIAL"), written(tmp_path, "ELEC")], as_of=AS_OF
    )
    assert [row["court_list"] for row in held(exchange_home, ResidentId(person(6)), "JUDICIAL")] == ["失信被执行人"]
    assert held(exchange_home, ResidentId(person(4)), "ELEC") == []
    with exchange_home.database.transaction() as tx:
        subjects = store.lookup(tx, exchange_home.keyring, [ResidentId(person(6))]).values()
        assert store.freeze(tx, list(subjects), "JUDICIAL", now=clock.now()) == 0


def test_a_rating_holds_the_days_between_which_it_is_valid(intake: Intake, exchange_home: Home, tmp_path: Path) -> None:
    header = [
        "户主姓名",
        "身份证号码",
        "评分",
        "信用等级",
        "评定日期",
        "有效期起",
        "有效期至",
        "公示起止",
        "乡镇",
        "行政村",
    ]
    row = ["张生莲", person(1), "92", "AAA", "2026-05-20", "2026-06-01", "2027-05-31", "2026.5.10-2026.5.16", "", ""]
    (tmp_path / "民和县_信用户评定结果_2026.csv").write_bytes(csv([header, row]))
    intake.run([tmp_path], as_of=AS_OF)
    (rating,) = held(exchange_home, ResidentId(person(1)), "RATING")
    assert (rating["valid_since"], rating["valid_to"]) == ("2026-06-01", "2027-05-31")


def test_lenders_are_shown_the_terms_and_ask_only_whether_they_changed(door: Door, exchange_home: Home) -> None:
    lender = registered(exchange_home, Caller("lender-one"))
    token = lender.token(door)
    answer = lender.get(door, token)
    shown = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert shown["version"] == "v2"
    assert len(shown["classes"]) == 24
    tax = next(one for one in shown["kinds"] if one["kind"] == "TAX_PAYMENT")
    assert {name: tax[name] for name in ("class", "basis", "consent_required", "retention")} == {
        "class": "TAX",
        "basis": "consent",
        "consent_required": True,
        "retention": "P5Y",
    }
    assert "LOAN_APPROVAL" in tax["purposes"]
    assert next(one for one in tax["items"] if one["item"] == "TAX_PAYMENT.tax_paid")["w"]
    assert "LIVESTOCK_TAG.ear_tag" not in answer.text
    again = {**lender.headers("GET", CATALOGUE_URL, token), "If-None-Match": f'"old", {answer.headers["etag"]}'}
    unchanged = door.call("GET", CATALOGUE_URL, headers=again)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    other = {**lender.headers("GET", CATALOGUE_URL, token), "If-None-Match": '"old"'}
    assert door.call("GET", CATALOGUE_URL, headers=other).status_code == 200
