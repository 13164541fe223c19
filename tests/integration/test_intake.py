"""Intake with a database: what is held, what is not, and that nothing happens twice."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from connectors.intake import Intake
from exchange.home import Home
from registry import clock
from registry.basis import Basis, BasisKind
from registry.database import Database
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register, nobody

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
LEDGER = SAMPLES / "平安区_农村集体三资台账_2026年第一季度.xlsx"
TABLES = ("record", "record_chunk", "publication", "log_entry", "batch", "quarantine_row", "subject")


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(
        exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of=basis_of_register(), now=clock.now
    )


def count(database: Database, what: str) -> int:
    with database.transaction() as tx:
        row = tx.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


def counts(database: Database) -> dict[str, int]:
    return {table: count(database, table) for table in TABLES}


def visible(database: Database) -> int:
    return count(
        database,
        "record r JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL AND r.frozen_at IS NULL",
    )


def test_the_samples_end_as_the_answer_key_says(intake: Intake) -> None:
    expected = json.loads((SAMPLES / "expected.json").read_text("utf-8"))
    intake.run([SAMPLES], as_of=AS_OF)
    report = intake.report(as_of=AS_OF)
    assert report["as_of"] == expected["as_of"]
    assert report["files"] == expected["files"]


def test_every_accepted_and_warned_row_becomes_one_record(intake: Intake, database: Database) -> None:
    taken = intake.run([SAMPLES], as_of=AS_OF)
    held = sum(one.outcome.counts.get("accepted", 0) + one.outcome.counts.get("warned", 0) for one in taken)
    assert visible(database) == held


def test_the_same_files_with_the_same_consents_change_nothing(intake: Intake, database: Database) -> None:
    intake.run([SAMPLES], as_of=AS_OF)
    before = counts(database)
    assert not any(one.changed for one in intake.run([SAMPLES], as_of=AS_OF))
    assert not any(one.changed for one in intake.reevaluate(as_of=AS_OF))
    assert counts(database) == before


def test_of_people_without_consent_nothing_is_kept_but_the_count(intake: Intake, database: Database) -> None:
    (taken,) = replace(intake, basis_of=nobody).run([ROSTER], as_of=AS_OF)
    assert taken.outcome.codes["rejected"]["NO_CONSENT"] > 0
    assert counts(database) | {"log_entry": 0} == dict.fromkeys(TABLES, 0) | {
        "batch": 1,
        "publication": 1,
    }


def test_a_consent_granted_later_brings_its_rows_in(intake: Intake, database: Database) -> None:
    replace(intake, basis_of=nobody).run([ROSTER], as_of=AS_OF)
    assert visible(database) == 0
    (taken,) = intake.reevaluate(as_of=AS_OF)
    assert taken.changed
    assert visible(database) == 70


def test_a_consent_that_has_gone_freezes_its_rows(intake: Intake, database: Database) -> None:
    intake.run([ROSTER, LEDGER], as_of=AS_OF)
    organisations = count(database, "record WHERE basis LIKE 'organisation:%'")
    replace(intake, basis_of=nobody).reevaluate(as_of=AS_OF)
    assert visible(database) == organisations
    assert count(database, "quarantine_row WHERE basis LIKE 'consent:%'") == 0
    intake.reevaluate(as_of=AS_OF)
    assert visible(database) == organisations + 70 + 20


def test_a_consent_for_other_fields_makes_new_versions_of_the_same_records(intake: Intake, database: Database) -> None:
    def with_fields(*fields: str) -> Intake:
        def basis_of(kind: str, identifiers: Sequence[str], at: date) -> list[Basis | None]:
            found = intake.basis_of(kind, identifiers, at)
            return [Basis(one.kind, one.reference, frozenset(fields)) if one else None for one in found]

        return replace(intake, basis_of=basis_of)

    with_fields("grazing_ban_area").run([ROSTER], as_of=AS_OF)
    assert not any(one.changed for one in with_fields("grazing_ban_area").reevaluate(as_of=AS_OF))
    assert all(one.changed for one in with_fields("grazing_ban_area", "grant_year").reevaluate(as_of=AS_OF))
    intake.reevaluate(as_of=AS_OF)
    assert count(database, "(SELECT DISTINCT record_id FROM record) r") == 70
    assert count(database, "record WHERE version = 3") == 70


def test_nothing_of_a_person_stands_in_clear_anywhere(intake: Intake, exchange_home: Home) -> None:
    intake.run([ROSTER], as_of=AS_OF)
    person, name, account = "632701196204270004", "尼玛才让", "6239990000000000018"
    with exchange_home.database.transaction() as tx:
        for table in (*TABLES, "raw_file", "log_queue", "subject_lookup"):
            rows = tx.execute(f"SELECT t::text FROM {table} t").fetchall()
            text = "\n".join(row[0] for row in rows)
            for secret in (person, name, account):
                assert secret not in text, table
                assert secret.encode().hex() not in text, table
    for file in exchange_home.raw.iterdir():
        assert b"PK\x03\x04" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_raw_file_is_destroyed_when_its_time_is_over_and_its_hashes_stay(intake: Intake, exchange_home: Home) -> None:
    intake.run([ROSTER], as_of=AS_OF)
    assert intake.destroy_due() == 0

    def later() -> datetime:
        return clock.now() + timedelta(days=31)

    aged = replace(intake, now=later)
    assert aged.destroy_due() == 1
    assert list(exchange_home.raw.iterdir()) == []
    assert count(exchange_home.database, "raw_file WHERE destroyed_at IS NOT NULL AND length(sm3) = 32") == 1
    assert aged.reevaluate(as_of=AS_OF) == []
    assert aged.destroy_due() == 0


def test_a_file_sent_again_after_its_bytes_are_gone_is_weighed_but_not_kept(
    intake: Intake, exchange_home: Home
) -> None:
    replace(intake, basis_of=nobody).run([ROSTER], as_of=AS_OF)
    replace(intake, now=lambda: clock.now() + timedelta(days=31)).destroy_due()
    (taken,) = intake.run([ROSTER], as_of=AS_OF)
    assert taken.changed
    assert visible(exchange_home.database) == 70
    assert list(exchange_home.raw.iterdir()) == []


def test_a_file_that_holds_no_table_of_ours_is_not_kept(intake: Intake, exchange_home: Home, tmp_path: Path) -> None:
    picture = tmp_path / "照片.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert intake.run([SAMPLES / "授权台账_2026.csv", SAMPLES / "expected.json", picture], as_of=AS_OF) == []
    assert list(exchange_home.raw.iterdir()) == []
    assert count(exchange_home.database, "batch") == 0


def test_a_corrected_file_supersedes_and_never_overwrites(intake: Intake, database: Database, tmp_path: Path) -> None:
    first = tmp_path / "民和县_粮食直补发放明细_2026.csv"
    line = "630222196805300005,张生莲,{},2026-05-08\n"
    first.write_text("身份证号,户主,补贴金额(元),发放日期\n" + line.format("242.59"), "utf-8")
    intake.run([first], as_of=AS_OF)
    first.write_text("身份证号,户主,补贴金额(元),发放日期\n" + line.format("252.59"), "utf-8")
    intake.run([first], as_of=AS_OF)
    assert count(database, "record") == 2
    assert count(database, "(SELECT DISTINCT record_id FROM record) r") == 1
    assert count(database, "record WHERE version = 2") == 1


def test_the_basis_is_asked_for_the_day_of_the_evaluation_not_that_of_the_file(intake: Intake) -> None:
    asked: list[date] = []

    def basis_of(_: str, identifiers: Sequence[str], at: date) -> list[Basis | None]:
        asked.append(at)
        return [None] * len(identifiers)

    watching = replace(intake, basis_of=basis_of)
    watching.run([ROSTER], as_of=AS_OF)
    watching.reevaluate(as_of=date(2026, 7, 1))
    assert list(dict.fromkeys(asked)) == [AS_OF, date(2026, 7, 1)]  # in the order of asking


def test_who_withdraws_while_a_file_is_taken_in_is_frozen_with_its_publication(intake: Intake) -> None:
    """The basis stands when rows are weighed, and has gone when they are published."""
    asked: list[int] = []

    def basis_of(_: str, identifiers: Sequence[str], __: date) -> list[Basis | None]:
        asked.append(len(identifiers))
        agreed = Basis(BasisKind.CONSENT, "c")
        return [agreed if sum(asked) <= 84 else None for _ in identifiers]

    replace(intake, basis_of=basis_of).run([ROSTER], as_of=AS_OF)
    assert sum(asked) == 84 + 81 + 4  # as weighed; then, with the subjects held, of what is stored and of what waits
    with intake.database.transaction() as tx:
        standing, frozen, waiting = tx.execute(
            "SELECT count(*) FILTER (WHERE frozen_at IS NULL), count(*) FILTER (WHERE frozen_at IS NOT NULL),"
            " (SELECT count(*) FROM quarantine_row) FROM record"
        ).fetchone() or (None, None, None)
    assert (standing, waiting) == (0, 0)
    assert frozen


def test_a_file_that_fails_does_not_keep_the_others_from_being_weighed(intake: Intake) -> None:
    intake.run([ROSTER, SAMPLES / "民和回族土族自治县_信用户评定结果_2026.xlsx"], as_of=AS_OF)
    weighed: list[str] = []

    def basis_of(kind: str, identifiers: Sequence[str], _: date) -> list[Basis | None]:
        weighed.append(kind)
        if len(weighed) == 1:
            raise RuntimeError("the first file fails")
        return [None] * len(identifiers)

    with pytest.raises(RuntimeError, match="the first file fails"):
        replace(intake, basis_of=basis_of).reevaluate(as_of=AS_OF)
    assert len(set(weighed)) == 2
