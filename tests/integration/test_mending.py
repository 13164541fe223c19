"""Mending with a database: what people decide of rows, what follows, and what nobody can tell from it."""

import zipfile
from collections.abc import Mapping
from datetime import timedelta
from io import BytesIO
from uuid import UUID

import openpyxl
import pytest

from connectors import annotate, apparent, mappings
from connectors import mending as decisions
from connectors.delivery import Channel, Delivery
from connectors.errors import BytesDestroyed
from connectors.mending import State, Verb, What
from consent.decision import Reason
from exchange import mending, recall_notices
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.release import AskAgain, Permitted, Refused, release
from exchange.release.providing import For, provide
from registry import clock
from tests.agencies import (
    AGENCY,
    HEADER,
    OTHER_AGENCY,
    delivered,
    events,
    line,
    people,
    permitted,
    recalled,
    roster,
    shown,
    staff,
    wanted,
)
from tests.people import BANK, LI, NOBODY, ZHANG, caller, consented, question

HEADING_ID, HEADING_DAY = "身份证号", "发放日期"


def count(home: Home, what: str) -> int:
    with home.database.transaction() as tx:
        row = tx.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


def code_of(refusal: pytest.ExceptionInfo[RequestRefused]) -> str:
    return refusal.value.code


def workbook_of(home: Home, batch_id: UUID, *, mask: bool = False) -> bytes:
    provided = provide(home, staff(), batch_id, purpose=For.ANNOTATING)
    outcomes = provided.weighed()
    told = {one.label: apparent.told_without(one, provided.batch.codes) for one in outcomes}
    without = {label: total for label, total in told.items() if total is not None}
    file = provided.file
    sent = annotate.Sent(provided.raw, file.label, file.delivery, provided.as_of, provided.mended, outcomes, without)
    return annotate.annotated(sent, mask=mask)


# ---- mending by hand ------------------------------------------------------------------------------------------------


def test_a_rejected_workbook_is_mended_with_nothing_but_the_annotated_copy(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["民和县2026年粮食直补发放花名册"])
    sheet.append(["序号", "身份证号", "户主", "补贴金额（元）", "发放日期"])
    wrong = ZHANG.text[:-1] + ("2" if ZHANG.text[-1] != "2" else "3")
    sheet.append([1, wrong, "示例甲", 120.5, "2026-05-08"])
    sheet.append([2, LI.text, "示例乙", 80, "26-5-8"])
    saved = BytesIO()
    book.save(saved)
    batch_id = delivered(exchange_home, saved.getvalue(), "民和县_粮食直补发放明细_2026.xlsx")
    assert shown(exchange_home, ZHANG) == shown(exchange_home, LI) == []

    copy = openpyxl.load_workbook(BytesIO(workbook_of(exchange_home, batch_id)))
    mine, bad = copy.worksheets[2], copy[annotate.ROWS]
    told = {int(str(row[1])): row[-2] for row in bad.iter_rows(min_row=4, values_only=True) if row[1]}
    assert set(told) == {3, 4}
    right = {3: ZHANG.text, 4: "2026-05-08"}
    for row_no in told:
        (faulty,) = [cell for cell in mine[row_no] if cell.fill.fill_type == "solid"]
        faulty.value = right[row_no]
    saved = BytesIO()
    copy.save(saved)
    again = delivered(exchange_home, saved.getvalue(), "民和县_粮食直补发放明细_2026.xlsx")
    assert again != batch_id
    assert count(exchange_home, f"batch WHERE batch_id = '{again}' AND accepted = 2 AND rows = 2") == 1
    assert shown(exchange_home, ZHANG) == [("3", 3)]
    assert shown(exchange_home, LI) == [("3", 4)]
    assert "青桥批注" not in str(openpyxl.load_workbook(BytesIO(workbook_of(exchange_home, again))).sheetnames[3:])


