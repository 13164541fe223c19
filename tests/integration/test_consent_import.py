"""A consent register taken in, again and again, and what each row becomes."""

import csv
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from consent import covering, ledger, refusals, register, uses
from consent.decision import Permit, Reason, Refusal, Request, decide
from consent.errors import Fault, RegisterUnreadable
from consent.evidence import Channel
from consent.grant import State
from consent.importing import ImportReport, import_lines
from consent.narrowing import Narrower
from consent.receipt import Issuer
from consent.refusals import No
from consent.register import Outcome, Remark
from consent.scope import Mode
from registry.database import Database, Transaction
from registry.identifiers import Identifier, ResidentId
from registry.keyring import Keyring, Purpose
from tests.counting import statements

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
BANK = "青海民和农村商业银行"
SAMPLE = Path(__file__).parents[1] / "samples" / "agencies" / "授权台账_2026.csv"
ROW = {
    "授权编号": "SQ00000001",
    "主体类型": "household",
    "身份证号": "630222199901010001",
    "姓名": "卓玛",
    "被授权机构": BANK,
    "用途": "LOAN_APPROVAL",
    "数据项": "SUBSIDY;RATING",
    "生效日期": "2026-01-10",
    "失效日期": "2026-12-31",
    "状态": "active",
    "不良后果告知": "是",
    "文本版本": "2026-01",
    "语言": "bo",
    "渠道": "村点",
    "证据文件哈希": "ab" * 32,
    "见证人": "才让",
}
OTHER_ID = "63272119850302000X"
ASK = Request(BANK, "LOAN_APPROVAL", frozenset({"RATING.grade"}), Mode.SUMMARY, frozenset(), frozenset())


class People:
    """Subject ids by identifier, made when first asked for."""

    def __init__(self) -> None:
        self.ids: dict[str, UUID] = {}

    def __call__(self, identifiers: Sequence[Identifier]) -> Mapping[str, UUID]:
        return {identifier.text: self.ids.setdefault(identifier.text, uuid4()) for identifier in identifiers}


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path, origin="test.example/log", now=NOW)


Send = Callable[..., ImportReport]


def at_the_counter(noes: Collection[No]) -> set[No]:
    """Which refusals lenders know of."""
    return {no for no in noes if no.channel is Channel.COUNTER}


def import_register(
    tx: Transaction,
    table: Sequence[Mapping[str, str]],
    *,
    hold: Callable[[Collection[UUID]], None] = lambda _: None,
    **more: Any,
) -> ImportReport:
    """Take a table in as one portion; its people are none of the registry's, so nobody can be held."""
    lines, refused = register.read(table)
    taken = import_lines(tx, lines, hold=hold, known=at_the_counter, **more)
    return ImportReport(tuple(sorted([*refused, *taken.rows], key=lambda one: one.row_no)), taken.subjects)


@pytest.fixture
def send(database: Database, keyring: Keyring, people: People) -> Send:
    def sent(*rows: Mapping[str, str], registered: frozenset[str] | None = None) -> ImportReport:
        with database.transaction() as tx:
            return import_register(tx, rows, keyring=keyring, subjects=people, now=NOW, registered=registered)

    return sent


def row(**cells: str) -> dict[str, str]:
    return ROW | cells


def only(report: ImportReport) -> tuple[Outcome, Fault | Remark]:
    (outcome,) = report.rows
    return outcome.outcome, outcome.code


def entries(database: Database) -> int:
    with database.transaction() as tx:
        found = tx.execute("SELECT count(*) FROM log_entry").fetchone()
    assert found is not None
    return int(found[0])


def outcome_for(
    database: Database, people: People, identifier: str = ROW["身份证号"], *, now: datetime = NOW
) -> Permit | Refusal:
    with database.transaction() as tx:
        stored = uses.lock(tx, [people.ids[identifier]], [BANK])
        return decide(ASK, [each.grant for each in stored], now=now)


