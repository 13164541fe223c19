"""What the rules find: kept, cleared, shown to agencies and lenders, and told again as it was."""

from datetime import timedelta
from uuid import UUID

import orjson
import pytest

from consent.evidence import Channel
from consent.notices import Notice
from consent.scope import Mode
from exchange import consents, evidence, findings, sources
from exchange.home import Home
from exchange.release import AskAgain, Outcome, Permitted, checking, release
from registry import clock
from registry.records import Value
from registry.verify import verify
from tests.checked import AGENCY, organisation, person, published
from tests.people import ZHANG, caller, consented, question, sequenced

ITEMS = ("SUBSIDY", "RATING", "LAND_CONTRACT", "CIVIL_AFF")
GRANT: dict[str, Value] = {
    "category": "耕地地力", "project": "地力补贴", "grant_year": 2026, "instalment": "1", "area": 100_000,
}  # fmt: skip
LAND: dict[str, Value] = {"land_contract_no": "1", "confirmed_area": 50_000}
DEAD: dict[str, Value] = {"assistance": "无", "deceased": True, "died_on": "2020-01-01"}
FAULTY = [(ZHANG, "SUBSIDY", GRANT), (ZHANG, "LAND_CONTRACT", LAND)]


def standing(home: Home) -> list[tuple[str, int]]:
    """Rule and version of what stands."""
    with home.database.transaction() as tx:
        return tx.execute("SELECT rule, version FROM finding WHERE cleared_at IS NULL ORDER BY 1, 2").fetchall()


def answered(outcome: Outcome) -> Permitted:
    assert isinstance(outcome, Permitted), outcome
    return outcome


def flags_of(body: bytes) -> dict[str, list[str]]:
    """Flags by kind, of an answer with one record a kind."""
    return {record["kind"]: record["flags"] for record in orjson.loads(body)["records"]}


def test_a_fault_is_found_after_its_batch_and_cleared_once_it_is_mended(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X01", 1)]
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT | {"area": 50_000})])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT found_at < cleared_at FROM finding").fetchall() == [(True,)]


def test_a_fault_that_is_mended_by_the_other_source_is_cleared_too(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    published(exchange_home, [(ZHANG, "LAND_CONTRACT", LAND | {"confirmed_area": 100_000})])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []


def test_a_correction_that_is_as_wrong_is_a_finding_of_the_new_version(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT | {"area": 90_000})])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X01", 2)]