def test_a_corrected_row_is_held_and_stays_so_when_the_file_is_weighed_again(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG, day="26-5-8")))
    decided = mending.decide(
        exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{HEADING_DAY: "2026-05-08"})
    )
    assert decided.state is State.DECIDED
    assert shown(exchange_home, ZHANG) == [("", 2)]
    before = count(exchange_home, "record")
    mending.intake_of(exchange_home).reevaluate()
    assert (shown(exchange_home, ZHANG), count(exchange_home, "record")) == ([("", 2)], before)


def test_a_correction_that_mends_nothing_is_refused_with_its_reason_and_nothing_is_lost(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    with pytest.raises(RequestRefused, match="DATE_AMBIGUOUS") as refused:
        mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{HEADING_DAY: "26-5-8"}))
    assert code_of(refused) == "correction-fails"
    assert shown(exchange_home, ZHANG) == [("", 2)]
    assert count(exchange_home, "mending") == 0
    with pytest.raises(RequestRefused) as unknown:
        mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), 没有的列="1"))
    assert code_of(unknown) == "heading-unknown"


def test_a_row_whose_identity_is_corrected_retires_the_old_record(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{HEADING_ID: LI.text}))
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 2)])
    mending.intake_of(exchange_home).reevaluate()
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 2)])


def test_a_doubtful_row_is_held_once_it_is_accepted_and_only_a_doubtful_one_can_be(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(ZHANG)))
    assert shown(exchange_home, ZHANG) == [("", 2)]
    with pytest.raises(RequestRefused) as refused:
        mending.decide(exchange_home, staff(), batch_id, wanted(What.ACCEPT, ("", 2)))
    assert code_of(refused) == "row-not-quarantined"
    mending.decide(exchange_home, staff(), batch_id, wanted(What.ACCEPT, ("", 3)))
    assert count(exchange_home, f"batch WHERE batch_id = '{batch_id}' AND accepted = 1 AND warned = 1") == 1


# ---- two persons ----------------------------------------------------------------------------------------------------


def with_four_eyes(home: Home) -> None:
    with home.database.transaction() as tx:
        decisions.set_four_eyes(tx, AGENCY, wanted=True, by="operator", now=clock.now())


def test_four_eyes_cannot_be_one_persons_two_requests(exchange_home: Home) -> None:
    consented(exchange_home)
    with_four_eyes(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    proposed = mending.decide(exchange_home, staff("wang"), batch_id, wanted(What.WITHDRAW, ("", 2)))
    assert proposed.state is State.PROPOSED
    for verb in (Verb.APPROVE, Verb.REFUSE):
        with pytest.raises(RequestRefused) as refused:
            mending.settle(exchange_home, staff("wang"), proposed.mending_id, verb)
        assert code_of(refused) == "four-eyes-needed"
    assert shown(exchange_home, ZHANG) == [("", 2)]
    settled = mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
    assert settled.state is State.DECIDED
    assert shown(exchange_home, ZHANG) == []
    with pytest.raises(RequestRefused) as again:
        mending.settle(exchange_home, staff("zhao"), proposed.mending_id, Verb.APPROVE)
    assert code_of(again) == "proposal-settled"


def test_another_organisation_neither_sees_nor_settles(exchange_home: Home) -> None:
    consented(exchange_home)
    with_four_eyes(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    proposed = mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    stranger = staff("sun", OTHER_AGENCY)
    with pytest.raises(RequestRefused) as unknown:
        provide(exchange_home, stranger, batch_id, purpose=For.LOOKING)
    assert code_of(unknown) == "batch-unknown"
    with pytest.raises(RequestRefused) as refused:
        mending.settle(exchange_home, stranger, proposed.mending_id, Verb.APPROVE)
    assert code_of(refused) == "proposal-unknown"
    with pytest.raises(RequestRefused) as recalled:
        mending.recall(exchange_home, stranger, batch_id, "不是我们的")
    assert code_of(recalled) == "batch-unknown"


def test_whoever_proposes_takes_back_and_nothing_comes_of_it(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    proposed = mending.recall(exchange_home, staff("wang"), batch_id, "误报")
    with pytest.raises(RequestRefused) as refused:
        mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.WITHDRAW)
    assert code_of(refused) == "four-eyes-needed"
    dropped = mending.settle(exchange_home, staff("wang"), proposed.mending_id, Verb.WITHDRAW)
    assert dropped.state is State.WITHDRAWN
    assert shown(exchange_home, ZHANG) == [("", 2)]


# ---- recalls --------------------------------------------------------------------------------------------------------


def test_a_recalled_row_never_returns_on_reevaluation(exchange_home: Home) -> None:
    consented(exchange_home)
    consented(exchange_home, LI)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 3)])
    mending.intake_of(exchange_home).reevaluate()
    delivered(exchange_home, roster(line(ZHANG), line(LI)))
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 3)])
    with pytest.raises(RequestRefused) as refused:
        mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{HEADING_DAY: "2026-05-09"}))
    assert code_of(refused) == "row-withdrawn"


