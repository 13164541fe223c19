"""The catalogue: its versions stay readable, its terms do not contradict each other, no health data are in it."""

import re
from importlib import resources
from itertools import pairwise

import pytest

from registry import catalogue
from registry.basis import BasisKind
from registry.errors import CatalogueError
from registry.identifiers import SubjectKind

EIGHTEEN = {
    *("BIZ_REG", "TAX", "ELEC", "SOC_INS", "JUDICIAL", "WATER", "LAND", "AGRI_REG", "SANZI", "SUBSIDY", "GRASS"),
    *("LIVESTOCK", "AGRI_INS", "CREDIT_CHN", "HOUSE_FUND", "POLICE", "GOV_PROC", "UTILITY_OTHER"),
}
FIVE_MORE = {"CIVIL_AFF", "HEALTH_AGE", "METEO", "PRICE", "LENDER"}
W_ITEMS = {
    "SUBSIDY.amount_paid",
    "TAX_PAYMENT.invoiced",
    "TAX_PAYMENT.tax_paid",
    "SOC_INS.contribution_base",
    "LAND.unit_no",
    "LAND.floor_area",
    "AGRI_INS_POLICY.premium",
    "AGRI_INS_CLAIM.claim_paid",
    "HOUSE_FUND.fund_amount",
    "HOUSE_FUND.fund_base",
}


def texts() -> dict[str, str]:
    folder = resources.files("registry") / "classes"
    return {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".yml")}


def test_the_first_edition_has_18_classes_and_the_second_23_beside_ratings() -> None:
    assert set(catalogue.version("v1").classes) == {*EIGHTEEN, "RATING"}
    assert set(catalogue.version("v2").classes) == {*EIGHTEEN, *FIVE_MORE, "RATING"}
    assert catalogue.current() is catalogue.version("v2")
    assert catalogue.versions() == ("2026-01", "v1", "v2")


def test_the_pilot_catalogue_that_consents_froze_can_still_be_read_as_it_was() -> None:
    pilot = catalogue.version("2026-01")
    assert set(pilot.kinds) == {*("SUBSIDY", "RATING", "SANZI_FUND", "SANZI_ASSET", "SANZI_RESOURCE", "SANZI_CONTRACT")}
    assert "RATING.valid_since" not in pilot.kinds["RATING"].items
    assert "RATING.valid_since" in catalogue.current().kinds["RATING"].items


def test_a_version_takes_nothing_away_from_the_one_before() -> None:
    editions = [catalogue.version(name) for name in catalogue.versions()]
    for older, newer in pairwise(editions):
        for code, kind in older.kinds.items():
            assert kind.items <= newer.kinds[code].items
            assert kind.identity == newer.kinds[code].identity


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(CatalogueError, match="'v3' is no version"):
        catalogue.version("v3")


def test_what_the_law_names_is_marked_w() -> None:
    assert catalogue.current().w_items >= W_ITEMS


def test_every_real_estate_item_of_a_person_is_w() -> None:
    land = catalogue.current().kinds["LAND"]
    assert all(field.w for field in land.fields.values())


def test_an_identity_check_holds_answers_and_nothing_else() -> None:
    for code in ("POLICE", "HEALTH_AGE"):
        kinds = catalogue.current().kinds
        assert {field.type for name, field in kinds[code].fields.items() if name != "checked_on"} == {"bool"}


def test_no_field_speaks_of_a_persons_illness_religion_or_body() -> None:
    of_persons = [kind for kind in catalogue.current().kinds.values() if SubjectKind.PERSON in kind.subject]
    said = {f"{kind.code}.{name}": field.zh for kind in of_persons for name, field in kind.fields.items()}
    forbidden = ("病史", "疾病", "诊断", "宗教", "民族", "血型", "指纹", "基因", "残疾")
    assert [item for item, zh in said.items() if any(word in zh for word in forbidden)] == []


def test_what_is_held_of_persons_without_consent_is_public_and_says_so() -> None:
    without = {
        kind.code: kind.basis
        for kind in catalogue.current().kinds.values()
        if SubjectKind.PERSON in kind.subject and not kind.consent_required
    }
    assert without == {"JUDICIAL": BasisKind.PUBLIC, "CREDIT_CHN": BasisKind.PUBLIC}


def test_every_class_says_where_it_is_read_or_why_not_there() -> None:
    for one in catalogue.current().classes.values():
        assert (one.platform_id is None) == bool(one.exemption)
        assert one.provider
        assert one.charge


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("judicial.yml", "basis: public", "basis: organisation", "need consent, a statute or publicity"),
        ("house_fund.yml", "basis: consent", "basis: public", "W-items of a person are held on consent only"),
        ("gov_proc.yml", "basis: public", "basis: consent", "only persons consent"),
        ("meteo.yml", "subject: [region]", "subject: [region, person]", "about nobody else"),
        ("meteo.yml", "basis: public", "basis: statute", "is public"),
        ("meteo.yml", "purposes: []", "purposes: [LOAN_APPROVAL]", "regions give none"),
        ("water.yml", "sharing: conditional", "sharing: none", "visible to no lender"),
        ("water.yml", "exemption:", "platform_id: QH-1\nexemption:", "names its item of the sharing platform"),
        ("water.yml", "since: v1", "since: v9", "'v9' is no version"),
        ("water.yml", "identity: [meter_no", "identity: [meter", "no fields of it"),
        ("water.yml", "class: WATER", "class: ELEC", "ELEC is declared twice"),
        ("water.yml", "type: month", "type: moon", "Input should be"),
        ("water.yml", "charge:", "price:", "Extra inputs"),
        ("rating.yml", "en: Valid since, since: v2", 'en: Valid since, since: "2025-01"', "is no version"),
        ("civil_aff.yml", "en: Died on}", "en: Died on, since: v1}", "cannot be older than what it belongs to"),
        ("versions.yml", "version: v2", "version: v1", "declared twice"),
        ("versions.yml", "versions:", "version:", "versions.yml"),
    ],
)
def test_terms_that_contradict_each_other_stop_the_loading(file: str, old: str, new: str, fault: str) -> None:
    changed = texts()
    assert old in changed[file]
    changed[file] = changed[file].replace(old, new, 1)
    with pytest.raises(CatalogueError, match=fault):
        catalogue.read(changed)


_TIBETAN = re.compile(r"[\u0f00-\u0fff（） ]+")


def test_every_class_kind_and_item_has_a_tibetan_name_written_in_tibetan() -> None:
    known = catalogue.current()
    named = {code: one.titles for code, one in known.classes.items()}
    named |= {code: kind.titles for code, kind in known.kinds.items()}
    for kind in known.kinds.values():
        named |= {f"{kind.code}.{field}": spec.titles for field, spec in kind.fields.items()}
    assert [code for code, titles in named.items() if not _TIBETAN.fullmatch(titles["bo"])] == []


def test_no_two_items_of_a_kind_have_the_same_tibetan_name() -> None:
    for kind in catalogue.current().kinds.values():
        assert len({spec.bo for spec in kind.fields.values()}) == len(kind.fields), kind.code


def test_each_file_of_the_catalogue_says_that_its_tibetan_names_await_review() -> None:
    for name, text in texts().items():
        assert text.count("needs native review") == (name != "versions.yml"), name


def test_a_name_that_is_missing_is_no_catalogue() -> None:
    bare = texts()
    bare["water.yml"] = re.sub(r", bo: [^,}]+", "", bare["water.yml"], count=1)
    with pytest.raises(CatalogueError, match="bo"):
        catalogue.read(bare)
