"""An agency delivers what it was permitted and nothing else; no recall of its own takes away what another has said."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from connectors import permits, rawfiles, uploading
from connectors.codes import BY_NAME, Outcome
from connectors.delivery import Channel, Delivery
from connectors.intake import Intake
from connectors.mending import Verb
from connectors.normalise import TableOutcome
from exchange import mending
from exchange.home import Home
from exchange.mending import intake_of
from exchange.oauth.scopes import Role
from registry import clock, recalling, store
from registry.basis import Basis, BasisKind
from registry.catalogue import current
from registry.identifiers import CreditCode
from registry.records import NewRecord, Payload, Provenance
from tests.agencies import AGENCY, OTHER_AGENCY, delivered, line, recalled, roster, shown, staff
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.attacks.test_uploads import OURS, ROSTER, THEIRS
from tests.attacks.uploading import Agency
from tests.people import LI, ZHANG, consented
from tests.unit.connectors.consent_register import basis_of_register, everybody
from tests.unit.connectors.tables import csv

RAW = ROSTER.read_bytes()
NOT_PERMITTED = permits.NOT_PERMITTED
COLLECTIVE = CreditCode.parse("N2630203000000019A")
OTHER_NAME = "民和县_粮食直补发放明细_2026_另.csv"
LISTED = csv(
    [
        ["失信被执行人名单"],
        ["类别", "姓名/名称", "身份证号码/组织机构代码", "案号", "执行法院", "立案时间"],
        ["失信被执行人", "示例", ZHANG.text, "(2024)青0222执101号", "民和县人民法院", "2024-11-05"],
    ]
)


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


def count(home: Home, what: str) -> int:
    with home.database.transaction() as tx:
        row = tx.execute(f"SELECT count(*) FROM {what}").fetchone()  # a test's own words
    assert row is not None
    return int(row[0])


def calling(home: Home, door: Door, sources: Sequence[str], organisation: str = OURS, name: str = "one") -> Agency:
    return Agency(door, registered(home, Caller(f"agency-{name}"), Role.AGENCY, organisation, sources))


def handed_over(agency: Agency, intake: Intake, home: Home, raw: bytes = RAW, **said: str) -> list[dict[str, object]]:
    """Upload a file and have it taken in; give its batches as the agency is told them."""
    url = agency.upload(raw, **{"filename": ROSTER.name, **said})
    uploading.take_all(intake, home.uploads)
    return [agency.json(f"{ISSUER}/agency/v1/batches/{one}") for one in agency.json(url)["batches"]]


# ---- what it was permitted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sources", [[], ["court_lists"]])
def test_a_source_that_was_not_permitted_is_blocked_whole_and_nothing_of_it_is_held(
    exchange_home: Home, door: Door, intake: Intake, sources: list[str]
) -> None:
    agency = calling(exchange_home, door, sources)
    (batch,) = handed_over(agency, intake, exchange_home)
    assert (batch["state"], batch["codes"], batch["controls"]) == ("blocked", [], [])
    told = batch["blocked"]
    assert isinstance(told, dict)
    assert told["code"] == NOT_PERMITTED
    assert "平台运营方" in told["mend"]["zh"]
    for table in ("record", "subject", "quarantine_row", "publication"):
        assert count(exchange_home, table) == 0, table


@pytest.mark.parametrize("said", [{}, {"source": "subsidy_roster"}])
def test_made_up_court_rows_of_people_who_never_consented_are_not_published(
    exchange_home: Home, door: Door, intake: Intake, said: dict[str, str]
) -> None:
    agency = calling(exchange_home, door, ["subsidy_roster"])
    (batch,) = handed_over(agency, intake, exchange_home, LISTED, filename="失信名单.csv", **said)
    assert batch["state"] == "blocked"
    assert count(exchange_home, "record") == 0


def test_with_the_permit_the_same_file_is_taken_in_and_without_it_again_nothing_new_is_held(
    exchange_home: Home, door: Door, intake: Intake
) -> None:
    agency = calling(exchange_home, door, [])
    assert handed_over(agency, intake, exchange_home)[0]["state"] == "blocked"
    with exchange_home.database.transaction() as tx:
        assert permits.permit(tx, OURS, ["subsidy_roster"], now=clock.now()) == ["subsidy_roster"]
    assert handed_over(agency, intake, exchange_home)[0]["state"] == "published"
    held = count(exchange_home, "record")
    assert held > 0
    with exchange_home.database.transaction() as tx:
        assert permits.refuse(tx, OURS, ["subsidy_roster"], now=clock.now()) == ["subsidy_roster"]
    replace(intake, basis_of=everybody).reevaluate()
    assert count(exchange_home, "record WHERE frozen_at IS NULL AND recalled_at IS NULL") == held


def test_one_agencys_permit_is_no_others(exchange_home: Home, door: Door, intake: Intake) -> None:
    calling(exchange_home, door, ["subsidy_roster"], OURS)
    stranger = calling(exchange_home, door, [], THEIRS, "two")
    (batch,) = handed_over(stranger, intake, exchange_home)
    assert batch["state"] == "blocked"


@pytest.mark.parametrize("delivery", [Delivery(), Delivery(Channel.FOLDER, OURS, "subsidy_roster")])
def test_what_the_operator_names_itself_needs_no_permit(
    exchange_home: Home, intake: Intake, delivery: Delivery
) -> None:
    (taken,) = intake.take(RAW, ROSTER.name, as_of=date(2026, 6, 15), delivery=delivery)
    assert taken.outcome.blocked is None
    assert count(exchange_home, "record") > 0


def test_of_a_file_with_several_tables_only_those_not_permitted_are_blocked() -> None:
    tables = [
        TableOutcome("a", 1, source="subsidy_roster", apparent={"accepted": {"": 1}}),
        TableOutcome("b", 1, source="court_lists", apparent={"accepted": {"": 1}}, amount_fen=1),
        TableOutcome("c", 0, blocked="HEADER_UNKNOWN"),
    ]
    held = permits.hold(tables, Delivery(Channel.UPLOAD, OURS), {"subsidy_roster"})
    assert [one.blocked for one in held] == [None, NOT_PERMITTED, "HEADER_UNKNOWN"]
    assert (held[1].apparent, held[1].amount_fen, held[1].held) == ({}, None, None)
    assert BY_NAME[NOT_PERMITTED].outcome is Outcome.BLOCKED


def test_each_permit_is_in_the_log_once(exchange_home: Home) -> None:
    with exchange_home.database.transaction() as tx:
        permits.permit(tx, OURS, ["subsidy_roster", "court_lists"], now=clock.now())
        permits.permit(tx, OURS, ["subsidy_roster"], now=clock.now())
        permits.refuse(tx, OURS, ["court_lists"], now=clock.now())
        permits.refuse(tx, OURS, ["court_lists"], now=clock.now())
        rows = tx.execute(
            "SELECT event, fields->'sources' FROM log_entry WHERE event LIKE 'connectors:sources:%' ORDER BY event"
        ).fetchall()
        assert permits.permitted(tx, OURS) == {"subsidy_roster"}
    assert rows == [
        ("connectors:sources:permitted", ["court_lists", "subsidy_roster"]),
        ("connectors:sources:refused", ["court_lists"]),
    ]


# ---- the same bytes -------------------------------------------------------------------------------------------------


def test_the_same_bytes_of_two_agencies_are_two_files_and_twice_of_one_are_one(
    exchange_home: Home, door: Door, intake: Intake
) -> None:
    first = calling(exchange_home, door, ["subsidy_roster"], OURS)
    second = calling(exchange_home, door, ["subsidy_roster"], THEIRS, "two")
    batches = [handed_over(one, intake, exchange_home)[0] for one in (first, second, first)]
    assert [one["state"] for one in batches] == ["published"] * 3
    assert batches[0]["batch_id"] == batches[2]["batch_id"] != batches[1]["batch_id"]
    with exchange_home.database.transaction() as tx:
        files = rawfiles.still_open(tx)
    assert sorted(one.delivery.agency for one in files) == sorted([OURS, THEIRS])
    assert len({one.raw_id for one in files}) == 2


# ---- who takes back what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ["242.59", "9.99"])
def test_a_rival_that_says_the_same_or_something_else_and_recalls_it_takes_nothing_away(
    exchange_home: Home, theirs: str
) -> None:
    consented(exchange_home)
    delivered(exchange_home, roster(line(ZHANG)))
    before = _amounts(exchange_home)
    rival = delivered(exchange_home, roster(line(ZHANG, theirs)), OTHER_NAME, OTHER_AGENCY)
    recalled(exchange_home, rival, OTHER_AGENCY)
    assert shown(exchange_home, ZHANG) == [("", 2)]
    assert _amounts(exchange_home) == before
    intake_of(exchange_home).reevaluate()
    assert _amounts(exchange_home) == before


def test_who_delivers_a_rivals_rows_first_owns_nothing_of_them(exchange_home: Home) -> None:
    consented(exchange_home)
    rival = delivered(exchange_home, roster(line(ZHANG)), agency=OTHER_AGENCY)
    delivered(exchange_home, roster(line(ZHANG)))
    recalled(exchange_home, rival, OTHER_AGENCY)
    assert shown(exchange_home, ZHANG) == [("", 2)]


def test_of_the_same_agency_nothing_older_comes_back(exchange_home: Home) -> None:
    consented(exchange_home)
    delivered(exchange_home, roster(line(ZHANG)))
    later = delivered(exchange_home, roster(line(ZHANG, "9.99")), OTHER_NAME)
    recalled(exchange_home, later)
    assert shown(exchange_home, ZHANG) == []


def test_files_weighed_again_do_not_put_one_agencys_rows_before_the_others_in_turn(exchange_home: Home) -> None:
    consented(exchange_home)
    delivered(exchange_home, roster(line(ZHANG), line(LI)))
    delivered(exchange_home, roster(line(ZHANG, "9.99"), line(LI)), OTHER_NAME, OTHER_AGENCY)
    latest = _amounts(exchange_home)
    consented(exchange_home, LI)
    for _ in range(2):
        intake_of(exchange_home).reevaluate()
        assert _amounts(exchange_home) == latest
    assert count(exchange_home, "record") == 4


def test_what_its_agency_has_replaced_does_not_come_back_when_a_rival_recalls(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    old = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    rival = delivered(exchange_home, roster(line(LI, "9.99")), OTHER_NAME, OTHER_AGENCY)
    new = delivered(exchange_home, roster(line(ZHANG)), "民和县_粮食直补发放明细_2026_更正.csv")
    proposed = mending.propose_replacement(exchange_home, staff("wang"), old, new, "整批更正")
    mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
    assert len(shown(exchange_home, LI)) == 1
    recalled(exchange_home, rival, OTHER_AGENCY)
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([("", 2)], [])


def _amounts(home: Home) -> set[bytes]:
    """What stands of a person says, as its keyed hash."""
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [ZHANG])
        refs = [one.ref for one in store.visible(tx, {(one, "SUBSIDY") for one in found.values()})]
        return {
            tx.execute(
                "SELECT payload_mac FROM record WHERE (subject_id, record_id, version) = (%s, %s, %s)",
                (ref.subject_id, ref.record_id, ref.version),
            ).fetchall()[0][0]
            for ref in refs
        }


# ---- sets that replace each other whole -----------------------------------------------------------------------------


def _published(home: Home, sender: str, minute: int, *accounts: str) -> UUID:
    """Publish a collective's funds as one sender; give the batch."""
    batch, now = uuid4(), clock.now() + timedelta(minutes=minute)
    said = Provenance(
        uuid4(), "test", "某局", "SANZI_FUND", current().version, b"\x01" * 32, date(2026, 6, 15), sender=sender
    )
    with home.database.transaction() as tx:
        owner = store.ensure_subjects(tx, home.keyring, [COLLECTIVE], now=now)[COLLECTIVE.text]
        store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=now)
        store.stage(tx, home.sealing, said, [_fund(owner, one) for one in accounts], now=now)
        store.publish(tx, said, now=now)
    return batch


