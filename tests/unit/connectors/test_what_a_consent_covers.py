"""Of a person's row only what the person's consents cover leaves step 4; the row stays the same record (R-05, R-10)."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from connectors.normalise import TableOutcome
from connectors.recording import identifiers, new_records
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import current
from registry.records import NewRecord, identity_bytes
from tests.unit.connectors.consent_register import everybody, nobody
from tests.unit.connectors.tables import codes, csv, person, table

HEADER = ["身份证号", "姓名", "年度", "面积(亩)", "标准(元/亩)", "金额(元)", "银行账号", "发放日期", "发放状态"]
ROW = [person(1), "张生莲", "2026", "10", "78.6", "786", "6239990000000000018", "2026-04-15", "已发放"]


def covering(*fields: str) -> BasisOf:
    def basis_of(_: str, identifiers: Sequence[str], __: object) -> list[Basis | None]:
        return [Basis(BasisKind.CONSENT, "c", frozenset(fields))] * len(identifiers)

    return basis_of


def records(outcome: TableOutcome) -> list[NewRecord]:
    owners = {one.text: UUID(int=number) for number, one in enumerate(identifiers(outcome.frame), 1)}
    return new_records(outcome.frame, outcome, owners)


def test_fields_that_no_consent_covers_are_not_in_the_record() -> None:
    outcome = table(csv([HEADER, ROW]), basis_of=covering("area", "rate"))
    (record,) = records(outcome)
    assert dict(record.payload) == {"area": 100_000, "rate": "78.6"}
    assert record.basis == Basis(BasisKind.CONSENT, "c")
    assert outcome.counts == table(csv([HEADER, ROW])).counts
    assert outcome.amount_fen == table(csv([HEADER, ROW])).amount_fen


def test_account_numbers_are_in_no_consent_and_not_held_of_a_person() -> None:
    fields = [item.partition(".")[2] for item in current().kinds["SUBSIDY"].items]
    (record,) = records(table(csv([HEADER, ROW]), basis_of=covering(*fields)))
    (whole,) = records(table(csv([HEADER, ROW]), basis_of=everybody))
    assert set(whole.payload) - set(record.payload) == {"bank_account"}


def test_an_organisations_row_is_held_whole() -> None:
    header = ["村集体经济组织", "统一社会信用代码", "户名", "账号", "银行余额(元)", "账面余额(元)"]
    row = ["井尔沟股份经济合作社", "N2630203000000019A", "井尔沟股份经济合作社", "820137", "1", "1"]
    outcome = table(csv([header, row]), "平安区_三资_2026年第一季度.csv", basis_of=nobody)
    assert outcome.frame["account_no"].tolist() == ["820137"]
    assert outcome.frame["covered"].isna().all()


def test_the_same_row_is_the_same_record_under_a_narrower_consent() -> None:
    kind = current().kinds["SUBSIDY"]
    (narrow,) = records(table(csv([HEADER, ROW]), basis_of=covering("area")))
    (whole,) = records(table(csv([HEADER, ROW]), basis_of=everybody))
    assert "grant_year" not in narrow.payload
    assert identity_bytes(narrow, kind) == identity_bytes(whole, kind)
    assert identity_bytes(replace(narrow, identity=None), kind) != identity_bytes(whole, kind)


def test_a_quarantined_rows_cells_are_stripped_likewise() -> None:
    row = [*ROW[:5], "999", *ROW[6:]]
    outcome = table(csv([HEADER, row]), basis_of=covering("payee_name", "area"))
    assert codes(outcome) == {"AMOUNT_MISMATCH": 1}
    (kept,) = outcome.quarantined
    assert {heading: cell for heading, cell in kept.cells.items() if cell} == {
        "身份证号": person(1),
        "姓名": "张生莲",
        "面积(亩)": "10",
    }


def test_of_several_persons_only_what_all_have_agreed_to_is_kept() -> None:
    def each(_: str, identifiers: Sequence[str], __: object) -> list[Basis | None]:
        mine = {person(1): frozenset({"area", "rate"}), person(2): frozenset({"rate", "payee_name"})}
        return [Basis(BasisKind.CONSENT, "c", mine[one]) for one in identifiers]

    outcome = table(csv([HEADER, [f"{person(1)};{person(2)}", *ROW[1:]]]), basis_of=each)
    assert codes(outcome) == {"MULTIPLE_PERSONS": 1}
    (kept,) = outcome.quarantined
    assert [heading for heading, cell in kept.cells.items() if cell] == ["身份证号", "标准(元/亩)"]


def test_every_row_is_stripped_by_its_own_persons_consents() -> None:
    def each(_: str, identifiers: Sequence[str], __: object) -> list[Basis | None]:
        narrow = Basis(BasisKind.CONSENT, "c", frozenset({"area"}))
        return [narrow if one == person(2) else Basis(BasisKind.CONSENT, "d") for one in identifiers]

    rows = [[person(number), *ROW[1:]] for number in (1, 2, 3)]
    frame = table(csv([HEADER, *rows]), basis_of=each).frame
    assert frame["amount_due"].isna().tolist() == [False, True, False]
    assert frame["area"].tolist() == [100_000] * 3
