"""The bulk roster: valid where it should be, counted where it is not."""

import csv
import io
from datetime import date
from pathlib import Path

import pytest

from sandbox import bulk, numbers

ROWS = 3_000


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> bulk.Bulk:
    return bulk.write(tmp_path_factory.mktemp("bulk") / "roster.csv", rows=ROWS)


def rows_of(roster: bulk.Bulk) -> list[list[str]]:
    return list(csv.reader(io.StringIO(roster.path.read_bytes().decode("gb18030"))))[1:]


def luhn(card: str) -> bool:
    digits = [int(c) for c in reversed(card)]
    return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


def test_every_person_is_another_and_checks(roster: bulk.Bulk) -> None:
    assert len(set(roster.resident_ids)) == ROWS
    for number in roster.resident_ids:
        assert number == numbers.resident_id(number[:6], date.fromisoformat(number[6:14]))


def test_the_planted_faults_are_as_many_as_told(roster: bulk.Bulk) -> None:
    rows = rows_of(roster)
    wrong = sum(row[5] != number for row, number in zip(rows, roster.resident_ids, strict=True))
    missing = sum(row[8] == "—" for row in rows)
    mismatched = sum(row[7] != "78.60" for row in rows)
    assert {"ID_CHECK_FAILED": wrong, "AMOUNT_MISMATCH": mismatched, "AMOUNT_MISSING": missing} == roster.codes
    assert min(roster.codes.values()) > 0


def test_the_amount_to_be_held_is_that_of_the_faultless_rows(roster: bulk.Bulk) -> None:
    held = 0
    for row, number in zip(rows_of(roster), roster.resident_ids, strict=True):
        assert luhn(row[9])
        if row[5] == number and row[7] == "78.60" and row[8] != "—":
            fen = int(row[8].replace(".", ""))
            assert fen == round(float(row[6]) * 10) * 786
            held += fen
    assert held == roster.accepted_fen


def test_a_roster_can_be_without_fault(tmp_path: Path) -> None:
    assert not any(bulk.write(tmp_path / "clean.csv", rows=200, faults=False).codes.values())


@pytest.mark.parametrize("rows", [0, bulk.MOST_ROWS + 1])
def test_more_people_than_there_are_ids_are_refused(rows: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows must be"):
        bulk.write(tmp_path / "none.csv", rows=rows)
