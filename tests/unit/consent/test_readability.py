"""The measures of reading, against figures that others have published, and texts that must not pass."""

from collections.abc import Callable

import pytest

from consent import readability
from consent.errors import DeclarationInvalid
from consent.evidence import Language
from consent.readability import Bounds, bounds, faults, measure, read_bounds, sentences, stumbles

ZH, EN, BO = Language.CHINESE, Language.ENGLISH, Language.TIBETAN
LEGALISTIC = {
    ZH: (
        "兹授权贵行及其授权代理机构在贷款申请受理、资信审查、授信审批、合同签署、贷后管理、风险预警、不良资产处置及法律法规"
        "和监管规定所允许之其他用途范围内，依据相关法律法规、监管规定及本授权书之约定，经由信用信息共享平台查询、打印、保存、使用"
        "授权人之全部信用信息，授权期限自签署之日起至授权人与贵行之全部债权债务关系消灭之日止，且授权人知悉并同意前述授权"
        "不可撤销、不可变更，款项收讫前贵行怠于行使权利不构成弃权，授权人不得借故推诿。"
    ),
    EN: (
        "The undersigned data subject hereby irrevocably authorises the institution and its affiliates, successors and"
        " assigns, to the fullest extent permissible under applicable legislation, to obtain, process, retain and"
        " disseminate any information pertaining to the creditworthiness of the undersigned, notwithstanding any"
        " subsequent termination of the contractual relationship between the parties."
    ),
    BO: (
        "མོས་མཐུན་བྱེད་མཁན་གྱིས་དངུལ་ཁང་དང་དེའི་ཚབ་བྱེད་ལས་ཁུངས་ཀྱིས་དངུལ་བུན་རེ་ཞུ་དང་ལེན་དང་ཞིབ་བཤེར་དང་གན་རྒྱ་འཇོག་པ་དང་རྗེས་ཀྱི་དོ་དམ་དང་"
        "ཉེན་ཁ་སྔོན་བརྡ་གཏོང་བ་དང་ཁྲིམས་ལུགས་ཀྱིས་ཆོག་པའི་བྱེད་སྒོ་གཞན་དག་གི་ཆེད་དུ་ཡིད་རྟོན་ཆ་འཕྲིན་ཡོད་ཚད་འདྲི་བཤེར་དང་ཉར་ཚགས་བྱས་ཆོག་པའི་དབང་ཆ་སྤྲད་པ་ཡིན།"
    ),
}


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("The cat sat on the mat.", -1.45),  # 6 words of one syllable
        ("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.", 11.26),  # 13 and 24
    ],
)
def test_the_grade_is_that_of_the_published_formula(text: str, grade: float) -> None:
    assert measure(text, EN).grade == pytest.approx(grade, abs=0.01)


@pytest.mark.parametrize(
    ("word", "count"),
    [
        *[("made", 1), ("wanted", 2), ("played", 1), ("little", 2), ("information", 4), ("being", 1), ("criticism", 4)],
        *[("loans", 1), ("offices", 3), ("the", 1), ("quiet", 1), ("radio", 3), ("piano", 3), ("actual", 3)],
    ],
)
def test_syllables_are_counted_by_a_rule_that_is_written_down(word: str, count: int) -> None:
    assert readability.syllables(word) == count


def test_common_characters_are_the_3500_of_level_one() -> None:
    common = readability._common()
    assert len(common) == 3500
    assert {"一", "乙", "矗", "贷", "牧"} <= common  # the first two and the last of the table's level 1, two of ours
    assert not {"殡", "讫", "谕", "诿", "〇"} & common
    rows = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    of_1980 = {one for code in rows for one in code.decode("gb2312", "ignore")}
    assert len(common & of_1980) == 3381  # level 1 of GB 2312-1980, another list of common characters, has most of them


