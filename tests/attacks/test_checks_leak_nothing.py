"""The check entrance lets flags out and nothing else; the doors that tell of findings tell nobody who has consented."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from exchange import findings
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import clock
from registry.records import Value
from registry.store import freeze
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.checked import AGENCY, organisation, person, published
from tests.people import ZHANG, consented

FINDINGS_URL = f"{ISSUER}/agency/v1/findings"
COUNTS_URL = f"{ISSUER}/audit/v1/findings"
ACCOUNT = "82010000000000001"
NAME = "张秘密"
GRANT: dict[str, Value] = {
    "category": "耕地地力", "project": "地力补贴", "grant_year": 2026, "instalment": "1", "area": 100_037,
    "payee_name": NAME,
}  # fmt: skip
LAND: dict[str, Value] = {"land_contract_no": "1", "confirmed_area": 50_021, "contractor_name": "李秘密"}


@pytest.fixture
def agency(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("agency-one"), Role.AGENCY, AGENCY)


@pytest.fixture
def other_agency(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("agency-two"), Role.AGENCY, "别的局")


def faults(home: Home, people: int = 1) -> None:
    """Consented people with a fault each, and two collectives that share an account."""
    rows = []
    for who in [person(n) for n in range(people)]:
        consented(home, who, items=("SUBSIDY", "LAND_CONTRACT"), by_register=True)
        rows += [(who, "SUBSIDY", GRANT), (who, "LAND_CONTRACT", LAND)]
    published(home, rows)
    funds: dict[str, Value] = {"org_name": "甲村", "account_no": ACCOUNT, "as_of": "2026-06-30"}
    published(home, [(organisation(n), "SANZI_FUND", funds) for n in (1, 2)])
    findings.check_published(home)


def everything(home: Home, *tables: str) -> str:
    with home.database.transaction() as tx:
        whole = [tx.execute(f"SELECT t::text FROM {table} t").fetchall() for table in tables]
    return "\n".join(row[0] for rows in whole for row in rows)


def asked(door: Door, caller: Caller, url: str) -> Any:
    answer = caller.get(door, caller.token(door), url)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_check_leaves_no_value_behind_but_keyed_hashes(exchange_home: Home) -> None:
    faults(exchange_home)
    kept = everything(exchange_home, "finding", "check_mark", "checked_publication", "log_entry", "query")
    assert "X01" in kept
    for secret in (ACCOUNT, NAME, "100037", "50021", ACCOUNT.encode().hex()):
        assert secret not in kept


def test_a_check_is_logged_with_what_was_opened_and_what_came_out(exchange_home: Home) -> None:
    faults(exchange_home)
    with exchange_home.database.transaction() as tx:
        (first, second) = tx.execute(
            "SELECT fields FROM log_entry WHERE event = 'release:records:checked' ORDER BY at"
        ).fetchall()
    assert (first[0]["subjects"], first[0]["records"], first[0]["flags"]) == (1, 2, {"X01": 1, "X04": 1})
    assert (second[0]["subjects"], second[0]["records"], second[0]["flags"]) == (2, 2, {"X05B": 2})


def test_the_same_value_under_another_rule_or_key_is_another_hash(exchange_home: Home) -> None:
    told: dict[str, Value] = {"registered_under": "x", "name": "甲", "phone": ACCOUNT}
    published(exchange_home, [(organisation(1), "BIZ_REG", told)])
    published(exchange_home, [(organisation(1), "SANZI_FUND", {"account_no": ACCOUNT, "as_of": "2026-06-30"})])
    findings.check_published(exchange_home)
    with exchange_home.database.transaction() as tx:
        tokens = [row[0] for row in tx.execute("SELECT token FROM check_mark")]
    assert len(tokens) == len(set(tokens)) == 2


def test_nothing_stays_to_be_compared_of_who_has_withdrawn(exchange_home: Home) -> None:
    consent = consented(exchange_home, items=("SUBSIDY",))
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT | {"bank_account": ACCOUNT})])
    findings.check_published(exchange_home)
    subject = consent.terms.subject_id
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM check_mark").fetchone() == (1,)
        freeze(tx, [subject], "SUBSIDY", now=clock.now())
        findings.forget_frozen(tx, [subject], now=clock.now())
        assert tx.execute("SELECT count(*) FROM check_mark").fetchone() == (0,)


def test_an_erased_subject_stops_no_check(exchange_home: Home) -> None:
    first, second = person(1), person(2)
    given = [
        consented(exchange_home, who, items=("SUBSIDY", "LAND_CONTRACT"), by_register=True) for who in (first, second)
    ]
    for who in (first, second):
        published(exchange_home, [(who, "SUBSIDY", GRANT), (who, "LAND_CONTRACT", LAND)])
    erased = given[1].terms.subject_id
    exchange_home.datakeys.erase(erased, now=clock.now())
    findings.check_published(exchange_home)
    with exchange_home.database.transaction() as tx:
        found = tx.execute("SELECT DISTINCT subject_id = %s FROM finding", (erased,)).fetchall()
    assert found == [(False,)]


def test_the_agencys_door_names_no_person_and_no_row_of_one(exchange_home: Home, door: Door, agency: Caller) -> None:
    faults(exchange_home, people=findings.TOLD_FROM)
    told = asked(door, agency, FINDINGS_URL)
    assert {one["kind"] for one in told["located"]} == {"SANZI_FUND"}
    assert {(one["rule"], one["rows"]) for one in told["counted"]} == {("X01", 10), ("X04", 10)}
    assert {rule["rule"]: bool(rule["cause"]["zh"] and rule["mend"]["en"]) for rule in told["rules"]} == {
        "X01": True, "X04": True, "X05B": True,
    }  # fmt: skip
    raw = orjson.dumps(told).decode()
    with exchange_home.database.transaction() as tx:
        ids = [str(value) for row in tx.execute("SELECT subject_id, record_id FROM record") for value in row]
    assert not [one for one in (*ids, ACCOUNT, NAME) if one in raw]


def test_one_consented_person_among_many_cannot_be_told_from_none(
    exchange_home: Home, door: Door, agency: Caller
) -> None:
    published(exchange_home, [])  # a file of the kind, of which nothing is held
    before = asked(door, agency, FINDINGS_URL)
    consented(exchange_home, items=("SUBSIDY", "LAND_CONTRACT"), by_register=True)
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT), (ZHANG, "LAND_CONTRACT", LAND)])
    findings.check_published(exchange_home)
    assert asked(door, agency, FINDINGS_URL) == before


def test_another_agencys_batch_is_one_that_does_not_exist(
    exchange_home: Home, door: Door, agency: Caller, other_agency: Caller
) -> None:
    faults(exchange_home)
    batch_id = asked(door, agency, FINDINGS_URL)["located"][0]["batch_id"]
    token = other_agency.token(door)
    assert asked(door, other_agency, FINDINGS_URL)["located"] == []
    answer = other_agency.get(door, token, f"{FINDINGS_URL}?batch_id={batch_id}")
    assert answer.status_code == 404
    assert len(asked(door, agency, f"{FINDINGS_URL}?batch_id={batch_id}")["located"]) == 2


def test_no_lender_and_no_regulator_comes_through_the_agencys_door(
    exchange_home: Home, door: Door, lender: Caller, regulator: Caller, agency: Caller
) -> None:
    del exchange_home
    for caller in (lender, regulator):
        assert caller.get(door, caller.token(door), FINDINGS_URL).status_code == 403
    for caller in (lender, agency):
        assert caller.get(door, caller.token(door), COUNTS_URL).status_code == 403


def test_the_regulators_door_counts_and_the_reading_is_logged(
    exchange_home: Home, door: Door, regulator: Caller
) -> None:
    faults(exchange_home)
    told = asked(door, regulator, COUNTS_URL)
    assert {(one["rule"], one["agency"], one["class_code"], one["findings"]) for one in told["counts"]} == {
        ("X01", AGENCY, "SUBSIDY", 1), ("X04", AGENCY, "SUBSIDY", 1), ("X05B", AGENCY, "SANZI", 2),
    }  # fmt: skip
    past = quote((clock.now() - timedelta(days=1)).isoformat())
    assert asked(door, regulator, f"{COUNTS_URL}?at={past}")["counts"] == []
    with exchange_home.database.transaction() as tx:
        read = tx.execute("SELECT fields ->> 'findings' FROM log_entry WHERE event = 'audit:findings:read' ORDER BY at")
        assert read.fetchall() == [("3",), ("0",)]
