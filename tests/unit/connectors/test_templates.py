"""Templates: what a person fills in is what intake reads, for every kind that a source declares."""

from io import BytesIO

import openpyxl
import pytest

from connectors import apparent, headwords, templates
from connectors.delivery import BY_COMMAND
from connectors.templates import DATA, EXAMPLES, HELP
from registry.identifiers import CreditCode, ResidentId
from tests.unit.connectors.consent_register import AS_OF


def template(kind: str) -> templates.Template:
    found = templates.of_kind(kind)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", templates.kinds())
def test_a_filled_in_template_is_read_back_without_a_remark(kind: str) -> None:
    made = template(kind)
    book = openpyxl.load_workbook(BytesIO(templates.workbook(made)))
    for example in made.examples:
        book[DATA].append([example[name] for name in made.headings])
    filled = BytesIO()
    book.save(filled)
    outcomes = apparent.evaluate(filled.getvalue(), made.file_name, as_of=AS_OF, delivery=BY_COMMAND, mended={})
    assert [(one.kind, one.rows, one.blocked, one.unread) for one in outcomes] == [(kind, 2, None, ())]
    assert outcomes[0].counts["accepted"] == 2
    mandatory = {name for name, column in made.table.columns.items() if column.mandatory}
    assert mandatory <= set(made.headings)


@pytest.mark.parametrize("kind", templates.kinds())
def test_the_examples_of_an_empty_template_are_never_taken_in(kind: str) -> None:
    raw = templates.workbook(template(kind))
    outcomes = apparent.evaluate(raw, template(kind).file_name, as_of=AS_OF, delivery=BY_COMMAND, mended={})
    assert [one.rows for one in outcomes] == [0]


def test_identifier_columns_are_text_and_code_lists_are_dropdowns() -> None:
    made = template("SUBSIDY")
    sheet = openpyxl.load_workbook(BytesIO(templates.workbook(made)))[DATA]
    at = list(made.headings).index("payee_id") + 1
    assert {sheet.cell(row, at).number_format for row in range(2, 202)} == {"@"}
    listed = [rule.formula1 for rule in sheet.data_validations.dataValidation]
    assert any("已发放" in rule and "退回" in rule for rule in listed)


def test_the_people_of_examples_do_not_exist() -> None:
    assert all(ResidentId.parse(templates.resident(number)).text[14:17] == "000" for number in (0, 1))
    assert all(CreditCode.parse(templates.credit_code(number)) for number in (0, 1))


def test_a_template_explains_itself_in_both_languages() -> None:
    made = template("RATING")
    book = openpyxl.load_workbook(BytesIO(templates.workbook(made)))
    assert book.sheetnames == [DATA, EXAMPLES, HELP]
    text = " ".join(str(cell) for row in book[HELP].iter_rows(values_only=True) for cell in row if cell)
    assert made.version in text
    assert "身份证号" in text
    assert "18 characters" in text


def test_a_heading_is_written_out_only_as_its_pattern_accepts_it() -> None:
    assert headwords.spelt("(户主|农户)?(姓名|名称)")[:2] == ["姓名", "名称"]
    assert headwords.spelt("a[bc]+") == ["ab"]
    assert headwords.spelt("") == []
    assert headwords.spelt("(?=x)y") == []
