"""A member of an agency's staff, with nothing but the command line: hand over, fetch back, correct, hand over again.

Each workbook is corrected as its user would: opened, the coloured cells changed by what 如何更正 says, saved, sent.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx
import pytest
import uvicorn
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from typer.testing import CliRunner

from connectors import annotate, uploading
from connectors.errors import IntakeBusy
from exchange.agency_api import pace, quarantine
from exchange.cli import build
from exchange.cli.lender import save_key
from exchange.cli.running import server
from exchange.client import new_client
from exchange.home import SANDBOX, Home
from exchange.jobs import intake_of
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import Database
from registry.datakeys import DataKeys
from registry.keyring import Keyring
from sandbox.agencies.faults import Faults
from sandbox.agencies.line import line
from sandbox.agency import Agency, Content
from tests.agencies import delivered, permitted
from tests.corpus import workbooks
from tests.corpus.workbooks import HEADER, one, row, rows, total
from tests.people import consented
from tests.unit.connectors.tables import person

OFFICE = "民和县农业农村局"
BATCH = re.compile(r"批次 batch ([0-9a-f-]{36})")


class Desk:
    """A person at a command line, with their own key, and the exchange that they speak to."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.folder = home, folder
        permitted(home, OFFICE)
        for name in ("wang", "li"):
            client = new_client(f"office-{name}")
            with home.database.transaction() as tx:
                clients.register(
                    tx, client.client_id, role=Role.AGENCY, organisation=OFFICE, jwks=client.jwks, now=clock.now()
                )
            save_key(folder / f"{name}.key", client)

    def run(self, *arguments: str, who: str = "wang", exit_code: int = 0, typed: str | None = None) -> str:
        """Run `qingqiao batch …` and give what it said."""
        reached = ("--key", str(self.folder / f"{who}.key"), "--url", self.home.settings.issuer)
        result = CliRunner().invoke(build(), ["batch", *arguments, *reached], input=typed)
        assert result.exit_code == exit_code, result.output
        return result.output

    def send(self, name: str, raw: bytes) -> tuple[str, str]:
        """Hand a file over; give what was said and the batch."""
        file = self.folder / name
        file.write_bytes(raw)
        said = self.run("upload", str(file))
        return said, BATCH.findall(said)[-1]

    def back(self, batch_id: str) -> Workbook:
        """Fetch the annotated workbook and open it."""
        out = self.folder / f"{batch_id}.xlsx"
        self.run("annotated", batch_id, "--out", str(out))
        assert out.stat().st_mode & 0o777 == 0o600
        return load_workbook(out)