def test_a_reader_stops_at_sentences_headings_labels_and_points() -> None:
    zh = "<!-- for keepers。 -->\n# 题目\n\n**谁看：** 一家银行。别家不看；\n- 第一项，甲、乙；\n- 第二项。\n"
    assert sentences(zh, ZH) == ["题目", "谁看", "一家银行", "别家不看", "第一项，甲、乙", "第二项"]
    en = "# A title\n\n**Who sees it:** one bank, wrapped\nin the file. No other! 3.5 of them\n- a point;\n- another.\n"
    assert sentences(en, EN) == [
        "A title", "Who sees it", "one bank, wrapped in the file", "No other", "3.5 of them", "a point", "another"
    ]  # fmt: skip
    assert sentences("སྤྲོད་མི་ཆོག ཁྱེད་ཀྱིས་ལྟ་ཆོག་པ་ཡིན། དེ་ནས།\n", BO) == ["སྤྲོད་མི་ཆོག", "ཁྱེད་ཀྱིས་ལྟ་ཆོག་པ་ཡིན", "དེ་ནས"]


def test_what_is_measured_of_chinese() -> None:
    found = measure("一家银行看、记、存。收讫推诿。", ZH)
    assert (found.sentences, found.mean_length, found.longest, found.hardest, found.parts) == (
        2,
        5.5,
        7,
        "一家银行看、记、存",
        3,
    )
    assert found.uncommon == "".join(sorted("讫诿"))
    assert found.uncommon_share == pytest.approx(2 / 11)


@pytest.mark.parametrize("aloud", [False, True])
@pytest.mark.parametrize("language", [ZH, EN, BO])
def test_a_legalistic_text_passes_no_bound_on_length(language: Language, aloud: bool) -> None:  # noqa: FBT001
    found = faults(measure(LEGALISTIC[language], language), bounds(language, aloud=aloud))
    assert any(fault.startswith("mean length") for fault in found)
    assert any(fault.startswith("longest") for fault in found)
    if language is EN:
        assert any(fault.startswith("grade") for fault in found)
    if language is ZH:
        assert any(fault.startswith("parts") for fault in found)
        assert any(fault.startswith("share of uncommon") for fault in found)


def test_a_text_within_its_bounds_has_no_fault_and_one_beyond_says_both_figures() -> None:
    found = measure("一家银行。", ZH)
    assert faults(found, Bounds(mean_length=4, longest=4, parts=1, uncommon_share=0.001)) == []
    assert faults(found, Bounds(mean_length=3, longest=4)) == ["mean length of a sentence: 4, at most 3"]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("最长12个月。", ZH, ["1", "2"]),
        ("银行（一家）看。", ZH, ["（", "）"]),
        ("看多久：一年；", ZH, ["："]),
        ("用App查。", ZH, ["A", "p"]),
        ("Twelve months (at most).", EN, ["(", ")"]),
        ("The bank & you", EN, ["&"]),
        ("The PBOC, i.e. the bank.", EN, ["PBOC", "i.e."]),
        ("Animals, pasture etc.", EN, ["etc."]),
        ("ཉིན་༢༠།", BO, ["༢", "༠"]),
        ("ཉིན་ 20།", BO, ["2", "0"]),
        ("<!-- a mark -->\n银行看。\n", ZH, []),
        ("You may say no. It's free.", EN, []),
        ("དངུལ་ཁང་གིས་ལྟ།", BO, []),
    ],
)
def test_what_a_speech_engine_would_stumble_over_is_named(text: str, language: Language, found: list[str]) -> None:
    assert stumbles(text, language) == found


@pytest.mark.parametrize(
    "declared",
    [
        "read: {zh: {mean_lenght: 14, longest: 40}}",
        "read: {zh: {mean_length: 14}}",
        "read: {zh: {mean_length: many, longest: 40}}",
        "read: {zh: {mean_length: 0, longest: 40}}",
        "aloud: {zh: {mean_length: 14, longest: 40}}",
        "read: [zh]",
        "[",
    ],
)
def test_a_misspelt_bound_does_not_become_no_bound(declared: str) -> None:
    with pytest.raises(DeclarationInvalid):
        read_bounds(declared, ZH, aloud=False)


@pytest.mark.parametrize(
    "refused", [lambda: measure("", ZH), lambda: measure("…", EN), lambda: measure("x", Language.MONGOLIAN)]
)
def test_nothing_is_measured_of_nothing(refused: Callable[[], object]) -> None:
    with pytest.raises(DeclarationInvalid):
        refused()