def test_a_recalled_batch_never_returns_and_can_be_sent_anew(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    recalled(exchange_home, batch_id)
    assert shown(exchange_home, ZHANG) == []
    mending.intake_of(exchange_home).reevaluate()
    delivered(exchange_home, roster(line(ZHANG)))
    assert shown(exchange_home, ZHANG) == []
    delivered(exchange_home, roster(line(ZHANG), line(NOBODY)))
    assert shown(exchange_home, ZHANG) == [("", 2)]


def test_nobody_recalls_a_whole_batch_alone_also_where_one_person_is_enough_for_rows(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    proposed = mending.recall(exchange_home, staff("wang"), batch_id, "误报")
    assert proposed.state is State.PROPOSED
    assert shown(exchange_home, ZHANG) == [("", 2)]
    with pytest.raises(RequestRefused) as refused:
        mending.settle(exchange_home, staff("wang"), proposed.mending_id, Verb.APPROVE)
    assert code_of(refused) == "four-eyes-needed"
    assert shown(exchange_home, ZHANG) == [("", 2)]
    mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
    assert shown(exchange_home, ZHANG) == []


def test_a_recall_works_after_the_bytes_are_gone(exchange_home: Home) -> None:
    consented(exchange_home)
    consented(exchange_home, LI)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE raw_file SET open_until = %s", (clock.now() - timedelta(days=1),))
    assert mending.intake_of(exchange_home).destroy_due() == 1
    with pytest.raises(RequestRefused) as refused:
        provide(exchange_home, staff(), batch_id, purpose=For.ANNOTATING)
    assert code_of(refused) == "bytes-destroyed"
    mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([], [("", 3)])
    whole = mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 3)))
    assert (whole.what, whole.state, shown(exchange_home, LI)) == (What.RECALL, State.PROPOSED, [("", 3)])
    mending.settle(exchange_home, staff("li"), whole.mending_id, Verb.APPROVE)
    assert shown(exchange_home, LI) == []


def test_a_recall_reaches_each_lender_once_and_no_other(exchange_home: Home) -> None:
    consented(exchange_home)
    consented(exchange_home, recipient="别的银行")
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(NOBODY)))
    first = release(exchange_home, [question(), question(business_no="LA-2")])
    other = release(exchange_home, [question(presented=caller("别的银行", "other"))])
    assert all(isinstance(one, Permitted) for one in (*first, *other))
    mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    with exchange_home.database.transaction() as tx:
        told = {
            name: recall_notices.of_lender(tx, name, after=0, limit=10, unacknowledged=True)
            for name in (BANK, "别的银行", "没有问过的银行")
        }
        assert recall_notices.complete(tx, now=clock.now()) == 0
    assert [len(found) for found in told.values()] == [1, 1, 0]
    asked = {str(one.query_id) for one in first if isinstance(one, Permitted)}
    assert set(told[BANK][0].queries) == asked
    with exchange_home.database.transaction() as tx:
        notice_id = told[BANK][0].notice_id
        assert not recall_notices.acknowledge(tx, "别的银行", notice_id, by="other", now=clock.now())
        assert recall_notices.acknowledge(tx, BANK, notice_id, by="bank", now=clock.now())
        assert recall_notices.of_lender(tx, BANK, after=0, limit=10, unacknowledged=True) == []


