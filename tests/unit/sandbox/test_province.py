"""A generated province: the same every time, laid out as agencies lay their files out, counted as written."""

import csv
import io
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, cast

import openpyxl
import pytest

from sandbox import people, province
from sandbox.province import Planted

AS_OF = date(2026, 6, 15)
SAMPLES = Path(__file__).parents[2] / "samples" / "agencies"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return province.write(tmp_path_factory.mktemp("province"), as_of=AS_OF, households=120)


def tables(planted: Planted) -> Mapping[str, Mapping[str, Any]]:
    return cast("Mapping[str, Mapping[str, Any]]", planted.expected["files"])


def read_csv(path: Path, encoding: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding))))


def only(planted: Planted, part: str) -> Path:
    (found,) = (path for path in planted.files if part in path.name)
    return found


def test_the_same_seed_gives_the_same_bytes(planted: Planted, tmp_path: Path) -> None:
    again = province.write(tmp_path, as_of=AS_OF, households=120)
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in planted.files]
    assert again.consents_file.read_bytes() == planted.consents_file.read_bytes()
    assert again.expected == planted.expected


def test_another_seed_gives_other_people(planted: Planted, tmp_path: Path) -> None:
    other = province.write(tmp_path, as_of=AS_OF, seed=8, households=120)
    assert not set(other.agreed) & set(planted.agreed)


@pytest.mark.parametrize("count", [people.FEWEST_HOUSEHOLDS - 1, people.MOST_HOUSEHOLDS + 1])
def test_a_province_too_small_or_too_large_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="households must be"):
        province.write(tmp_path, as_of=AS_OF, households=count)


def test_the_smallest_province_has_every_fault(tmp_path: Path) -> None:
    small = province.write(tmp_path, as_of=AS_OF, households=people.FEWEST_HOUSEHOLDS)
    assert small.agreed
    assert small.never_asked
    assert small.to_another_lender


def test_every_table_reconciles(planted: Planted) -> None:
    for name, expected in tables(planted).items():
        if "blocked" in expected:
            continue
        outcomes = [expected[outcome] for outcome in ("accepted", "warned", "quarantined", "rejected")]
        assert sum(outcomes) == expected["rows"], name
        for outcome in ("warned", "quarantined", "rejected"):
            assert sum(expected.get(f"{outcome}_codes", {}).values()) == expected[outcome], name


def test_each_kind_of_fault_is_there(planted: Planted) -> None:
    found: set[str] = set()
    for expected in tables(planted).values():
        for outcome in ("warned", "quarantined", "rejected"):
            found |= set(expected.get(f"{outcome}_codes", {}))
        found |= {expected.get("blocked", "NO_CONSENT")}
    # a fault planted in the row of somebody who did not agree ends as NO_CONSENT; so not all need to show
    assert {"NO_CONSENT", "ID_CHECK_FAILED", "ID_PRECISION_LOST", "DATE_AMBIGUOUS", "AMOUNT_MISSING"} <= found
    assert {"TOTAL_MISMATCH", "UNIT_UNKNOWN", "HEADER_UNKNOWN", "USCC_CHECK_FAILED", "NET_VALUE_MISMATCH"} <= found


def test_the_farmland_roster_is_gb18030_and_states_its_own_total(planted: Planted) -> None:
    path = only(planted, "耕地地力保护补贴")
    with pytest.raises(UnicodeDecodeError):
        path.read_bytes().decode("utf-8")
    rows = read_csv(path, "gb18030")
    assert rows[2] == read_csv(SAMPLES / path.name, "gb18030")[2]
    stated = [re.sub(r"[￥,]", "", row[8]) for row in rows[3:-1]]
    cents = sum(round(float(text) * 100) for text in stated if text not in {"—", "#REF!"})
    assert rows[-1][0] == "合计"
    assert rows[-1][8] == f"{cents / 100:,.2f}"


def test_the_grassland_roster_has_a_two_level_header_on_every_sheet(planted: Planted) -> None:
    path = only(planted, "草原生态保护补助奖励")
    sample = openpyxl.load_workbook(SAMPLES / path.name).worksheets[0]
    for sheet in openpyxl.load_workbook(path).worksheets:
        for line in (3, 4):
            assert [cell.value for cell in sheet[line]] == [cell.value for cell in sample[line]]
        assert {str(area) for area in sheet.merged_cells.ranges} == {str(area) for area in sample.merged_cells.ranges}
        rows = list(sheet.iter_rows(min_row=5, values_only=True))
        amounts = [cast("float", row[10]) for row in rows if isinstance(row[0], int)]
        (subtotal,) = (row[10] for row in rows if row[1] == "小计")
        assert subtotal == pytest.approx(sum(amounts))


@pytest.mark.parametrize(("part", "heading"), [("民和回族土族自治县_信用户评定结果", 3)])
def test_the_rating_has_the_columns_of_the_sample(planted: Planted, part: str, heading: int) -> None:
    path = only(planted, part)
    ours, sample = (openpyxl.load_workbook(folder / path.name).worksheets[0] for folder in (planted.folder, SAMPLES))
    assert [cell.value for cell in ours[heading]] == [cell.value for cell in sample[heading]]


def test_the_ledger_has_the_sheets_and_columns_of_the_sample(planted: Planted) -> None:
    path = only(planted, "三资台账")
    ours, sample = openpyxl.load_workbook(path), openpyxl.load_workbook(SAMPLES / path.name)
    assert ours.sheetnames == sample.sheetnames == ["资金", "资产", "资源", "合同"]
    for name, line in (("资金", 3), ("资产", 3), ("资源", 3), ("合同", 2)):
        assert [cell.value for cell in ours[name][line]] == [cell.value for cell in sample[name][line]]


def test_the_register_has_the_columns_of_the_sample_and_counts_itself(planted: Planted) -> None:
    rows = read_csv(planted.consents_file, "utf-8-sig")
    assert rows[0] == read_csv(SAMPLES / planted.consents_file.name, "utf-8-sig")[0]
    assert len(rows) - 1 == planted.expected["consents"]
    listed = {row[2]: row for row in rows[1:]}
    assert all(listed[number][9] == "active" and listed[number][4] == people.LENDER for number in planted.agreed)
    assert not set(planted.never_asked) & set(listed)


def test_nobody_is_named_in_a_representation(planted: Planted) -> None:
    text = repr(planted)
    household = people.settle(seed=7, households=120, as_of=AS_OF).farmers[0]
    assert not any(number in text for number in (*planted.agreed, *planted.never_asked, *planted.to_another_lender))
    assert household.resident_id not in repr(household)
    assert household.name not in repr(household)
