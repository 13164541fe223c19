"""What the texts themselves promise: whole, plain, true to the bounds that code keeps, the same for eye and ear."""

from pathlib import Path
from typing import Final

import pytest

from consent import notices, purposes, readability
from consent.evidence import Language
from consent.notices import Form, Notice
from registry import catalogue
from registry.identifiers import SubjectKind

HERE: Final = Path(__file__).parent
ZH, EN, BO = Language.CHINESE, Language.ENGLISH, Language.TIBETAN
WRITTEN: Final = (ZH, EN, BO)
PURPOSES: Final = sorted(purposes.current().by_code)
TEXTS: Final = notices.every()
NAMES: Final = [f"{one.purpose}-{one.version}-{one.language.value}-{one.form.value}" for one in TEXTS]

# The points that a text has, in their order: handler and contact, recipients,
# purpose, method, items, period, retention, adverse consequences, what is agreed to separately, rights, withdrawal,
# complaint, who may consent. For the ear some end in a question.
POINTS: Final = {
    ZH: [
        *("谁来办", "谁能看到", "为什么看", "怎么看", "看哪些", "看多久", "存多久", "可能的不良后果", "要单独问您的"),
        *("您的权利", "怎么撤回", "到哪里投诉", "请注意"),
    ],
    EN: [
        *(
            "Who handles this",
            "Who will see it",
            "Why",
            "How",
            "What",
            "How long",
            "How long",
            "What may go against you",
        ),
        *("What", "Your rights", "How to withdraw", "Where to complain", "Please note"),
    ],
    BO: [
        *("སུས་སྒྲུབ་པ།", "སུས་ལྟ་བ།", "ཅིའི་ཕྱིར་ལྟ་བ།", "ཇི་ལྟར་ལྟ་བ།", "ཅི་ཞིག་ལྟ་བ།", "དུས་ཡུན།", "ཉར་བའི་དུས་ཡུན།", "མི་ཕན་པའི་མཇུག་འབྲས།"),
        *("ཟུར་དུ་འདྲི་དགོས་པ།", "ཁྱེད་ཀྱི་ཐོབ་ཐང་།", "ཕྱིར་འཐེན་བྱེད་ཐབས།", "གང་ལ་གཏུགས་ཞུ་བྱེད་པ།", "དོ་སྣང་།"),
    ],
}
RECIPIENTS, ITEMS, RIGHTS = 1, 4, 9
WAYS_OUT: Final = {  # phone, counter, village, somebody's call; free
    ZH: ("手机", "银行柜面", "村服务点", "请别人打电话", "不收钱"),
    EN: ("on a phone", "counter", "village point", "Somebody may also call", "free"),
    BO: ("ཁ་པར་རམ", "སྒོ་འགྲམ", "ཞབས་ཞུའི་ས་ཚིགས", "ཚབ་ཏུ་སྡིངས་ཆར་ཁ་པར", "རིན་མི་དགོས"),
}
SAID: Final = {  # months and days of the purposes as the texts say them
    "validity": {12: ("十二个月", "twelve months", "ཟླ་བ་བཅུ་གཉིས"), 60: ("最长五年", "five years at most", "མང་མཐར་ལོ་ལྔ")},
    "history": {
        36: ("最多往前看三年", "reaches back three years at most", "ལོ་གསུམ་གྱི་ཆ་འཕྲིན་ཡན"),
        60: ("最多往前看五年", "reaches back five years at most", "ལོ་ལྔའི་ཆ་འཕྲིན་ཡན"),
    },
    "life": {
        0: ("平台不另外留", "not kept a second time", "ཟུར་དུ་མི་ཉར"),
        90: ("最多存九十天", "ninety days at most", "ཉིན་དགུ་བཅུར་ཉར"),
        180: ("最多存一百八十天", "one hundred and eighty days at most", "ཉིན་བརྒྱ་དང་བརྒྱད་ཅུར་ཉར"),
        365: ("最多存一年", "one year at most", "ལོ་གཅིག་ལ་ཉར"),
    },
    "cool-down": {
        30: ("三十天内不会再问您", "not asked again for thirty days", "ཉིན་སུམ་ཅུའི་ནང་ཡང་བསྐྱར་མི་འདྲི"),
        90: ("九十天内不会再问您", "not asked again for ninety days", "ཉིན་དགུ་བཅུའི་ནང་ཡང་བསྐྱར་མི་འདྲི"),
        365: ("一年内不会再问您", "not asked again for one year", "ལོ་གཅིག་གི་ནང་ཡང་བསྐྱར་མི་འདྲི"),
    },
}