def test_what_was_answered_before_stays_provable_but_is_not_given_again(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(NOBODY)))
    asked = question(idempotency_key="key-one-1")
    (first,) = release(exchange_home, [asked])
    assert isinstance(first, Permitted)
    mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    (again,) = release(exchange_home, [asked])
    assert isinstance(again, Refused)
    assert again.reason is Reason.RECALLED
    (proof,) = release(exchange_home, [AskAgain(caller(), first.query_id)])
    assert isinstance(proof, Permitted)
    assert proof.body == first.body


# ---- replacing ------------------------------------------------------------------------------------------------------


def test_a_whole_batch_is_replaced_by_two_persons_and_lenders_hear_only_of_what_is_gone(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    old = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    new = delivered(exchange_home, roster(line(ZHANG), line(NOBODY)), "民和县_粮食直补发放明细_2026_更正.csv")
    assert all(isinstance(one, Permitted) for one in release(exchange_home, [question(), question(LI)]))
    proposed = mending.propose_replacement(exchange_home, staff("wang"), old, new, "整批更正")
    with pytest.raises(RequestRefused) as refused:
        mending.settle(exchange_home, staff("wang"), proposed.mending_id, Verb.APPROVE)
    assert code_of(refused) == "four-eyes-needed"
    assert shown(exchange_home, LI) == [("", 3)]
    mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([("", 2)], [])
    assert count(exchange_home, "lender_notice") == 1
    mending.intake_of(exchange_home).reevaluate()
    assert (shown(exchange_home, ZHANG), shown(exchange_home, LI)) == ([("", 2)], [])
    recalled(exchange_home, new)
    assert shown(exchange_home, ZHANG) == []


# ---- who has consented cannot be told -------------------------------------------------------------------------------


def sheets_of(workbook: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(workbook)) as package:
        return {name: package.read(name) for name in package.namelist() if name.startswith("xl/")}


def test_only_the_totals_of_an_annotated_workbook_tell_that_somebody_consented(exchange_home: Home) -> None:
    everyone = people(12)
    rows = [line(who) for who in everyone] + [
        line(everyone[3]),
        line(everyone[4], day="26-5-8"),
        line(everyone[5], "x"),
    ]
    batch_id = delivered(exchange_home, roster(*rows))
    without = sheets_of(workbook_of(exchange_home, batch_id))
    for who in everyone[3:6]:
        consented(exchange_home, who)
    mending.intake_of(exchange_home).reevaluate()
    within = sheets_of(workbook_of(exchange_home, batch_id))
    differing = {name for name in without if without[name] != within[name]}
    assert differing == {"xl/worksheets/sheet1.xml"}
    old, new = (sheets["xl/worksheets/sheet1.xml"].decode() for sheets in (without, within))
    assert old.replace("<t>10</t>", "<t>0</t>") == new  # 13 and 9, in tens


def test_of_few_people_not_even_the_total_is_told(exchange_home: Home) -> None:
    batch_id = delivered(exchange_home, roster(*(line(who) for who in people(9))))
    before = sheets_of(workbook_of(exchange_home, batch_id))
    for who in people(9):
        consented(exchange_home, who)
    mending.intake_of(exchange_home).reevaluate()
    assert sheets_of(workbook_of(exchange_home, batch_id)) == before


def test_a_decision_leaves_the_same_entries_whether_or_not_the_person_consented(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(NOBODY), line(ZHANG), line(NOBODY)))
    told = []
    for what, rows in ((What.ACCEPT, (4, 5)), (What.WITHDRAW, (2, 3))):
        for row_no in rows:
            before = len(events(exchange_home))
            decided = mending.decide(exchange_home, staff(), batch_id, wanted(what, ("", row_no)))
            told.append((decided.state, sorted(events(exchange_home)[before:])))
    assert told[0] == told[1]
    assert told[2] == told[3]
    assert "registry:records:recalled" in told[2][1]


