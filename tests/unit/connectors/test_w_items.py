"""What 征信业管理条例 §14 ¶2 names is not held of a person who did not acknowledge it, in no form (R-05)."""

import re
from collections.abc import Sequence
from importlib import resources

import pytest

from connectors import source
from connectors.normalise import TableOutcome
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import current
from tests.unit.connectors.sample_headers import HEADERS
from tests.unit.connectors.tables import Cell, csv, person, table

LAND_AND_FUND = """
source: estate_and_fund
publisher: 测试单位
class: {cls}
legal_basis: 以个人授权为准
quality: A
tables:
  - kind: {cls}
    subject: holder
    require: [[holder]]
    period: as_of
    columns:
      holder: {{type: resident_id, held: false, mandatory: true, matches: [证件号码]}}
{columns}
    checks: []
"""
ROWS: dict[str, dict[str, Cell]] = {
    "LAND": {"unit_no": "630222001001GB00012F00010001", "floor_area": "118.4", "land_use": "住宅", "mortgaged": "是"},
    "HOUSE_FUND": {"fund_month": "2026-04", "fund_base": "8123.45", "fund_amount": "974.81", "fund_status": "正常"},
}
SECRETS = {
    "TAX_PAYMENT": ("开票金额(元)", "实缴税额(元)"),
    "SOC_INS": ("缴费基数(元)", "个人缴费额(元)"),
    "AGRI_INS_POLICY": ("保单号", "险种名称", "保险金额(元)", "保费(元)", "农户自缴(元)"),
    "AGRI_INS_CLAIM": ("赔案号", "赔付金额(元)", "出险原因"),
}


def covering(kind: str, *, acknowledged: bool) -> BasisOf:
    """As the ledger answers: all lender-visible fields, W-fields only where acknowledged."""
    items = current().kinds[kind].items - (frozenset() if acknowledged else current().w_items)
    fields = frozenset(item.partition(".")[2] for item in items)

    def basis_of(_: str, people: Sequence[str], __: object) -> list[Basis | None]:
        return [Basis(BasisKind.CONSENT, "c", fields)] * len(people)

    return basis_of


def evaluated(kind: str, *, acknowledged: bool, faulty: bool) -> TableOutcome:
    basis_of = covering(kind, acknowledged=acknowledged)
    if kind not in HEADERS:
        return generic(kind, basis_of, faulty=faulty)
    name, row = HEADERS[kind]
    row = dict(row)
    who = next(heading for heading in row if re.search("证件号|身份证|识别号|保障号", heading))
    row[who] = person(5)
    if faulty:
        called = next(heading for heading in row if re.search("姓名|名称|被保险人", heading))
        row[called] = "张生莲;马国庆"
    return table(csv([list(row), [f'"{cell}"' for cell in row.values()]]), name, basis_of=basis_of)


def generic(kind: str, basis_of: BasisOf, *, faulty: bool) -> TableOutcome:
    types = {"fen": "money", "rate6": "number"}
    fields = current().kinds[kind].fields
    columns = "\n".join(
        f"      {name}: {{type: {types.get(spec.type, spec.type)}, unit: 元, matches: [{spec.zh}]"
        + (f", values: {{{', '.join(f'{one}: [{one}]' for one in spec.values)}}}}}" if spec.values else "}")
        for name, spec in fields.items()
    )
    declared = source.read({"own.yml": LAND_AND_FUND.format(cls=kind, columns=columns)})
    row = ROWS[kind]
    cells = {"证件号码": f"{person(5)};{person(6)}" if faulty else person(5)}
    cells |= {fields[name].zh: str(cell) for name, cell in row.items()}
    return table(csv([list(cells), list(cells.values())]), "own.csv", basis_of=basis_of, declarations=declared)


def told(outcome: TableOutcome) -> str:
    """All that is handed on of a table: held fields and quarantined cells, in one text."""
    kind = current().kinds[str(outcome.kind)]
    held = outcome.frame[[name for name in kind.fields if name in outcome.frame]].astype("object")
    return " ".join(
        [*map(str, held.to_numpy().ravel().tolist()), *(c for row in outcome.quarantined for c in row.cells.values())]
    )


def secrets(kind: str) -> list[str]:
    if kind in SECRETS:
        return [str(HEADERS[kind][1][heading]) for heading in SECRETS[kind]]
    w = {item.partition(".")[2] for item in current().w_items if item.startswith(f"{kind}.")}
    return [str(cell) for name, cell in ROWS[kind].items() if name in w]


@pytest.mark.parametrize("kind", [*SECRETS, *ROWS])
@pytest.mark.parametrize("faulty", [False, True])
def test_without_acknowledgement_no_w_value_leaves_the_gateway(kind: str, faulty: bool) -> None:  # noqa: FBT001
    outcome = evaluated(kind, acknowledged=False, faulty=faulty)
    w = [name for name, spec in current().kinds[kind].fields.items() if spec.w and name in outcome.frame]
    assert w
    assert outcome.frame[w].isna().all(axis=None)
    assert [text for text in secrets(kind) if text in told(outcome)] == []
    assert outcome.counts["quarantined" if faulty else "accepted"] == 1


@pytest.mark.parametrize("kind", [*SECRETS, *ROWS])
def test_with_acknowledgement_they_are_held(kind: str) -> None:
    outcome = evaluated(kind, acknowledged=True, faulty=False)
    named = [name for name, spec in current().kinds[kind].fields.items() if spec.w and name in outcome.frame]
    assert outcome.frame[named].notna().any(axis=None)
    quarantined = evaluated(kind, acknowledged=True, faulty=True)
    assert [text for text in secrets(kind) if text not in told(quarantined)] == []


def test_there_are_w_items_to_strip_in_each_of_these_classes() -> None:
    assert (resources.files("registry") / "classes" / "land.yml").is_file()
    by_class = {item.partition(".")[0] for item in current().w_items}
    assert {*SECRETS, *ROWS} <= by_class
