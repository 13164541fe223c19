"""A person's number in the name of a file or a sheet is kept nowhere and shown to nobody."""

import io
from datetime import UTC, datetime

import openpyxl
import pytest
from psycopg import sql

from connectors import uploads
from connectors.intake import Intake
from connectors.labels import MASK
from exchange.home import Home
from registry.database import Database
from tests.checked import person
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
HELD = 70
SOMEBODY, ANOTHER = person(41).text, person(42).text  # in no sample
NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)


def roster_of(*people: str) -> bytes:
    """The roster, its first sheets called after these people too."""
    book = openpyxl.load_workbook(io.BytesIO(ROSTER.read_bytes()), data_only=True)  # a copy has no results of formulas
    for number, person_id in enumerate(people):
        book.worksheets[number].title += person_id
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def everything_kept(database: Database) -> str:
    """All that stands in the database, as text."""
    with database.transaction() as tx:
        tables = tx.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [tx.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))) for (name,) in tables]
        return "\n".join(text for found in rows for (text,) in found.fetchall())


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


def labels(intake: Intake) -> set[str]:
    files = intake.report(as_of=AS_OF)["files"]
    assert isinstance(files, dict)
    return set(files)


def test_a_number_in_a_files_name_is_kept_nowhere(intake: Intake, capfd: pytest.CaptureFixture[str]) -> None:
    name = f"扎西{SOMEBODY}草原补奖2025.xlsx"
    intake.take(ROSTER.read_bytes(), name, as_of=AS_OF)
    assert labels(intake) == {f"扎西{MASK}{SOMEBODY[-2:]}草原补奖2025.xlsx"}
    intake.reevaluate(as_of=AS_OF)
    assert len(labels(intake)) == 1
    assert SOMEBODY not in everything_kept(intake.database) + "".join(capfd.readouterr())


def test_a_number_in_a_sheets_name_is_kept_nowhere_and_every_sheet_has_a_label(intake: Intake) -> None:
    strange = openpyxl.Workbook()
    for place, name in enumerate((SOMEBODY, ANOTHER, "说明")):
        sheet = strange.active if place == 0 else strange.create_sheet()
        assert sheet is not None
        sheet.title = name
        for row in (["甲", "乙", "丙"], [1, 2, 3], [4, 5, 6]):
            sheet.append(row)
    out = io.BytesIO()
    strange.save(out)
    intake.take(out.getvalue(), "表.xlsx", as_of=AS_OF)
    assert labels(intake) == {"表.xlsx#第1张", "表.xlsx#第2张", "表.xlsx#说明"}
    kept = everything_kept(intake.database)
    assert SOMEBODY not in kept
    assert ANOTHER not in kept


def test_rows_of_sheets_that_are_called_by_numbers_are_taken_in(intake: Intake) -> None:
    intake.take(roster_of(SOMEBODY, ANOTHER), "名册.xlsx", as_of=AS_OF)
    assert labels(intake) == {"名册.xlsx"}
    kept = everything_kept(intake.database)
    assert SOMEBODY not in kept
    assert ANOTHER not in kept
    with intake.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM record").fetchone() == (HELD,)


def test_a_number_in_the_name_of_an_upload_is_not_kept() -> None:
    assert uploads.label_of(f"{SOMEBODY}.xlsx") == f"{MASK}{SOMEBODY[-2:]}.xlsx"