def sample() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_register_is_taken_in_by_few_statements_and_the_same_again_changes_nothing(
    database: Database, people: People, send: Send
) -> None:
    with statements() as asked:
        first = send(*sample())
    assert len(asked) < 30  # however many rows: it has 283
    assert first.codes == {"RECORDED": 283}
    assert len(first.subjects) == 283
    written = entries(database)
    assert written == 283
    again = send(*sample())
    assert again.codes == {"SAME": 283}
    assert again.subjects == frozenset()
    assert entries(database) == written
    with database.transaction() as tx:
        page, _ = ledger.listing(tx, limit=300)
        covered = covering.covering(tx, list(people.ids.values()), "SUBSIDY", date(2026, 6, 15))
    states = [consent.state for consent in page]
    assert {state: states.count(state) for state in set(states)} == {
        State.ACTIVE: 271,
        State.REQUESTED: 9,
        State.WITHDRAWN: 3,
    }
    in_force = {
        people.ids[each["身份证号"]]
        for each in sample()
        if each["状态"] == "active" and "SUBSIDY" in each["数据项"] and each["失效日期"] >= "2026-06-15"
    }
    assert covered.keys() == in_force


def test_nothing_that_tells_who_somebody_is_reaches_the_tables(database: Database, send: Send) -> None:
    send(ROW)
    with database.transaction() as tx:
        kept = tx.execute("SELECT row_to_json(consent)::text || receipt FROM consent").fetchall()
        kept += tx.execute("SELECT row_to_json(log_entry)::text FROM log_entry").fetchall()
    text = "".join(each[0] for each in kept)
    for told in (ROW["身份证号"], ROW["姓名"], ROW["见证人"]):
        assert told not in text
        assert told.encode("unicode_escape").decode() not in text


def test_a_recipient_nobody_registered_is_recorded_and_remarked(send: Send) -> None:
    nobody: frozenset[str] = frozenset()
    assert only(send(ROW, registered=nobody)) == (Outcome.IMPORTED, Remark.RECIPIENT_NOT_REGISTERED)
    known = frozenset({BANK})
    assert only(send(row(授权编号="SQ2", 证据文件哈希="cd" * 32), registered=known)) == (
        Outcome.IMPORTED,
        Remark.RECORDED,
    )


def test_a_withdrawal_in_the_register_bites_at_once(database: Database, people: People, send: Send) -> None:
    send(ROW)
    assert isinstance(outcome_for(database, people), Permit)
    report = send(row(状态="withdrawn"))
    assert only(report) == (Outcome.IMPORTED, Remark.STATE_CHANGED)
    assert report.subjects == {people.ids[ROW["身份证号"]]}
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)


@pytest.mark.parametrize(
    "cells",
    [
        {"失效日期": "2026-06-01"},
        {"数据项": ""},
        {"数据项": "NO_SUCH"},
        {"证据文件哈希": ""},
        {"失效日期": "2036-01-01"},
    ],
)
def test_a_withdrawal_bites_whatever_else_the_row_says(
    database: Database, people: People, send: Send, cells: dict[str, str]
) -> None:
    send(ROW)
    changed = row(状态="withdrawn", **cells)
    assert only(send(changed)) == (Outcome.IMPORTED, Remark.STATE_CHANGED)
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)
    assert only(send(changed)) == (Outcome.UNCHANGED, Remark.SAME)


def test_an_old_register_revives_nothing(database: Database, people: People, send: Send) -> None:
    send(ROW)
    with database.transaction() as tx:
        (consent,) = ledger.list_for_subject(tx, people.ids[ROW["身份证号"]])
        ledger.withdraw(tx, consent.consent_id, Channel.H5, NOW)
    before = entries(database)
    assert only(send(ROW)) == (Outcome.UNCHANGED, Remark.LATER_STATE_STANDS)
    assert only(send(row(失效日期="2027-01-10"))) == (Outcome.UNCHANGED, Remark.LATER_STATE_STANDS)
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)
    assert entries(database) == before


