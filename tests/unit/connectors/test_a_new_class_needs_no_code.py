"""A class that nobody has programmed: two texts, and its file is taken in, row by row, down to typed records."""

from importlib import resources
from uuid import UUID

import pytest

from connectors import source
from connectors.errors import DeclarationInvalid
from connectors.frames import TOLD
from consent import purposes
from registry import catalogue
from registry.catalogue import Catalogue
from tests.unit.connectors.consent_register import everybody
from tests.unit.connectors.tables import codes, csv, person, table

CLASS = """
class: BEEKEEPING
since: v3
zh: 养蜂
bo: སྦྲང་གསོ།
en: Beekeeping
provider: 农业农村部门
frequency: yearly
quality: C
sharing: conditional
exemption: 试点，尚未编目
charge: 不收费
purposes: [LOAN_APPROVAL]
kinds:
  HIVES:
    zh: 蜂群
    bo: སྦྲང་ཚོགས།
    en: Hives
    subject: [person]
    sensitivity: S2
    identity: [counted_on]
    snapshot: false
    freshness_days: 400
    retention: P5Y
    basis: consent
    legal_basis: 征信业管理条例第十三条
    fields:
      hives: {type: int, unit: 群, zh: 蜂群数, bo: སྦྲང་གྲངས།, en: Hives}
      honey_income: {type: fen, unit: 元, zh: 蜂蜜收入, bo: སྦྲང་རྩིའི་ཡོང་འབབ།, en: Income from honey, w: true}
      certified: {type: bool, zh: 是否认证, bo: ར་སྤྲོད་ཡིན་མིན།, en: Certified}
      counted_on: {type: date, zh: 统计日期, bo: རྩིས་རྒྱག་ཚེས་གྲངས།, en: Counted on}
"""
SOURCE = """
source: beekeeping
publisher: 农业农村局
class: BEEKEEPING
legal_basis: 以个人授权为准
quality: C
tables:
  - kind: HIVES
    subject: keeper_id
    require: [[keeper_id], [hives]]
    period: date
    valid_from: counted_on
    columns:
      keeper_id: {type: resident_id, held: false, mandatory: true, matches: [蜂农身份证号]}
      hives: {type: int, mandatory: true, matches: [蜂群数]}
      honey_income: {type: money, matches: [蜂蜜收入]}
      certified: {type: bool, matches: [是否认证]}
      counted_on: {type: date, mandatory: true, matches: [统计日期]}
    checks:
      - {rule: once, key: [counted_on]}
"""
FILE = csv(
    [
        ["蜂农身份证号", "蜂群数", "蜂蜜收入(元)", "是否认证", "统计日期"],
        [person(1), "40", "12000.50", "是", "2026-04-01"],
        [person(2), "四十", "-", "否", "2026-04-01"],
        [person(1), "41", "9000", "是", "2026-04-01"],
        [person(3)[:-1] + "5", "12", "9000", "否", "2026-04-01"],
    ]
)


def own_catalogue() -> Catalogue:
    folder = resources.files("registry") / "classes"
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")}
    texts["versions.yml"] += "  - {version: v3, zh: 第三版, en: Third edition}\n"
    return catalogue.read({**texts, "beekeeping.yml": CLASS})


def test_a_class_and_a_source_in_yml_are_enough_to_take_a_file_in() -> None:
    known = own_catalogue()
    outcome = table(FILE, "蜂群统计.csv", basis_of=everybody, declarations=source.read({"bees.yml": SOURCE}, known))
    assert (outcome.class_code, outcome.kind, outcome.blocked) == ("BEEKEEPING", "HIVES", None)
    assert codes(outcome) == {"AMOUNT_MALFORMED": 1, "DUPLICATE_IN_BATCH": 1, "ID_CHECK_FAILED": 1}
    held = outcome.frame[outcome.frame["outcome"] == "accepted"].iloc[0]
    assert {name: held[name] for name in known.kinds["HIVES"].fields} == {
        "hives": 40,
        "honey_income": 1_200_050,
        "certified": True,
        "counted_on": "2026-04-01",
    }
    assert UUID(int=0).hex in held["basis"].replace("-", "")
    assert not [name for name in outcome.frame if str(name).startswith(TOLD)]


def test_its_terms_reach_versions_items_and_purposes() -> None:
    known = own_catalogue()
    assert known.version == "v3"
    assert known.expand(["BEEKEEPING"]) == {
        *("HIVES.hives", "HIVES.honey_income", "HIVES.certified", "HIVES.counted_on")
    }
    assert "HIVES.honey_income" in known.w_items
    text = (resources.files("consent") / "purposes.yml").read_text("utf-8")
    mine = purposes.read(text, known).by_code
    assert [code for code, purpose in mine.items() if purpose.allows_item("HIVES.hives")] == ["LOAN_APPROVAL"]


def test_a_source_of_a_class_that_the_catalogue_does_not_have_stops_the_loading() -> None:
    with pytest.raises(DeclarationInvalid, match="HIVES is no kind of class BEEKEEPING"):
        source.read({"bees.yml": SOURCE})


@pytest.mark.parametrize("subject", ["honey_income", "counted_on", "nobody"])
def test_a_subject_that_does_not_say_whose_a_row_is_stops_the_loading(subject: str) -> None:
    with pytest.raises(DeclarationInvalid):
        source.read({"bees.yml": SOURCE.replace("subject: keeper_id", f"subject: {subject}")}, own_catalogue())


def test_a_column_of_organisations_cannot_carry_a_kind_about_persons() -> None:
    changed = SOURCE.replace("type: resident_id", "type: party_id")
    with pytest.raises(DeclarationInvalid, match="does not say whose a row is"):
        source.read({"bees.yml": changed}, own_catalogue())
