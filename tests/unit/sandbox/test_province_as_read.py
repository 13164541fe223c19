"""Two readings of one text: what the sandbox planted is what the product's rules find, in every count and amount."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from connectors import normalise, report
from registry import catalogue
from registry.basis import Basis, BasisKind, BasisOf
from sandbox import bulk, province

AS_OF = date(2026, 6, 15)
SOME_CONSENT = Basis(BasisKind.CONSENT, str(UUID(int=1)))


def everybody(_: str, people: Sequence[str], __: date) -> list[Basis | None]:
    return [SOME_CONSENT] * len(people)


def as_registered(register: Path) -> BasisOf:
    """Answer from the register alone: active, in its period, naming the class."""
    covered: dict[str, set[str]] = {}
    for line in csv.DictReader(io.StringIO(register.read_bytes().decode("utf-8-sig"))):
        if line["状态"] == "active" and line["生效日期"] <= AS_OF.isoformat() <= line["失效日期"]:
            covered.setdefault(line["身份证号"], set()).update(line["数据项"].split(";"))

    def basis_of(kind: str, people: Sequence[str], _: date) -> list[Basis | None]:
        return [SOME_CONSENT if kind in covered.get(person, ()) else None for person in people]

    return basis_of


@pytest.mark.parametrize(("seed", "households"), [(7, 120), (11, 60), (3, 300)])
def test_a_province_is_read_as_it_was_planted(seed: int, households: int, tmp_path: Path) -> None:
    planted = province.write(tmp_path, as_of=AS_OF, seed=seed, households=households)
    basis_of = as_registered(planted.consents_file)
    outcomes = [
        outcome
        for file in planted.files
        for outcome in normalise.evaluate(file.read_bytes(), file.name, as_of=AS_OF, basis_of=basis_of)
    ]
    assert report.report(outcomes, as_of=AS_OF)["files"] == planted.expected["files"]


@pytest.mark.parametrize(("seed", "households"), [(7, 120), (11, 60)])
def test_the_files_of_the_other_offices_are_read_as_they_were_planted(
    seed: int, households: int, tmp_path: Path
) -> None:
    planted = province.write(tmp_path, as_of=AS_OF, seed=seed, households=households, other_offices=True)
    registered = as_registered(planted.consents_file)

    def basis_of(kind: str, people: Sequence[str], day: date) -> Sequence[Basis | None]:
        class_code = catalogue.current().kinds[kind].class_code
        return registered(kind if class_code == "SANZI" else class_code, people, day)

    outcomes = [
        outcome
        for file in planted.files
        for outcome in normalise.evaluate(file.read_bytes(), file.name, as_of=AS_OF, basis_of=basis_of)
    ]
    assert report.report(outcomes, as_of=AS_OF)["files"] == planted.expected["files"]
    assert {outcome.class_code for outcome in outcomes if outcome.class_code} == {
        *("SUBSIDY", "RATING", "SANZI", "BIZ_REG", "TAX", "ELEC", "SOC_INS", "JUDICIAL", "AGRI_REG", "GRASS"),
        *("LIVESTOCK", "AGRI_INS", "METEO", "PRICE", "LENDER"),
    }


def test_the_other_files_are_the_same_with_and_without_the_other_offices(tmp_path: Path) -> None:
    plain = province.write(tmp_path / "plain", as_of=AS_OF, households=60)
    more = province.write(tmp_path / "more", as_of=AS_OF, households=60, other_offices=True)
    assert [one.read_bytes() for one in plain.files] == [one.read_bytes() for one in more.files[: len(plain.files)]]
    assert len(more.files) == len(plain.files) + 12


def test_a_bulk_roster_is_read_as_it_was_planted(tmp_path: Path) -> None:
    roster = bulk.write(tmp_path / "民和回族土族自治县_耕地地力保护补贴发放明细_2026.csv", rows=5_000)
    (outcome,) = normalise.evaluate(roster.path.read_bytes(), roster.path.name, as_of=AS_OF, basis_of=everybody)
    read = cast("Mapping[str, Any]", report.entry(outcome))
    codes = {**read.get("rejected_codes", {}), **read.get("quarantined_codes", {}), **read.get("warned_codes", {})}
    assert read["rows"] == roster.rows
    assert codes == roster.codes
    assert read["accepted_amount_yuan"] == f"{roster.accepted_fen // 100}.{roster.accepted_fen % 100:02d}"