def test_a_new_number_revives_nothing_that_was_withdrawn(database: Database, people: People, send: Send) -> None:
    send(ROW, row(授权编号="SQ2", 身份证号=OTHER_ID, 证据文件哈希="cd" * 32))
    send(row(状态="withdrawn"))
    assert only(send(row(授权编号="SQ3"))) == (Outcome.REFUSED, Fault.EVIDENCE_REUSED)
    older = row(授权编号="SQ4", 证据文件哈希="ef" * 32, 生效日期="2026-06-14", 失效日期="2026-12-31")
    assert only(send(older)) == (Outcome.REFUSED, Fault.BEFORE_WITHDRAWAL)
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)
    same_day = older | {"授权编号": "SQ5", "生效日期": "2026-06-15"}  # a register does not say whether before or after
    assert only(send(same_day)) == (Outcome.REFUSED, Fault.BEFORE_WITHDRAWAL)
    anew = older | {"授权编号": "SQ6", "生效日期": "2026-06-16"}
    assert only(send(anew)) == (Outcome.IMPORTED, Remark.RECORDED)
    assert isinstance(outcome_for(database, people, now=NOW + timedelta(days=1)), Permit)


def test_one_paper_is_one_consent_within_a_register_too(send: Send) -> None:
    report = send(
        ROW,
        row(授权编号="SQ2"),
        row(授权编号="SQ3", 身份证号=OTHER_ID),
        row(授权编号="SQ4", 用途="GUARANTEE"),
        row(授权编号="SQ5", 状态="withdrawn"),
    )
    reused, recorded = Fault.EVIDENCE_REUSED, Remark.RECORDED
    assert [each.code for each in report.rows] == [recorded, reused, reused, recorded, recorded]


def test_the_answer_to_a_request_stands_on_its_own_paper(send: Send) -> None:
    send(row(状态="requested"))
    assert only(send(ROW)) == (Outcome.IMPORTED, Remark.STATE_CHANGED)


def test_a_register_asks_nobody_who_has_lately_said_no(database: Database, people: People, send: Send) -> None:
    send(row(状态="withdrawn"))
    who = people.ids[ROW["身份证号"]]
    with database.transaction() as tx:
        refusals.record_refusal(tx, who, BANK, "LOAN_APPROVAL", Channel.COUNTER, NOW, actor="test")
    anew = row(授权编号="SQ2", 证据文件哈希="cd" * 32, 生效日期="2026-06-16")
    assert only(send(anew)) == (Outcome.REFUSED, Fault.REFUSED_LATELY)


def test_a_no_that_the_recipient_does_not_know_of_changes_no_row_of_a_register(
    database: Database, people: People, send: Send
) -> None:
    """Whoever imports, or reads the report, may be the recipient: it would learn of a "no" that was said in silence."""
    send(row(状态="withdrawn"))
    who = people.ids[ROW["身份证号"]]
    anew = row(授权编号="SQ2", 证据文件哈希="cd" * 32, 生效日期="2026-06-16")
    with database.transaction() as tx:
        for channel in (Channel.APP, Channel.H5):
            refusals.record_refusal(tx, who, BANK, "LOAN_APPROVAL", channel, NOW, actor="test")
    assert only(send(anew)) == (Outcome.IMPORTED, Remark.RECORDED)


def test_a_row_older_than_a_pause_or_a_narrowing_undoes_neither(
    database: Database, keyring: Keyring, people: People, send: Send
) -> None:
    send(ROW)
    older = row(授权编号="SQ2", 证据文件哈希="cd" * 32, 生效日期="2026-06-15")
    later = row(授权编号="SQ3", 证据文件哈希="ef" * 32, 生效日期="2026-06-16")
    with database.transaction() as tx:
        (given,) = ledger.list_for_subject(tx, people.ids[ROW["身份证号"]])
        ledger.transition(tx, given.consent_id, State.PAUSED, channel=Channel.APP, now=NOW)
    assert only(send(older)) == (Outcome.REFUSED, Fault.BEFORE_REDUCTION)
    with database.transaction() as tx:
        ledger.transition(tx, given.consent_id, State.ACTIVE, channel=Channel.APP, now=NOW)
        smaller = Narrower(items=("RATING.grade",))
        ledger.narrow(tx, given.consent_id, smaller, Issuer.of(keyring), NOW, channel=Channel.APP)
    assert only(send(older)) == (Outcome.REFUSED, Fault.BEFORE_REDUCTION)
    assert only(send(later)) == (Outcome.IMPORTED, Remark.RECORDED)


