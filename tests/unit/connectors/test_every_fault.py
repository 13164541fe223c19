"""A row with several faults is told of all of them at once, by the rules that weighed it."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from openpyxl import load_workbook

from connectors import annotate, apparent, cells, delimited, every_fault, reading
from connectors.annotate import Sent
from connectors.chunk import Chunk, Portion
from connectors.codes import RANK
from connectors.delivery import BY_COMMAND
from connectors.every_fault import Fault, Marked
from connectors.mends import Act, Mend, Mends
from tests.corpus.workbooks import FILE, HEADER, Case, cases, one, row
from tests.unit.connectors.consent_register import AS_OF, SAMPLES
from tests.unit.connectors.tables import Cell, csv, person

NAME = "民和县_粮食直补发放明细_2026.csv"
TEXT_HEADER = ("身份证号", "姓名", "补贴金额(元)", "发放日期")
ID, AMOUNT, DAY = TEXT_HEADER[0], TEXT_HEADER[2], TEXT_HEADER[3]
THREE = (person(2)[:-1], "某", "", "26-5-8")  # each cell but the name is wrong


def marked(raw: bytes, name: str = NAME, mended: dict[str, Mends] | None = None) -> list[Marked]:
    decided = mended or {}
    outcomes = apparent.evaluate(raw, name, as_of=AS_OF, delivery=BY_COMMAND, mended=decided)
    return list(every_fault.marked(raw, name, BY_COMMAND, outcomes, as_of=AS_OF, mended=decided))


def workbook(raw: bytes, name: str, *, mask: bool = False) -> Any:
    outcomes = apparent.evaluate(raw, name, as_of=AS_OF, delivery=BY_COMMAND, mended={})
    sent = Sent(raw, name, BY_COMMAND, AS_OF, {}, outcomes)
    return load_workbook(BytesIO(annotate.annotated(sent, mask=mask)))


def lines(*more: tuple[Cell, ...]) -> bytes:
    return csv([TEXT_HEADER, (person(1), "某", "10.00", "2026-05-08"), *more])


def test_all_faults_of_a_row_are_told_at_once_the_gravest_first() -> None:
    (found,) = marked(lines(THREE))
    assert (found.sheet, found.row_no, found.end) == ("", 3, "rejected")
    assert found.faults == (
        Fault("ID_MALFORMED", ID),
        Fault("AMOUNT_MISSING", AMOUNT),
        Fault("DATE_AMBIGUOUS", DAY),
    )


@pytest.mark.parametrize("mask", [False, True])
def test_every_faulty_cell_is_coloured_and_its_reason_and_mend_stand_in_the_last_columns(*, mask: bool) -> None:
    wrong = row(2, id=person(2)[:-1], amount=None, village="630222999999")
    for raw, name in (
        (one([HEADER, row(1), wrong]), FILE),
        (csv([HEADER, row(1), wrong]), "民和县_耕地地力保护补贴_2026.csv"),
    ):
        sheet = workbook(raw, name, mask=mask).worksheets[2]
        assert [cell.value for cell in sheet[1]][-2:] == [annotate.REASON, annotate.MENDING]
        coloured = {HEADER[cell.column - 1] for cell in sheet[3] if cell.fill.fill_type == "solid"}
        said, how = (str(cell.value).splitlines() for cell in sheet[3][-2:])
        assert len(said) == len(how) == len(coloured) == 3
        for heading in coloured:
            assert sum(f"“{heading}”：" in text for text in said) == 1
            assert sum(text.startswith(f"“{heading}”：") for text in how) == 1
        assert said[0].startswith("【退回】")
        assert all(text.startswith("另：") for text in said[1:])
        assert not any(cell.fill.fill_type for cell in sheet[2])


def test_a_doubtful_row_that_stands_twice_is_told_of_both() -> None:
    lines_ = [HEADER, row(1), row(2, amount=800), row(2, amount=800)]
    first, second = marked(one(lines_), FILE)
    assert [fault.code for fault in first.faults] == ["AMOUNT_MISMATCH"]
    assert [fault.code for fault in second.faults] == ["AMOUNT_MISMATCH", "DUPLICATE_IN_BATCH"]
    assert second.faults[1].column == "身份证号码"


def test_a_row_that_was_decided_is_told_of_nothing_that_was_decided() -> None:
    twice = (person(1), "某", "10.00", "2026-05-08")
    raw = lines(twice, (person(3), "某", "1.00", "2026-05-08"), THREE)
    mends = [
        Mend(Act.ACCEPT, "", 3),
        Mend(Act.WITHDRAW, "", 4),
        Mend(Act.CORRECT, "", 5, {ID: person(2), AMOUNT: "7"}),
    ]
    accepted, withdrawn, corrected = marked(raw, mended={NAME: mends})
    assert [fault.code for fault in accepted.faults] == ["ACCEPTED_BY_AGENCY"]
    assert [fault.code for fault in withdrawn.faults] == ["WITHDRAWN_BY_AGENCY"]
    assert corrected.faults == (Fault("DATE_AMBIGUOUS", DAY),)


@pytest.mark.parametrize("make", list(cases()), ids=lambda make: make.__name__)
def test_what_is_found_again_begins_with_what_decided_the_row(make: Callable[[], Case]) -> None:
    case = make()
    _holds_together(case.raw, case.name)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*[0-9季度册].*s*")), ids=lambda path: path.suffix)
def test_of_the_samples_too(path: Any) -> None:
    _holds_together(path.read_bytes(), path.name)


def _holds_together(raw: bytes, name: str) -> None:
    outcomes = apparent.evaluate(raw, name, as_of=AS_OF, delivery=BY_COMMAND, mended={})
    firsts = {
        (sheet, row_no): (end, code)
        for one_ in outcomes
        for frame in one_.frames()
        for sheet, row_no, end, code in frame[["sheet", "row_no", "outcome", "code"]].itertuples(index=False)
        if code
    }
    found = list(every_fault.marked(raw, name, BY_COMMAND, outcomes, as_of=AS_OF, mended={}))
    assert {(one_.sheet, one_.row_no): (one_.end, one_.faults[0].code) for one_ in found} == firsts
    for one_ in found:
        ranks = [RANK[fault.code] for fault in one_.faults]
        assert ranks == sorted(ranks)
        assert len(set(one_.faults)) == len(one_.faults)


def test_a_long_text_is_told_of_block_by_block_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [THREE if n % 7 == 0 else (person(n), f"某{n}", f"{n}.50", "2026-05-08") for n in range(1, 300)]
    raw = csv([TEXT_HEADER, *rows])
    short = marked(raw)
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1_000)
    assert marked(raw) == short
    assert len(short) == 299 // 7


def test_good_rows_are_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = lines(*((person(n), "某", "1.00", "2026-05-08") for n in range(2, 100)), THREE)
    outcomes = apparent.evaluate(raw, NAME, as_of=AS_OF, delivery=BY_COMMAND, mended={})
    sizes: list[int] = []
    clean = cells.clean

    def counted(portion: Portion, **how: Any) -> Chunk:
        sizes.append(len(portion.rows))
        return clean(portion, **how)

    monkeypatch.setattr(cells, "clean", counted)
    assert len(list(every_fault.marked(raw, NAME, BY_COMMAND, outcomes, as_of=AS_OF, mended={}))) == 1
    assert sizes == [1]