def newest(purpose: str, language: Language, form: Form = Form.READ) -> Notice:
    found = notices.find(purpose, notices.versions(purpose)[-1], language, form)
    assert found is not None
    return found


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def points(notice: Notice) -> list[str]:
    """A text's points, each a paragraph with its list."""
    return notice.shown.strip().split("\n\n")[2:]


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("language", WRITTEN)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_newest_text_names_every_kind_that_the_purpose_may_touch_of_people(
    purpose: str, language: Language, form: Form
) -> None:
    everything = catalogue.current()
    wanted = {
        item
        for kind in everything.kinds.values()
        if SubjectKind.PERSON in kind.subject
        for item in kind.items
        if purposes.current().by_code[purpose].allows_item(item)
    }
    assert wanted
    assert newest(purpose, language, form).unnamed(wanted, everything) == frozenset()


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("language", WRITTEN)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_text_makes_every_point_that_the_law_asks_for_in_one_order(
    purpose: str, language: Language, form: Form
) -> None:
    notice = newest(purpose, language, form)
    made = [one.removeprefix("**") for one in points(notice)]
    assert len(made) == len(POINTS[language])
    for said, wanted in zip(made, POINTS[language], strict=True):
        assert said.startswith(wanted)
    lists = [len(one.splitlines()) - 1 for one in made]
    assert lists[RECIPIENTS] == 3
    assert lists[ITEMS] == len(notice.names)
    assert made[RIGHTS].count("\n") == 6
    assert all(way in unwrapped(notice.shown) for way in WAYS_OUT[language])


@pytest.mark.parametrize("language", WRITTEN)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_a_text_says_of_periods_is_what_code_keeps(purpose: str, language: Language) -> None:
    declared, order = purposes.current().by_code[purpose], WRITTEN.index(language)
    figures = {
        "validity": declared.validity_months.ceiling,
        "history": declared.history_months.ceiling,
        "life": declared.data_life_days,
    }
    for form in Form:
        text = unwrapped(newest(purpose, language, form).shown)
        for what, figure in figures.items():
            assert SAID[what][figure][order] in text, what
        if declared.cool_down_days:
            assert SAID["cool-down"][declared.cool_down_days][order] in text
        else:
            assert not any(said[order] in text for said in SAID["cool-down"].values())


@pytest.mark.parametrize("purpose", PURPOSES)
def test_whoever_asks_is_called_what_they_are(purpose: str) -> None:
    text = newest(purpose, ZH).text
    to_lenders = purpose in {"LOAN_APPROVAL", "POST_LOAN", "GUARANTEE"}
    assert ("授权书上写明的这一家银行" in text) == to_lenders
    assert ("只有您本人" in text) == (purpose == "SELF_QUERY")


@pytest.mark.parametrize(
    "notice", [one for one in TEXTS if one.form is Form.ALOUD], ids=lambda one: f"{one.purpose}-{one.language}"
)
def test_a_text_for_the_ear_names_the_same_kinds_and_has_nothing_to_stumble_over(notice: Notice) -> None:
    read = notices.find(notice.purpose, notice.version, notice.language)
    assert read is not None
    assert notice.names == read.names
    assert readability.stumbles(notice.text, notice.language) == []
    assert readability.stumbles(read.text, read.language) != []  # a text for the eye has labels and points


def test_every_text_from_2026_03_on_has_one_for_the_ear_beside_it() -> None:
    read = {
        (one.purpose, one.version, one.language) for one in TEXTS if one.form is Form.READ and one.version >= "2026-03"
    }
    aloud = {(one.purpose, one.version, one.language) for one in TEXTS if one.form is Form.ALOUD}
    assert read == aloud
    assert {purpose for purpose, _, _ in read} == set(PURPOSES)


@pytest.mark.parametrize("notice", TEXTS, ids=NAMES)
def test_every_text_keeps_within_the_bounds_of_reading(notice: Notice) -> None:
    measured = readability.measure(notice.text, notice.language)
    most = readability.bounds(notice.language, aloud=notice.form is Form.ALOUD)
    assert readability.faults(measured, most) == []


@pytest.mark.parametrize("notice", TEXTS, ids=NAMES)
def test_tibetan_texts_carry_the_mark_and_no_reader_sees_it_in_the_words(notice: Notice) -> None:
    assert notice.needs_review == (notice.language is BO)
    assert notices.REVIEW_MARK not in notice.shown
    assert "<!--" not in notice.shown


def test_a_text_that_was_published_is_never_changed() -> None:
    published = {}
    for line in (HERE / "texts_as_published.txt").read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        published[name] = digest
    ending = {Form.READ: "md", Form.ALOUD: "aloud.md"}
    held = {f"{one.purpose}/{one.version}.{one.language.value}.{ending[one.form]}": one.sha256.hex() for one in TEXTS}
    assert {name: held.get(name) for name in published} == published
    assert (
        sorted(held.keys() - published.keys()) == []
    )  # a new text is added to the list in the change that publishes it


def test_versions_are_listed_oldest_first_and_only_of_purposes() -> None:
    assert notices.versions("LOAN_APPROVAL") == ("2026-01", "2026-02", "2026-03")
    assert notices.versions("../consent") == notices.versions("NOTHING") == ()
    assert {one.purpose for one in TEXTS} == set(PURPOSES)