def test_a_pause_outlives_the_consent_that_was_paused(database: Database, people: People, send: Send) -> None:
    """It is the person's last word still when the consent's time is over; only the person takes it back."""
    send(row(失效日期="2026-06-15"))
    older = row(授权编号="SQ2", 证据文件哈希="cd" * 32, 生效日期="2026-06-14")
    with database.transaction() as tx:
        (given,) = ledger.list_for_subject(tx, people.ids[ROW["身份证号"]])
        ledger.transition(tx, given.consent_id, State.PAUSED, channel=Channel.APP, now=NOW)
        ledger.expire_due(tx, NOW + timedelta(days=2), lambda _: None)
    assert only(send(older)) == (Outcome.REFUSED, Fault.BEFORE_REDUCTION)


def test_everybody_of_a_portion_is_held_before_what_stands_is_locked(
    database: Database, keyring: Keyring, people: People, send: Send
) -> None:
    """Whoever withdraws holds the person and then locks the consent: the other way round both would wait for ever."""
    send(ROW)
    held: list[UUID] = []

    def hold(ids: Collection[UUID]) -> None:
        held.extend(ids)
        with database.transaction() as other:  # fails at once if the import has the row
            other.execute("SELECT FROM consent WHERE register_no = %s FOR UPDATE NOWAIT", (ROW["授权编号"],))

    reused = row(身份证号=OTHER_ID)  # another person's row, of the number that stands
    with database.transaction() as tx:
        import_register(tx, [reused], keyring=keyring, subjects=people, now=NOW, hold=hold)
    assert held == sorted(people.ids[one] for one in (ROW["身份证号"], OTHER_ID))


def test_a_register_begins_nothing_in_years_to_come(send: Send) -> None:
    far = row(生效日期="2026-08-15", 失效日期="2027-08-01")
    assert only(send(far)) == (Outcome.REFUSED, Fault.BEGINS_TOO_LATE)
    assert only(send(far | {"生效日期": "2026-08-14"})) == (Outcome.IMPORTED, Remark.RECORDED)


def test_a_register_may_pause_and_only_the_subject_resumes(database: Database, people: People, send: Send) -> None:
    send(ROW)
    assert only(send(row(状态="suspended"))) == (Outcome.IMPORTED, Remark.STATE_CHANGED)
    assert only(send(ROW)) == (Outcome.UNCHANGED, Remark.LATER_STATE_STANDS)
    assert outcome_for(database, people) == Refusal(Reason.PAUSED)


def test_a_request_becomes_a_consent_on_the_terms_agreed_to(database: Database, people: People, send: Send) -> None:
    asked = row(状态="requested", 数据项="", 证据文件哈希="")
    assert only(send(asked)) == (Outcome.IMPORTED, Remark.RECORDED)
    assert only(send(asked)) == (Outcome.UNCHANGED, Remark.SAME)
    assert outcome_for(database, people) == Refusal(Reason.NOT_YET_GIVEN)
    assert only(send(row(状态="requested"))) == (Outcome.IMPORTED, Remark.AMENDED)
    report = send(ROW)
    assert only(report) == (Outcome.IMPORTED, Remark.STATE_CHANGED)
    assert report.subjects == {people.ids[ROW["身份证号"]]}
    assert isinstance(outcome_for(database, people), Permit)
    assert only(send(ROW)) == (Outcome.UNCHANGED, Remark.SAME)
    with database.transaction() as tx:
        found = tx.execute("SELECT event FROM log_entry ORDER BY event").fetchall()
    assert [each[0] for each in found] == [
        "consent:grant:recorded",
        "consent:request:amended",
        "consent:request:recorded",
    ]