def test_what_has_been_checked_is_not_checked_again(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    assert findings.check_published(exchange_home) == 1
    assert findings.check_published(exchange_home) == 0
    assert standing(exchange_home) == [("X01", 1)]


def test_checking_that_was_broken_off_goes_on_where_it_stopped(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [person(n) for n in range(4)]
    for who in people:
        consented(exchange_home, who, items=ITEMS, by_register=True)
    published(exchange_home, [(who, kind, told) for who in people for _, kind, told in FAULTY])
    seen: list[UUID] = []
    check = checking.check

    def breaks(home: Home, tx: object, publication: UUID, touched: list[UUID], **more: object) -> object:
        if len(seen) == 2:
            seen.clear()
            raise KeyboardInterrupt
        seen.extend(touched)
        return check(home, tx, publication, touched, **more)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(findings, "check", breaks)
    with pytest.raises(KeyboardInterrupt):
        findings.check_published(exchange_home, page=1)
    assert len(standing(exchange_home)) == 2
    findings.check_published(exchange_home, page=2)
    assert len(seen) == 2
    assert standing(exchange_home) == [("X01", 1)] * 4


def test_nothing_is_opened_of_a_person_whose_consent_has_ended(exchange_home: Home) -> None:
    consented(exchange_home, items=("RATING",))
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []


def test_a_withdrawal_clears_what_was_found_in_its_own_transaction(exchange_home: Home) -> None:
    consent = consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert standing(exchange_home) == []


# ---- between subjects -----------------------------------------------------------------------------------------------

ACCOUNT: dict[str, Value] = {"org_name": "甲村", "account_no": "82010000000000001", "as_of": "2026-06-30"}


def test_a_shared_account_is_found_with_both_collectives_and_cleared_with_both(exchange_home: Home) -> None:
    first, second = organisation(1), organisation(2)
    published(exchange_home, [(first, "SANZI_FUND", ACCOUNT)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []
    published(exchange_home, [(second, "SANZI_FUND", ACCOUNT)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X05B", 1)] * 2
    published(exchange_home, [(second, "SANZI_FUND", ACCOUNT | {"account_no": "82010000000000002"})])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []


def test_three_payees_of_one_account_are_found_and_two_are_not(exchange_home: Home) -> None:
    people = [person(n) for n in range(3)]
    for who in people:
        consented(exchange_home, who, items=ITEMS, by_register=True)
    paid: dict[str, Value] = {"project": "a", "grant_year": 2026, "instalment": "1", "bank_account": "623"}
    published(exchange_home, [(who, "SUBSIDY", paid) for who in people[:2]])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []
    published(exchange_home, [(people[2], "SUBSIDY", paid)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X05", 1)] * 3


def test_three_entities_of_one_telephone_are_found_and_two_are_not(exchange_home: Home) -> None:
    entities = [organisation(n) for n in range(3)]
    told: dict[str, Value] = {"registered_under": "x", "name": "甲", "phone": "0972-8000000"}
    published(exchange_home, [(one, "BIZ_REG", told) for one in entities[:2]])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []
    published(exchange_home, [(entities[2], "BIZ_REG", told)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X14", 1)] * 3


def test_the_register_of_an_organisation_that_a_contract_names_is_followed(exchange_home: Home) -> None:
    village, firm = organisation(1), organisation(2)
    gone: dict[str, Value] = {"registered_under": firm.text, "name": "甲公司", "entity_status": "注销"}
    published(exchange_home, [(firm, "BIZ_REG", gone)])
    contract: dict[str, Value] = {
        "contract_no": "1", "lessor_uscc": village.text, "lessee_uscc": firm.text, "lessee_name": "甲公司",
    }  # fmt: skip
    published(exchange_home, [(village, "SANZI_CONTRACT", contract)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X09", 1)]


# ---- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_carries_the_flags_of_its_records_and_its_evidence_verifies(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    first = answered(release(exchange_home, [question()])[0])
    assert flags_of(first.body) == {"SUBSIDY": ["X01"], "LAND_CONTRACT": []}
    sequenced(exchange_home)
    again = answered(release(exchange_home, [AskAgain(caller(), first.query_id)])[0])
    full = evidence.full(exchange_home, again)
    assert full is not None
    assert [step for step, _ in verify(full, exchange_home.keyring.policy()).shown] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert b'"X01"' in full


def test_an_answer_opened_again_says_what_stood_then_whatever_was_found_or_cleared_since(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True, max_uses=1)
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT)])
    before = answered(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    published(exchange_home, FAULTY[1:])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X01", 1)]
    again = answered(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    assert (again.body, again.signature) == (before.body, before.signature)
    assert flags_of(again.body) == {"SUBSIDY": []}


def test_an_answer_with_a_flag_says_it_again_after_the_finding_was_cleared(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    before = answered(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    published(exchange_home, [(ZHANG, "LAND_CONTRACT", LAND | {"confirmed_area": 100_000})])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == []
    again = answered(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    assert (again.body, again.signature) == (before.body, before.signature)
    assert flags_of(again.body)["SUBSIDY"] == ["X01"]
    assert flags_of(answered(release(exchange_home, [question()])[0]).body)["SUBSIDY"] == []


def test_a_query_of_before_flags_were_noted_is_opened_without_them(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    first = answered(release(exchange_home, [question()])[0])
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE query SET records = records - 'flags' - 'partial'")
    again = answered(release(exchange_home, [AskAgain(caller(), first.query_id)])[0])
    assert all("flags" not in record for record in orjson.loads(again.body)["records"])


def test_a_lender_learns_nothing_by_a_flag_that_it_was_not_permitted_to_see(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, [(ZHANG, "SUBSIDY", GRANT | {"paid_on": "2026-05-08"}), (ZHANG, "CIVIL_AFF", DEAD)])
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X06", 1)]
    narrow = frozenset({"SUBSIDY.area", "SUBSIDY.paid_on", "SUBSIDY.grant_year"})
    told = answered(release(exchange_home, [question(items=narrow)])[0]).body
    assert flags_of(told) == {"SUBSIDY": []}
    wide = narrow | {"CIVIL_AFF.deceased", "CIVIL_AFF.died_on"}
    told = answered(release(exchange_home, [question(items=wide)])[0]).body
    assert flags_of(told)["SUBSIDY"] == ["X06"]


@pytest.mark.parametrize(("age", "told"), [(30, ["X01"]), (3650, [])])
def test_a_flag_that_may_rest_on_a_record_older_than_the_permit_reaches_is_not_told(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch, age: int, told: list[str]
) -> None:
    monkeypatch.setattr(Notice, "unnamed", lambda *_: frozenset())  # a text that names all
    consented(exchange_home, items=ITEMS, by_register=True, history_months=12)
    published(exchange_home, FAULTY, since={"LAND_CONTRACT": clock.now().date() - timedelta(days=age)})
    findings.check_published(exchange_home)
    assert standing(exchange_home) == [("X01", 1)]
    assert flags_of(answered(release(exchange_home, [question()])[0]).body)["SUBSIDY"] == told


def test_a_yes_or_no_tells_no_flag(exchange_home: Home) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    findings.check_published(exchange_home)
    told = answered(release(exchange_home, [question(mode=Mode.VERIFY)])[0]).body
    assert b"X01" not in told


@pytest.mark.parametrize(("reason", "state"), [("late", "STALE"), ("failing", "PARTIAL"), ("blocked", "PARTIAL")])
def test_what_a_source_is_behind_with_is_labelled_so_and_stays_so(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch, reason: str, state: str
) -> None:
    consented(exchange_home, items=ITEMS, by_register=True)
    published(exchange_home, FAULTY)
    monkeypatch.setattr(sources, "partial_kinds", lambda *_: {"SUBSIDY": reason, "TAX_CREDIT": "late"})
    first = answered(release(exchange_home, [question()])[0])
    labels = orjson.loads(first.body)["items"]
    assert (labels["SUBSIDY.area"]["completeness"], labels["SUBSIDY.area"]["reason"]) == (state, reason)
    assert labels["SUBSIDY.paid_on"]["completeness"] in {"PARTIAL", state}
    assert labels["LAND_CONTRACT.confirmed_area"]["completeness"] == "COMPLETE"
    assert "reason" not in labels["LAND_CONTRACT.confirmed_area"]
    monkeypatch.setattr(sources, "partial_kinds", lambda *_: {})
    again = answered(release(exchange_home, [AskAgain(caller(), first.query_id)])[0])
    assert again.body == first.body


# ---- who is told ----------------------------------------------------------------------------------------------------


def told(home: Home, agency: str = AGENCY, batch_id: UUID | None = None) -> findings.OfAgency:
    with home.database.transaction() as tx:
        return findings.of_agency(tx, agency, batch_id)


def faulty(home: Home, count: int) -> UUID:
    people = [person(n) for n in range(count)]
    for who in people:
        consented(home, who, items=ITEMS, by_register=True)
    batch_id = published(home, [(who, kind, one) for who in people for _, kind, one in FAULTY])
    findings.check_published(home)
    return batch_id


def test_an_agency_is_told_of_persons_how_many_and_no_row(exchange_home: Home) -> None:
    batch_id = faulty(exchange_home, findings.TOLD_FROM)
    assert told(exchange_home) == findings.OfAgency(
        [findings.Counted(batch_id, "X01", findings.TOLD_FROM)], [], more=False
    )


def test_an_agency_is_told_nothing_of_few_persons(exchange_home: Home) -> None:
    faulty(exchange_home, findings.TOLD_FROM - 1)
    assert told(exchange_home) == findings.OfAgency([], [], more=False)


def test_an_agency_is_told_nothing_of_persons_in_a_table_that_speaks_of_few(exchange_home: Home) -> None:
    faulty(exchange_home, findings.TOLD_FROM)
    with exchange_home.database.transaction() as tx:
        tx.execute("""UPDATE batch SET totals = totals || '{"people": 6}'""")
    assert told(exchange_home).counted == []


def test_an_agency_is_told_the_row_of_an_organisation_and_nothing_of_another_agencys(exchange_home: Home) -> None:
    batch_id = published(exchange_home, [(organisation(n), "SANZI_FUND", ACCOUNT) for n in (1, 2)])
    published(exchange_home, [(organisation(3), "SANZI_FUND", ACCOUNT)], agency="别的局")
    findings.check_published(exchange_home)
    located = told(exchange_home).located
    assert [(one.batch_id, one.rule, one.kind, one.row_no) for one in located] == [
        (batch_id, "X05B", "SANZI_FUND", 7),
        (batch_id, "X05B", "SANZI_FUND", 8),
    ]
    assert [one.row_no for one in told(exchange_home, "别的局").located] == [7]
    assert told(exchange_home, "别的局", batch_id).located == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("X07", "VILLAGE_UNKNOWN"),
        ("X10", "DUPLICATE_IN_BATCH"),
        ("X15", "COLLECTIVE_FUND_IN_PERSONAL_ACCOUNT"),
        ("X16", "BALANCE_DIFFERENCE"),
    ],
)
def test_a_rule_of_intake_counts_the_rows_that_intake_remarked_on(exchange_home: Home, rule: str, code: str) -> None:
    batch_id = published(exchange_home, [], codes={code: 3, "NO_CONSENT": 4, "ACCOUNT_LUHN": 5})
    published(exchange_home, [], codes={"ACCOUNT_LUHN": 5})
    assert told(exchange_home).counted == [findings.Counted(batch_id, rule, 3, code)]


def test_a_batch_that_was_blocked_for_its_total_is_counted_once(exchange_home: Home) -> None:
    batch_id = published(exchange_home, [])
    assert told(exchange_home).counted == []
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE batch SET state = 'blocked', blocked_code = 'TOTAL_MISMATCH'")
    assert told(exchange_home).counted == [findings.Counted(batch_id, "X08", 1, "TOTAL_MISMATCH")]


def test_a_regulator_counts_what_stood_at_a_moment(exchange_home: Home) -> None:
    before = clock.now()
    faulty(exchange_home, 2)
    found = clock.now()
    published(exchange_home, [(person(0), "SUBSIDY", GRANT | {"area": 1})])
    findings.check_published(exchange_home)
    with exchange_home.database.transaction() as tx:
        assert findings.counts(tx, before) == []
        assert findings.counts(tx, found) == [("X01", AGENCY, "SUBSIDY", 2)]
        assert findings.counts(tx, clock.now() + timedelta(seconds=1)) == [("X01", AGENCY, "SUBSIDY", 1)]


def test_what_is_not_checked_follows_from_what_was_delivered_and_from_nobodys_consent(exchange_home: Home) -> None:
    def told_to(agency: str | None) -> dict[str, list[bool]]:
        found: dict[str, list[bool]] = {}
        with exchange_home.database.transaction() as tx:
            for one in findings.not_checked(tx, agency):
                found.setdefault(one.rule, []).append(one.whole)
        return found

    assert told_to(AGENCY) == {}
    assert all(any(whole) for whole in told_to(None).values())
    published(exchange_home, FAULTY[:1])
    assert told_to(AGENCY)["X01"] == [True]
    assert set(told_to(AGENCY)) == {"X01", "X02", "X04", "X05", "X06", "X06B", "X11"}
    published(exchange_home, FAULTY[1:], agency="别的局")
    before = told_to(AGENCY)
    assert "X01" not in before
    assert "X01" not in told_to(None)
    assert set(told_to("别的局")) == set()
    consented(exchange_home, items=ITEMS, by_register=True)
    findings.check_published(exchange_home)
    assert told_to(AGENCY) == before