def test_a_masked_copy_shows_no_identifier(exchange_home: Home) -> None:
    batch_id = delivered(exchange_home, roster(line(ZHANG, day="26-5-8"), line(LI)))
    text = b"".join(sheets_of(workbook_of(exchange_home, batch_id, mask=True)).values())
    for who in (ZHANG, LI):
        assert who.text.encode() not in text


def test_a_formula_in_a_cell_is_not_run_by_whoever_opens_the_copy(exchange_home: Home) -> None:
    batch_id = delivered(exchange_home, roster((ZHANG.text, '=HYPERLINK("http://x")', "1", "26-5-8")))
    book = openpyxl.load_workbook(BytesIO(workbook_of(exchange_home, batch_id)))
    assert not any(cell.data_type == "f" for sheet in book.worksheets for row in sheet.iter_rows() for cell in row)


def test_what_people_wrote_lies_sealed_and_goes_with_the_bytes(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG, day="26-5-8")))
    cells = {HEADING_ID: LI.text, HEADING_DAY: "2026-05-08"}
    made = mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **cells))
    with exchange_home.database.transaction() as tx:
        rows = str(tx.execute("SELECT m::text FROM mending m").fetchall())
        assert LI.text not in rows
        assert LI.text.encode().hex() not in rows
        (said,) = decisions.said_by(tx, exchange_home.sealing, [made])
        assert dict(said["cells"]) == cells
        tx.execute("UPDATE raw_file SET open_until = %s", (clock.now() - timedelta(days=1),))
    mending.intake_of(exchange_home).destroy_due()
    with exchange_home.database.transaction() as tx:
        assert decisions.said_by(tx, exchange_home.sealing, [made]) == [{}]
    with pytest.raises(BytesDestroyed):
        delivered(exchange_home, roster(line(ZHANG, day="26-5-8")))


# ---- headings -------------------------------------------------------------------------------------------------------


def test_a_heading_that_was_explained_once_goes_through_by_itself_the_next_time(exchange_home: Home) -> None:
    consented(exchange_home)
    strange = ("领款凭证码", "户主", "补贴金额(元)", "发放日期")
    batch_id = delivered(exchange_home, roster(line(ZHANG), header=strange))
    assert count(exchange_home, "batch WHERE blocked_code = 'HEADER_UNKNOWN'") == 1
    mending.say_heading(exchange_home, staff(), "SUBSIDY", "领款凭证码", "payee_id", also=False, batch_id=batch_id)
    assert shown(exchange_home, ZHANG) == [("", 2)]
    delivered(exchange_home, roster(line(NOBODY), line(ZHANG, "300.00", "2026-06-01"), header=strange), "第二季度.csv")
    assert count(exchange_home, "batch WHERE blocked_code IS NULL") == 2
    elsewhere = delivered(exchange_home, roster(line(LI), header=strange), "别处.csv", OTHER_AGENCY)
    assert count(exchange_home, f"batch WHERE batch_id = '{elsewhere}' AND blocked_code = 'HEADER_UNKNOWN'") == 1