def test_a_request_in_force_without_evidence_is_refused(database: Database, people: People, send: Send) -> None:
    send(row(状态="requested"))
    assert only(send(row(证据文件哈希=""))) == (Outcome.REFUSED, Fault.EVIDENCE_MISSING)
    assert outcome_for(database, people) == Refusal(Reason.NOT_YET_GIVEN)


@pytest.mark.parametrize(
    "cells",
    [
        {"数据项": "SUBSIDY;RATING;SANZI_CONTRACT"},
        {"数据项": "RATING"},
        {"失效日期": "2027-01-10"},
        {"生效日期": "2026-01-09"},
        {"不良后果告知": "否"},
        {"证据文件哈希": "cd" * 32},
        {"语言": "zh"},
        {"见证人": "扎西"},
        {"见证人": ""},
    ],
)
def test_what_was_agreed_to_does_not_change_under_its_number(
    database: Database, send: Send, cells: dict[str, str]
) -> None:
    send(ROW)
    before = entries(database)
    assert only(send(row(**cells))) == (Outcome.REFUSED, Fault.TERMS_CHANGED)
    assert entries(database) == before


@pytest.mark.parametrize("cells", [{"身份证号": OTHER_ID}, {"被授权机构": "别家银行"}, {"用途": "GUARANTEE"}])
@pytest.mark.parametrize("state", ["active", "withdrawn", "requested"])
def test_a_number_names_one_subject_one_recipient_and_one_purpose(
    database: Database, send: Send, state: str, cells: dict[str, str]
) -> None:
    send(ROW)
    assert only(send(row(状态=state, **cells))) == (Outcome.REFUSED, Fault.NUMBER_REUSED)
    with database.transaction() as tx:
        (consent,) = ledger.listing(tx)[0]
    assert consent.state is State.ACTIVE


def test_a_bad_row_does_not_keep_the_others_out(people: People, send: Send) -> None:
    report = send(
        ROW,
        row(授权编号="SQ2", 身份证号="630222199901010002"),
        row(授权编号="SQ3", 用途="MARKETING", 身份证号=OTHER_ID),
        row(授权编号="SQ4", 失效日期="2027-06-30"),
        ROW,
        row(授权编号="SQ6", 证据文件哈希="cd" * 32),
    )
    assert [(each.row_no, each.code) for each in report.rows] == [
        (1, Remark.RECORDED),
        (2, Fault.IDENTITY_INVALID),
        (3, Fault.PURPOSE_UNKNOWN),
        (4, Fault.VALIDITY_TOO_LONG),
        (5, Fault.NUMBER_TWICE),
        (6, Remark.RECORDED),
    ]
    assert report.counts == {Outcome.IMPORTED: 2, Outcome.UNCHANGED: 0, Outcome.REFUSED: 4}
    assert [each.row_no for each in report.rows if each.needs_attention] == [2, 3, 4, 5]
    assert set(people.ids) == {ROW["身份证号"]}


def test_a_row_that_arrives_withdrawn_never_permits(database: Database, people: People, send: Send) -> None:
    assert only(send(row(状态="withdrawn"))) == (Outcome.IMPORTED, Remark.RECORDED)
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)
    assert only(send(ROW)) == (Outcome.UNCHANGED, Remark.LATER_STATE_STANDS)


def test_a_consent_over_nothing_is_kept_and_permits_nothing(database: Database, people: People, send: Send) -> None:
    send(row(数据项=""))
    assert outcome_for(database, people) == Refusal(Reason.ITEMS_NOT_COVERED)
    with database.transaction() as tx:
        assert covering.covering(tx, list(people.ids.values()), "RATING", date(2026, 6, 15)) == {}