def _fund(owner: UUID, account: str) -> NewRecord:
    payload: Payload = {"account_no": account, "as_of": "2026-03-31", "bank_balance": 100}
    return NewRecord(owner, "SANZI_FUND", payload, 3, Basis(BasisKind.ORGANISATION, "law"), "B", "2026-Q1")


def _standing(home: Home) -> list[str]:
    """Whose funds stand, one word each."""
    with home.database.transaction() as tx:
        owner = store.lookup(tx, home.keyring, [COLLECTIVE])[COLLECTIVE.text]
        return [one.provenance.sender for one in store.visible(tx, {(owner, "SANZI_FUND")})]


def _recall(home: Home, batch: UUID) -> None:
    with home.database.transaction() as tx:
        recalling.recall_batch(tx, batch, now=clock.now(), actor="test")


def test_a_set_that_is_recalled_gives_way_to_anothers_and_to_none_older_of_its_own(exchange_home: Home) -> None:
    assert current().kinds["SANZI_FUND"].snapshot
    _published(exchange_home, AGENCY, 0, "1", "2")
    rivals = _published(exchange_home, OTHER_AGENCY, 1, "1", "3", "4")
    assert _standing(exchange_home) == [OTHER_AGENCY] * 3
    _recall(exchange_home, rivals)
    assert _standing(exchange_home) == [AGENCY] * 2
    own = _published(exchange_home, AGENCY, 2, "5")
    assert _standing(exchange_home) == [AGENCY]
    _recall(exchange_home, own)
    assert _standing(exchange_home) == []


def test_the_same_set_of_a_rival_is_a_set_of_its_own(exchange_home: Home) -> None:
    rivals = _published(exchange_home, OTHER_AGENCY, 0, "1", "2")
    _published(exchange_home, AGENCY, 1, "1", "2")
    _recall(exchange_home, rivals)
    assert _standing(exchange_home) == [AGENCY] * 2