def test_two_headings_are_not_mapped_to_one_column_silently(exchange_home: Home) -> None:
    def say(heading: str, *, also: bool = False) -> None:
        mending.say_heading(exchange_home, staff(), "SUBSIDY", heading, "payee_id", also=also, batch_id=None)

    say("领款凭证码")
    with pytest.raises(RequestRefused) as refused:
        say("领款号")
    assert code_of(refused) == "column-mapped-already"
    say("领款号", also=True)
    both = ("领款凭证码", "领款号", "补贴金额(元)", "发放日期")
    permitted(exchange_home)
    delivery = Delivery(Channel.UPLOAD, AGENCY)
    taken = mending.intake_of(exchange_home).take(
        roster((ZHANG.text, LI.text, "1", "2026-05-08"), header=both), "两列.csv",
        as_of=clock.beijing_day(clock.now()), delivery=delivery,
    )  # fmt: skip
    assert "领款号" in taken[0].outcome.unread
    with pytest.raises(RequestRefused) as unknown:
        mending.say_heading(exchange_home, staff(), "SUBSIDY", "x", "no_such", also=False, batch_id=None)
    assert code_of(unknown) == "column-unknown"


def test_a_heading_that_two_persons_agree_on_has_its_batch_weighed_again(exchange_home: Home) -> None:
    consented(exchange_home)
    with_four_eyes(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG), header=("领款凭证码", *HEADER[1:])))
    said = mending.say_heading(
        exchange_home, staff("wang"), "SUBSIDY", "领款凭证码", "payee_id", also=False, batch_id=batch_id
    )
    assert shown(exchange_home, ZHANG) == []
    with pytest.raises(RequestRefused) as refused:
        mending.settle_heading(exchange_home, staff("wang"), said.mapping_id, approve=True)
    assert code_of(refused) == "four-eyes-needed"
    mending.settle_heading(exchange_home, staff("li"), said.mapping_id, approve=True)
    assert shown(exchange_home, ZHANG) == [("", 2)]
    with pytest.raises(RequestRefused) as unknown:
        mending.settle_heading(exchange_home, staff("li", OTHER_AGENCY), said.mapping_id, approve=True)
    assert code_of(unknown) == "proposal-unknown"


def test_a_heading_explained_later_leaves_the_other_tables_of_its_file_where_they_were(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    book = openpyxl.Workbook()
    known, strange = book.worksheets[0], book.create_sheet("二组")
    for sheet, header, who in ((known, HEADER, ZHANG), (strange, ("领款凭证码", *HEADER[1:]), LI)):
        sheet.append(header)
        sheet.append(line(who))
    saved = BytesIO()
    book.save(saved)
    name = "民和县_粮食直补发放明细_2026.xlsx"
    permitted(exchange_home)
    taken = mending.intake_of(exchange_home).take(
        saved.getvalue(), name, as_of=clock.beijing_day(clock.now()), delivery=Delivery(Channel.UPLOAD, AGENCY)
    )
    assert [one.outcome.label for one in taken] == [name, f"{name}#二组"]
    with exchange_home.database.transaction() as tx:
        before = dict(tx.execute("SELECT label, batch_id FROM batch").fetchall())
    mending.say_heading(
        exchange_home, staff(), "SUBSIDY", "领款凭证码", "payee_id", also=False, batch_id=before[f"{name}#二组"]
    )
    with exchange_home.database.transaction() as tx:
        after = dict(tx.execute("SELECT label, batch_id FROM batch").fetchall())
    assert after == before
    assert shown(exchange_home, ZHANG) == [("1", 2)]
    assert shown(exchange_home, LI) == [("2", 2)]


# ---- corrections are told -------------------------------------------------------------------------------------------


def told(home: Home, organisation: str = BANK) -> list[str]:
    with home.database.transaction() as tx:
        return [one.event for one in recall_notices.of_lender(tx, organisation, after=0, limit=10, unacknowledged=True)]


def test_a_lender_that_received_a_value_is_told_that_it_was_corrected(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    assert isinstance(release(exchange_home, [question()])[0], Permitted)
    correct = wanted(What.CORRECT, ("", 2), **{"补贴金额(元)": "242.95"})
    mending.decide(exchange_home, staff(), batch_id, correct)
    assert told(exchange_home) == ["corrected"]
    mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 3), **{"补贴金额(元)": "1"}))
    with exchange_home.database.transaction() as tx:
        assert recall_notices.complete(tx, now=clock.now()) == 0
    assert told(exchange_home) == ["corrected"]
    mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", 2)))
    assert sorted(told(exchange_home)) == ["corrected", "recalled"]


