"""A contract is an organisation's only where a valid credit code proves it; else nothing of it is held unasked."""

from collections.abc import Sequence

import pytest

from connectors.normalise import TableOutcome
from registry.basis import Basis, BasisKind, BasisOf
from tests.unit.connectors.consent_register import everybody, nobody
from tests.unit.connectors.tables import Cell, codes, csv, person, table

USCC = "N2630203000000019A"
COMPANY = "93632801000000051T"
HEADER = ["合同编号", "统一社会信用代码", "承包方", "承包方证件号码", "年租金(元)", "起始日期", "终止日期"]


def contract(lessee: str, number: str, basis_of: BasisOf = everybody) -> TableOutcome:
    row: Sequence[Cell] = ["1", USCC, lessee, f'"{number}"', "100", "2024-01-01", "2033-12-31"]
    return table(csv([HEADER, row]), "合同.csv", basis_of=basis_of)


@pytest.mark.parametrize(
    ("lessee", "number", "code"),
    [
        ("李四", "#REF!", "CELL_ERROR"),
        ("李四合作社", "#N/A", "CELL_ERROR"),
        ("李四", "", "ID_MALFORMED"),
        ("李四", "—", "ID_MALFORMED"),
        ("李四", "6.30222E17", "ID_PRECISION_LOST"),
        ("某某农牧有限公司", "", "USCC_CHECK_FAILED"),
        ("石灰窑村委员会", "无", "USCC_CHECK_FAILED"),
        ("某某农牧有限公司", "91632801000000051X", "USCC_CHECK_FAILED"),
        ("青海江源牧业", "93632801000000051A", "USCC_CHECK_FAILED"),
        ("某某村民委员会", "546302030000000001", "USCC_CHECK_FAILED"),
        ("李四", "510105198001010001", "ID_CHECK_FAILED"),
        ("李四", "63022219800101", "ID_MALFORMED"),
    ],
)
def test_who_is_neither_a_proven_person_nor_a_proven_organisation_leaves_nothing(
    lessee: str, number: str, code: str
) -> None:
    outcome = contract(lessee, number, basis_of=nobody)
    assert codes(outcome) == {code: 1}
    assert outcome.counts["rejected"] == 1
    assert outcome.frame.iloc[:, 5:].isna().all(axis=None)
    assert outcome.quarantined == ()


def test_a_valid_credit_code_is_an_organisation_whatever_it_is_called() -> None:
    outcome = contract("李四", COMPANY, basis_of=nobody)
    assert codes(outcome) == {}
    assert outcome.frame["subject_kind"].tolist() == ["organisation"]


@pytest.mark.parametrize(
    ("lessee", "number"),
    [
        ("甲某、乙某", person(1)),
        ("甲某", f"{person(1)}、{person(2)}"),
        ("甲某\n乙某", f"{person(1)}\n{person(2)}"),
        ("甲某；乙某", f"{person(1)};{person(2)}"),
    ],
)
def test_several_lessees_wait_for_a_decision_under_the_first_ones_consent(lessee: str, number: str) -> None:
    outcome = contract(f'"{lessee}"', number)
    assert codes(outcome) == {"MULTIPLE_PERSONS": 1}
    assert outcome.frame["subject_id"].tolist() == [person(1)]
    assert outcome.frame["subject_kind"].tolist() == ["person"]


def test_all_lessees_must_have_consented() -> None:
    def only_first(_: str, identifiers: Sequence[str], __: object) -> list[Basis | None]:
        return [Basis(BasisKind.CONSENT, "c") if one == person(1) else None for one in identifiers]

    assert codes(contract("甲某", f"{person(1)}、{person(2)}", basis_of=only_first)) == {"NO_CONSENT": 1}
