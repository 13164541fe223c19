"""A masked copy is for showing: no identifier is left anywhere in it, however it was put into the workbook."""

import io
import zipfile

import openpyxl
from openpyxl.comments import Comment
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation

from connectors import annotate
from exchange.home import Home
from exchange.release.providing import For, provide
from tests.agencies import HEADER, delivered, line, staff
from tests.people import LI, ZHANG


def workbook() -> bytes:
    """A roster with a person's number in every corner that a workbook has."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = LI.text
    sheet.append(HEADER)
    sheet.append(line(LI))
    sheet["A2"].comment = Comment(ZHANG.text, ZHANG.text)
    sheet["Z99"] = ZHANG.text
    assert sheet.oddFooter is not None
    assert sheet.oddFooter.left is not None
    sheet.oddFooter.left.text = ZHANG.text
    chosen = DataValidation(type="list", formula1=f'"{ZHANG.text},{LI.text}"')
    sheet.add_data_validation(chosen)
    chosen.add("A2")
    chosen.prompt = ZHANG.text
    book.defined_names["who"] = DefinedName("who", attr_text=f'"{ZHANG.text}"')
    book.properties.title = ZHANG.text
    book.properties.creator = ZHANG.text
    hidden = book.create_sheet(ZHANG.text)
    hidden.sheet_state = "veryHidden"
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def test_no_corner_of_a_masked_workbook_holds_an_identifier(exchange_home: Home) -> None:
    batch_id = delivered(exchange_home, workbook(), "民和县_粮食直补发放明细_2026.xlsx")
    provided = provide(exchange_home, staff(), batch_id, purpose=For.ANNOTATING)
    file, outcomes = provided.file, provided.weighed()
    sent = annotate.Sent(provided.raw, file.label, file.delivery, provided.as_of, provided.mended, outcomes)
    for mask in (False, True):
        with zipfile.ZipFile(io.BytesIO(annotate.annotated(sent, mask=mask))) as whole:
            text = "".join(whole.read(name).decode("utf-8", "replace") for name in whole.namelist())
        assert (ZHANG.text in text) is not mask
        assert (LI.text in text) is not mask