def test_a_question_that_was_under_way_during_a_correction_is_found_by_the_job(exchange_home: Home) -> None:
    consented(exchange_home)
    batch_id = delivered(exchange_home, roster(line(ZHANG)))
    assert isinstance(release(exchange_home, [question()])[0], Permitted)
    mending.decide(exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{"补贴金额(元)": "1"}))
    with exchange_home.database.transaction() as tx:
        tx.execute("DELETE FROM lender_notice")
        assert recall_notices.complete(tx, now=clock.now()) == 1
    assert told(exchange_home) == ["corrected"]


def test_a_replacement_tells_lenders_of_values_that_differ_and_of_no_other(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    old = delivered(exchange_home, roster(line(ZHANG), line(LI)))
    assert all(isinstance(one, Permitted) for one in release(exchange_home, [question(), question(LI)]))
    new = delivered(exchange_home, roster(line(ZHANG), line(LI, "9.99")), "民和县_粮食直补发放明细_2026_更正.csv")
    proposed = mending.propose_replacement(exchange_home, staff("wang"), old, new, "整批更正")
    mending.settle(exchange_home, staff("li"), proposed.mending_id, Verb.APPROVE)
    assert told(exchange_home) == ["corrected"]


def test_the_public_log_does_not_tell_whether_a_lender_was_shown_a_row(exchange_home: Home) -> None:
    for who in (ZHANG, LI):
        consented(exchange_home, who)
    batch_id = delivered(exchange_home, roster(line(ZHANG), line(LI), line(NOBODY)))
    assert isinstance(release(exchange_home, [question()])[0], Permitted)
    entries = []
    for row_no in (2, 3):
        before = len(events(exchange_home))
        mending.decide(
            exchange_home, staff(), batch_id, wanted(What.CORRECT, ("", row_no), **{HEADING_DAY: "2026-05-09"})
        )
        mending.decide(exchange_home, staff(), batch_id, wanted(What.WITHDRAW, ("", row_no)))
        entries.append(sorted(events(exchange_home)[before:]))
    assert told(exchange_home)
    assert entries[0] == entries[1]


def test_a_decided_heading_counts_until_another_one_is_approved(exchange_home: Home) -> None:
    def say(column: str) -> mappings.ColumnMapping:
        return mending.say_heading(exchange_home, staff(), "SUBSIDY", "领款凭证码", column, also=True, batch_id=None)

    def counts() -> Mapping[str, str]:
        with exchange_home.database.transaction() as tx:
            return mappings.remembered(tx, AGENCY)

    say("payee_id")
    with_four_eyes(exchange_home)
    refused = say("payee_name")
    assert counts() == {"SUBSIDY:领款凭证码": "payee_id"}
    mending.settle_heading(exchange_home, staff("li"), refused.mapping_id, approve=False)
    assert counts() == {"SUBSIDY:领款凭证码": "payee_id"}
    approved = say("payee_name")
    assert counts() == {"SUBSIDY:领款凭证码": "payee_id"}
    mending.settle_heading(exchange_home, staff("li"), approved.mapping_id, approve=True)
    assert counts() == {"SUBSIDY:领款凭证码": "payee_name"}


def test_that_notices_were_completed_is_logged_whether_any_were_made(exchange_home: Home) -> None:
    with exchange_home.database.transaction() as tx:
        assert recall_notices.complete(tx, now=clock.now()) == 0
    assert events(exchange_home).count("exchange:lenders:notified") == 1