def test_the_last_day_of_a_row_permits_until_midnight_in_beijing(
    database: Database, people: People, send: Send
) -> None:
    send(ROW)
    midnight = datetime(2026, 12, 31, 16, tzinfo=UTC)
    with database.transaction() as tx:
        grants = [each.grant for each in uses.lock(tx, list(people.ids.values()), [BANK])]
    assert isinstance(decide(ASK, grants, now=midnight - timedelta(microseconds=1)), Permit)
    assert decide(ASK, grants, now=midnight) == Refusal(Reason.EXPIRED)


def test_a_new_look_up_key_does_not_make_witnesses_strangers(keyring: Keyring, send: Send) -> None:
    send(ROW)
    keyring.rotate(Purpose.LOOKUP, NOW + timedelta(days=1))
    assert only(send(ROW)) == (Outcome.UNCHANGED, Remark.SAME)


def test_an_empty_register_and_one_without_a_column(database: Database, send: Send) -> None:
    assert send().rows == ()
    with pytest.raises(RegisterUnreadable, match="用途"):
        send({name: cell for name, cell in ROW.items() if name != "用途"})
    assert entries(database) == 0


def test_a_register_consents_for_nobody_who_cannot_and_still_withdraws(
    database: Database, keyring: Keyring, people: People, send: Send
) -> None:
    """Of the dead only what ends is taken over."""
    send(ROW)

    def sent(*rows: Mapping[str, str]) -> ImportReport:
        with database.transaction() as tx:
            return import_register(tx, rows, keyring=keyring, subjects=people, now=NOW, unavailable=set)

    assert only(sent(row(授权编号="SQ2"))) == (Outcome.REFUSED, Fault.SUBJECT_UNAVAILABLE)
    assert only(sent(row(状态="withdrawn"))) == (Outcome.IMPORTED, Remark.STATE_CHANGED)
    assert outcome_for(database, people) == Refusal(Reason.WITHDRAWN)


def test_a_register_has_no_place_for_a_guardian(send: Send) -> None:
    """A purpose says until which age one consents: 18 for loans, 14 for what a person asks about itself."""
    young = "632701200905120008"
    assert ResidentId.parse(young).birth == date(2009, 5, 12)
    assert only(send(row(身份证号=young))) == (Outcome.REFUSED, Fault.GUARDIAN_NEEDED)
    assert only(send(row(身份证号=young, 用途="SELF_QUERY"))) == (Outcome.IMPORTED, Remark.RECORDED)


def test_a_register_asks_the_number_that_is_current_how_old_somebody_is(
    database: Database, keyring: Keyring, people: People
) -> None:
    """A row that names a corrected number, of an adult, is of the child that the current one is of."""

    def sent(birth: date) -> ImportReport:
        with database.transaction() as tx:
            return import_register(
                tx, [ROW], keyring=keyring, subjects=people, now=NOW, born=lambda ids: dict.fromkeys(ids, birth)
            )

    assert only(sent(date(2009, 5, 12))) == (Outcome.REFUSED, Fault.GUARDIAN_NEEDED)
    assert only(sent(date(1999, 1, 1))) == (Outcome.IMPORTED, Remark.RECORDED)


def test_a_paper_that_has_confirmed_a_consent_is_no_paper_of_a_register(database: Database, send: Send) -> None:
    used = "cd" * 32
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO consent_confirmation (confirmation_id, consent_id, recipient, channel, evidence_kind,"
            " evidence_sha256, captured_at, confirmed_at) VALUES (%s, 'c-1', %s, 'counter', 'paper_scan', %s, %s, %s)",
            (uuid4(), BANK, bytes.fromhex(used), NOW, NOW),
        )
    assert only(send(row(证据文件哈希=used))) == (Outcome.REFUSED, Fault.EVIDENCE_REUSED)
    assert only(send(ROW)) == (Outcome.IMPORTED, Remark.RECORDED)