@pytest.fixture
def desk(home: Path, database: Database, keystore: Database, tmp_path: Path) -> Iterator[Desk]:
    keyring = Keyring.create(home, origin="exchange.example/log", now=clock.now())
    served: list[uvicorn.Server] = []
    stopped = threading.Event()
    with line(lambda: create_connection(("127.0.0.1", _port(served[0]))), Faults([])) as port:
        settings = Settings(home=home, issuer=f"http://127.0.0.1:{port}")
        installation = Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))
        web = server(installation)
        web.config.port = 0
        served.append(web)
        threads = [
            threading.Thread(target=web.run, daemon=True),
            threading.Thread(target=_take_in, args=(installation, stopped), daemon=True),
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while not web.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield Desk(installation, tmp_path)
        finally:
            web.should_exit = True
            stopped.set()
            for thread in threads:
                thread.join()


def _take_in(home: Home, stopped: threading.Event) -> None:
    """Do what the scheduled job does."""
    while not stopped.wait(0.1):
        try:
            uploading.take_all(intake_of(home), home.uploads)
        except IntakeBusy:
            continue


def _port(web: uvicorn.Server) -> int:
    port: int = web.servers[0].sockets[0].getsockname()[1]
    return port


def saved(book: Workbook) -> bytes:
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def column(sheet: Worksheet, heading: str) -> int:
    return next(
        at for cells in sheet.iter_rows() for at, cell in enumerate(cells, start=1) if str(cell.value) == heading
    )


def coloured(sheet: Worksheet) -> list[Any]:
    return [cell for cells in sheet.iter_rows() for cell in cells if cell.fill.fill_type == "solid"]


def mend_by_the_words(sheet: Worksheet, known: Callable[[int], str]) -> int:
    """Change each coloured cell as the column 如何更正 of its row says; give how many.

    `known` is the person's identity document, looked at where the words ask for it.
    """
    how = column(sheet, annotate.MENDING)
    count = 0
    for cell in coloured(sheet):
        words = str(sheet.cell(cell.row, how).value)
        if "核对证件原件" in words or ("重新填写" in words and "文本" in words):
            cell.number_format, cell.value = "@", known(cell.row)
        elif "补填金额" in words:
            cell.value = 0
        elif "填写阿拉伯数字" in words:
            cell.value = 786
        elif "核对面积、标准和金额" in words:
            sheet.cell(cell.row, column(sheet, "补贴金额(元)")).value = 786
        elif "12位" in words:
            cell.value = workbooks.VILLAGE
        else:
            raise AssertionError(f"nobody can follow this: {words}")
        count += 1
    return count


FAULTY = [
    row(1),
    row(2, id=person(2)[:-1]),
    row(3, id=float(person(3)[:17] + "0")),
    row(4, amount=None),
    row(5, amount="柒佰元多"),
    row(6, amount=800),
    row(7, village="630222999999"),
]


def test_a_rejected_workbook_is_mended_by_its_own_words_and_every_row_is_accounted_for(desk: Desk) -> None:
    said, batch_id = desk.send(workbooks.FILE, one([HEADER, *FAULTY]))
    for code in ("ID_MALFORMED", "ID_PRECISION_LOST", "AMOUNT_MISSING", "AMOUNT_MALFORMED", "AMOUNT_MISMATCH"):
        assert code in said
    book = desk.back(batch_id)
    assert book.sheetnames[:2] == [annotate.SUMMARY, annotate.ROWS]
    mine = book.worksheets[2]
    assert mend_by_the_words(mine, lambda at: person(at - 1)) == 6
    mine.cell(5, column(mine, "补贴金额(元)")).value = 786
    again, mended = desk.send(workbooks.FILE, saved(book))
    assert mended != batch_id
    assert "待处理 0，退回 0" in again
    with desk.home.database.transaction() as tx:
        counts = tx.execute("SELECT rows, quarantined, codes FROM batch WHERE batch_id = %s", (mended,)).fetchone()
    assert counts == (7, 0, {"rejected": {"NO_CONSENT": 7}})


def test_a_total_that_disagrees_is_told_with_both_figures_and_mended(desk: Desk) -> None:
    said, batch_id = desk.send(workbooks.FILE, one([HEADER, *rows(), total(3, amount=2258)]))
    assert "整批未采信" in said
    book = desk.back(batch_id)
    mine = book.worksheets[2]
    (cell,) = coloured(mine)
    words = str(mine.cell(cell.row, column(mine, annotate.REASON)).value)
    assert "G列“补贴金额(元)”" in words
    assert "2258.00" in words
    assert "2358.00" in words
    found = re.search(r"把本格改为 ([0-9.]+)元", str(mine.cell(cell.row, column(mine, annotate.MENDING)).value))
    assert found is not None
    cell.value = float(found[1])
    said, _ = desk.send(workbooks.FILE, saved(book))
    assert "已入库" in said


def test_a_unit_that_nobody_stated_is_written_where_the_words_say(desk: Desk) -> None:
    bare = [heading.partition("(")[0] for heading in HEADER]
    _, batch_id = desk.send(workbooks.FILE, one([bare, *rows()]))
    book = desk.back(batch_id)
    mine = book.worksheets[2]
    told = str([cell.value for cells in book[annotate.SUMMARY].iter_rows() for cell in cells])
    cells = coloured(mine)
    assert [cell.value for cell in cells] == ["补贴面积", "补贴金额"]
    for cell in cells:
        found = re.search(rf"写成“({cell.value}[^”]+)”", told)
        assert found is not None
        cell.value = found[1]
    said, _ = desk.send(workbooks.FILE, saved(book))
    assert "已入库" in said


def test_tables_side_by_side_are_parted_where_the_words_say(desk: Desk) -> None:
    lines = [[*left, None, *right] for left, right in zip([HEADER, *rows(2)], [HEADER, *rows(2, 3)], strict=True)]
    _, batch_id = desk.send(workbooks.FILE, one(lines))
    book = desk.back(batch_id)
    mine = book.worksheets[2]
    told = str([cell.value for cells in book[annotate.SUMMARY].iter_rows() for cell in cells])
    assert "从J列起是另一张表" in told
    assert "剪切到一张新工作表" in told
    other = book.create_sheet("右表")
    for cells in mine.iter_rows(min_col=10, max_col=17):
        other.append([cell.value for cell in cells])
    mine.delete_cols(9, 9)
    said, again = desk.send(workbooks.FILE, saved(book))
    assert "已入库" in said
    with desk.home.database.transaction() as tx:
        assert tx.execute("SELECT rows FROM batch WHERE batch_id = %s", (again,)).fetchone() == (4,)


def test_a_heading_that_is_unknown_is_named_and_explained_once(desk: Desk) -> None:
    strange = [heading.replace("身份证号码", "领款凭证码") for heading in HEADER]
    _, batch_id = desk.send(workbooks.FILE, one([strange, *rows()]))
    book = desk.back(batch_id)
    told = str([cell.value for cells in book[annotate.SUMMARY].iter_rows() for cell in cells])
    assert [cell.value for cell in coloured(book.worksheets[2])] == ["领款凭证码"]
    found = re.search(r"qingqiao batch map (\w+) 您的表头 (\w+)", told)
    assert found is not None
    said = desk.run("map", found[1], "领款凭证码", found[2], "--batch", batch_id)
    assert "已入库" in said


def test_a_file_that_cannot_be_read_comes_back_with_words_alone(desk: Desk) -> None:
    _, batch_id = desk.send(workbooks.FILE, workbooks.locked_with_a_password().raw)
    book = desk.back(batch_id)
    assert "重新导出后整批重报" in str([cell.value for cells in book[annotate.SUMMARY].iter_rows() for cell in cells])


def test_a_cut_upload_goes_on_from_where_it_stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = desk.folder / workbooks.FILE
    file.write_bytes(one([HEADER, *rows(3)]))
    whole = Agency.send

    def cut(self: Agency, upload_id: str, offset: int, piece: bytes, **more: bool) -> int:
        if offset == 0:
            whole(self, upload_id, 0, piece[: len(piece) // 2], **more)
        raise httpx.ReadError("the line is dead")

    monkeypatch.setattr(Agency, "send", cut)
    monkeypatch.setattr("sandbox.agency.PAUSE_SECONDS", 0.01)
    said = desk.run("upload", str(file), exit_code=1)
    assert "--resume" in said
    monkeypatch.undo()
    begun: list[int] = []

    def noted(self: Agency, upload_id: str, content: Content, **more: Any) -> None:
        begun.append(self.offset(upload_id))
        resume(self, upload_id, content, **more)

    resume = Agency.resume
    monkeypatch.setattr(Agency, "resume", noted)
    said = desk.run("upload", str(file), "--resume")
    assert "续传" in said
    assert begun == [file.stat().st_size // 2]
    assert "已入库" in said


def test_quarantined_rows_of_all_batches_are_answered_by_two_persons(desk: Desk) -> None:
    for number in (1, 2):
        desk.send(f"{number}_{workbooks.FILE}", one([HEADER, row(1), row(2, amount=800), row(number + 5, amount=1)]))
    said = desk.run("queue")
    assert said.count("AMOUNT_MISMATCH") == 4
    assert person(2) not in said
    assert person(2) in desk.run("queue", "--unmasked")
    assert "0 行" in desk.run("queue", "--code", "DUPLICATE_IN_BATCH")
    assert "0 行" in desk.run("queue", "--class", "RATING")
    batch_id = re.findall(r"AMOUNT_MISMATCH ([0-9a-f-]{36})", said)[0]
    with desk.home.database.transaction() as tx:
        tx.execute(
            "INSERT INTO agency_setting (organisation, four_eyes, changed_by, changed_at)"
            " VALUES (%s, true, 'x', now())",
            (OFFICE,),
        )
    made = desk.run("decide", batch_id, "1", "3", "--correct", "补贴金额(元)", "--reason", "录入错误", typed="786\n")
    proposal = re.search(r"proposal ([0-9a-f-]{36})", made)
    assert proposal is not None
    assert "须由本单位另一人" in desk.run("approve", proposal[1], exit_code=1)
    assert proposal[1] in desk.run("proposals", who="li")
    desk.run("approve", proposal[1], who="li")
    assert desk.run("queue").count("AMOUNT_MISMATCH") == 3
    refused = desk.run("decide", batch_id, "1", "2", "--accept", "--reason", "看过", exit_code=1)
    assert "row-not-quarantined" in refused
    assert "只有待处理的行可以采信" in refused


def test_the_queue_is_the_same_whoever_consented_and_opens_no_more_files_than_a_page_needs(desk: Desk) -> None:
    for number in range(7):
        faulty = row(2, amount=800 + number)
        delivered(desk.home, one([HEADER, row(1), faulty, row(3, amount=None if number == 3 else 1)]), f"{number}.xlsx")
    with Agency(desk.home.settings.issuer, _client(desk, "auditor"), scope="agency:read") as clerk:
        before = _all(clerk)
        consented(desk.home)
        intake_of(desk.home).reevaluate()
        assert _all(clerk) == before
        assert len(before) == 13
        opened = _opened(desk.home)
        clerk.queue(limit="2")
        assert _opened(desk.home) - opened == 1
        clerk.queue(code="NET_VALUE_MISMATCH")
        assert _opened(desk.home) - opened == 1 + quarantine.MOST_FILES


def _proposed(said: str) -> str:
    found = re.search(r"proposal ([0-9a-f-]{36})", said)
    assert found is not None, said
    return found[1]


def test_a_whole_batch_is_recalled_by_command_by_two_persons(desk: Desk) -> None:
    _, batch_id = desk.send(workbooks.FILE, one([HEADER, *rows()]))
    proposal = _proposed(desk.run("recall", batch_id, "--reason", "误报"))
    assert "须由本单位另一人" in desk.run("approve", proposal, exit_code=1)
    assert "撤回整批，整批 whole batch：已生效" in desk.run("approve", proposal, who="li")
    assert "已撤回 recalled" in desk.run("list", "--state", "recalled")
    assert "该批次已撤回或已被替换" in desk.run("recall", batch_id, "--reason", "再撤", exit_code=1)


def test_a_batch_of_which_each_row_is_named_by_command_needs_another_person_too(desk: Desk) -> None:
    _, batch_id = desk.send(workbooks.FILE, one([HEADER, row(1), row(2)]))
    made = desk.run("recall", batch_id, "--row", "1:2", "--row", "1:3", "--reason", "误报")
    assert "撤回整批，整批 whole batch：待另一人批准" in made
    assert "已生效" in desk.run("decide", batch_id, "1", "2", "--withdraw", "--reason", "误报")
    assert "撤回整批，整批 whole batch：待另一人批准" in desk.run(
        "decide", batch_id, "1", "3", "--withdraw", "--reason", "误报"
    )


def test_who_asks_too_fast_by_command_is_told_how_long_to_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BURST", 0)
    monkeypatch.setattr(pace, "A_SECOND", 0.5)
    assert "稍候 2 秒再试（asked-too-fast）" in desk.run("template", "SUBSIDY", exit_code=1).replace("\n", "")


def test_a_whole_batch_is_replaced_by_command_by_two_persons(desk: Desk) -> None:
    _, old = desk.send(workbooks.FILE, one([HEADER, *rows()]))
    _, new = desk.send(f"更正_{workbooks.FILE}", one([HEADER, *rows(2)]))
    made = desk.run("replace", old, new, "--reason", "整批更正")
    assert "整批替换，整批 whole batch：待另一人批准" in made
    assert "须由本单位另一人" in desk.run("approve", _proposed(made), exit_code=1)
    assert "整批替换，整批 whole batch：已生效" in desk.run("approve", _proposed(made), who="li")
    assert "已替换 replaced" in desk.run("show", old)
    assert "已入库 published" in desk.run("show", new)
    assert "0 行" in desk.run("queue", "--batch", new)
    refused = desk.run("replace", new, new, "--reason", "误点", exit_code=1)
    assert "再申请替换" in refused
    assert "该事项已经办结" in desk.run("refuse", _proposed(made), who="li", exit_code=1)


def test_what_another_person_refuses_by_command_has_no_effect(desk: Desk) -> None:
    _, old = desk.send(workbooks.FILE, one([HEADER, *rows()]))
    _, new = desk.send(f"更正_{workbooks.FILE}", one([HEADER, *rows(2)]))
    proposal = _proposed(desk.run("replace", old, new, "--reason", "整批更正"))
    assert "须由本单位另一人" in desk.run("refuse", proposal, exit_code=1)
    assert "已拒绝 refused" in desk.run("refuse", proposal, who="li")
    assert "已入库 published" in desk.run("show", old)
    assert proposal not in desk.run("proposals")
    assert "已拒绝 refused" in desk.run("proposals", "--all")
    assert "已经办结" in desk.run("approve", proposal, who="li", exit_code=1)


def test_who_proposed_takes_it_back_by_command_and_nobody_else_does(desk: Desk) -> None:
    _, batch_id = desk.send(workbooks.FILE, one([HEADER, *rows()]))
    proposal = _proposed(desk.run("recall", batch_id, "--reason", "误报"))
    assert "须由本单位另一人" in desk.run("take-back", proposal, who="li", exit_code=1)
    assert "已收回 withdrawn" in desk.run("take-back", proposal)
    assert "已入库 published" in desk.run("show", batch_id)
    assert "已经办结" in desk.run("approve", proposal, who="li", exit_code=1)


def _client(desk: Desk, name: str) -> Any:
    client = new_client(name)
    with desk.home.database.transaction() as tx:
        clients.register(tx, name, role=Role.AGENCY, organisation=OFFICE, jwks=client.jwks, now=clock.now())
    return client


def _all(clerk: Agency) -> list[tuple[str, int, int]]:
    found, cursor = list[tuple[str, int, int]](), ""
    while True:
        page = clerk.queue(limit="3", **({"cursor": cursor} if cursor else {}))
        found += [(one["batch_id"], one["sheet"], one["row"]) for one in page["rows"]]
        cursor = page["next"] or ""
        if not cursor:
            return found


def _opened(home: Home) -> int:
    with home.database.transaction() as tx:
        found = tx.execute("SELECT count(*) FROM log_entry WHERE event = 'release:provider:opened'").fetchone()
    return int(found[0]) if found else 0


def test_a_template_and_a_recall_need_no_help_either(desk: Desk) -> None:
    out = desk.folder / "template.xlsx"
    assert "SUBSIDY" in desk.run("template")
    desk.run("template", "SUBSIDY", "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    assert load_workbook(out).sheetnames[0] == "填报"
    _, batch_id = desk.send(workbooks.FILE, one([HEADER, *rows()]))
    assert batch_id in desk.run("list")
    assert "控制总数" not in desk.run("show", batch_id)
    assert "已生效" in desk.run("recall", batch_id, "--row", "1:2", "--reason", "误报")
    assert "待另一人批准" in desk.run("recall", batch_id, "--reason", "误报")
    assert "已撤回" not in desk.run("list")
    assert "工作表:行" in desk.run("recall", batch_id, "--row", "二", "--reason", "误报", exit_code=2)
