"""`qingqiao batch`: what a member of an agency's staff does without a system: hand over, look, mend, decide.

Every command speaks to the served exchange over OAuth, as any client does (`sandbox.agency`); none needs an
installation of its own. What is written to disk is the owner's alone (mode 0600) and named by batch or kind.
Identifiers are masked on the screen unless asked for; the annotated workbook is whole, for it is sent back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from connectors import manifests
from consent.scope import recipient_name
from exchange.cli import batch_words
from exchange.cli.agency import described, read_signing_key
from exchange.cli.context import console, settings
from exchange.cli.lender import read_key
from exchange.client import NotReached
from exchange.errors import OutOfService
from exchange.oauth.scopes import Scope
from registry import clock
from registry.keyfiles import write_private
from sandbox.agency import Agency, LineBroken, NotOver, Refused

_BATCH: Final = typer.Typer(
    help="报送、查看、更正、办理 / hand over files, see what became of them, mend and decide.", no_args_is_help=True
)
_READING: Final = Scope.AGENCY_READ.value
_SENDING: Final = f"{Scope.AGENCY_UPLOAD.value} {_READING}"
_DECIDING: Final = f"{Scope.AGENCY_DECIDE.value} {_READING}"
_PATIENCE_SECONDS: Final = 3600.0
_REFUSED: Final = 1
_Key = Annotated[Path, typer.Option("--key", help="账号密钥文件 / private key file, from `agency add --make-key`.")]
_Url = Annotated[str | None, typer.Option("--url", help="平台地址 / the exchange's address; by default this one's.")]
_Batch = Annotated[str, typer.Argument(metavar="BATCH", help="批次编号 / the batch's id, from `batch list`.")]
_Reason = Annotated[str, typer.Option("--reason", help="理由，必填 / why; kept sealed with the batch.")]
_Out = Annotated[Path | None, typer.Option("--out", help="写入何处 / where to write it; mode 0600.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_BATCH, name="batch")


@contextmanager
def _reached(url: str | None, key: Path, scope: str) -> Iterator[Agency]:
    """Speak to an exchange; say in words what it refuses, and what to do when nobody answers."""
    address = url or settings().issuer
    try:
        with Agency(address, read_key(key), scope=scope) as clerk:
            yield clerk
    except Refused as refused:
        console.print(f"[yellow]✗[/yellow] {escape(batch_words.refusal(refused))}")
        raise typer.Exit(_REFUSED) from None
    except NotReached as error:
        raise OutOfService(
            f"{address} 没有应答，请检查网络，或确认平台已启动 / nobody answers there; is it served?"
        ) from error


# ---- handing over ---------------------------------------------------------------------------------------------------


@_BATCH.command()
def upload(
    file: Annotated[Path, typer.Argument(help="要报送的文件 / the file.", exists=True, dir_okay=False)],
    key: _Key,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="从上次中断处继续 / go on where it stopped.")] = False,
    sign: Annotated[Path | None, typer.Option("--sign", help="签名密钥 / signing key, from `agency key new`.")] = None,
    organisation: Annotated[str | None, typer.Option(help="机构全称，签名时必填 / full name, to sign.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="等待处理结果 / wait for what becomes of it.")] = True,
    url: _Url = None,
) -> None:
    """报送一个文件，中断后可续传 / hand over a file; a cut upload goes on with --resume."""
    manifest = _signed(file, sign, organisation)
    with file.open("rb") as content, _reached(url, key, _SENDING) as clerk:
        try:
            upload_id = _send(clerk, file, content, manifest, resume=resume)
        except (LineBroken, NotReached):
            console.print("[yellow]✗[/yellow] 线路中断，已到达的部分平台已保存。稍后在同一命令后加 --resume 续传")
            console.print("  [dim]The line broke; what arrived is kept. Go on later with --resume.[/dim]")
            raise typer.Exit(_REFUSED) from None
        console.print(f"[green]✓[/green] 已全部到达 / all arrived，上传编号 upload {upload_id}")
        if wait:
            _watch(clerk, upload_id)


def _signed(file: Path, sign: Path | None, organisation: str | None) -> str:
    if sign is None:
        return ""
    if organisation is None:
        raise typer.BadParameter(
            "签名须写明机构全称 / signing needs the agency's full name", param_hint="--organisation"
        )
    made_at = clock.rfc3339(clock.now())
    return manifests.sign(read_signing_key(sign), recipient_name(organisation), [described(file)], made_at=made_at)


def _send(clerk: Agency, file: Path, content: BinaryIO, manifest: str, *, resume: bool) -> str:
    sha256, size = str(described(file)["sha256"]), file.stat().st_size
    found = clerk.unfinished(size, sha256) if resume else None
    if found is None:
        upload_id = clerk.create(file.name, size, sha256=sha256, manifest=manifest)
        if resume:
            console.print("没有找到这个文件未完成的上传，从头开始 / nothing to resume: beginning anew")
    else:
        upload_id = str(found["upload_id"])
        console.print(f"续传：已到达 {found['received_bytes']} / {size} 字节 bytes")
        if manifest and not found["signed"]:
            clerk.hand_in(manifest)
    if found is None or found["state"] == "open":
        with _bar() as bar:
            task = bar.add_task("上传 sending", total=size)
            clerk.resume(upload_id, content, arrived=lambda at: bar.update(task, completed=at))
    return upload_id


def _watch(clerk: Agency, upload_id: str) -> None:
    with _bar() as bar:
        task = bar.add_task("处理 taking in", total=None)

        def told(standing: Any) -> None:  # noqa: ANN401  # as the exchange says it
            bar.update(task, total=standing["rows_read"] or None, completed=standing["rows_checked"])

        try:
            standing = clerk.wait(upload_id, patience_seconds=_PATIENCE_SECONDS, told=told)
        except NotOver:
            console.print("平台仍在处理，稍后用 qingqiao batch list 查看 / it still works on it; look later")
            return
    if standing["why"]:
        batch_words.why(console, standing)
        raise typer.Exit(_REFUSED)
    for batch_id in standing["batches"]:
        batch_words.batch(console, clerk.batch(batch_id))


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(*columns, console=console, transient=True)


# ---- looking --------------------------------------------------------------------------------------------------------


@_BATCH.command("list")
def list_batches(
    key: _Key,
    state: Annotated[str | None, typer.Option(help="published, blocked, recalled, replaced")] = None,
    url: _Url = None,
) -> None:
    """列出本单位的批次，新的在前 / list the organisation's batches, the newest first."""
    with _reached(url, key, _READING) as clerk:
        batch_words.batches(console, clerk.batches(**({"state": state} if state else {})))


@_BATCH.command()
def show(batch_id: _Batch, key: _Key, url: _Url = None) -> None:
    """一个批次的结果：行数、代码、原因、如何更正 / what became of a batch, why, and what to do."""
    with _reached(url, key, _READING) as clerk:
        batch_words.batch(console, clerk.batch(batch_id))


@_BATCH.command()
def annotated(
    batch_id: _Batch,
    key: _Key,
    out: _Out = None,
    *,
    mask: Annotated[bool, typer.Option("--mask", help="打码，只供查看，不能重报 / masked: for showing only.")] = False,
    url: _Url = None,
) -> None:
    """下载批注工作簿，更正后重报 / fetch your own workbook with faults marked, to correct and send again."""
    with _reached(url, key, _READING) as clerk:
        path = out or Path(f"{batch_id}.xlsx")
        write_private(path, clerk.annotated(batch_id, mask=mask))
    console.print(f"[green]✓[/green] {escape(str(path))}：在着色的单元格中更正，保存后用 batch upload 重报")
    console.print("  [dim]含个人信息，用后删除 / it holds personal data: delete it when done[/dim]")


@_BATCH.command()
def queue(  # one parameter a filter
    key: _Key,
    batch_id: Annotated[str | None, typer.Option("--batch", help="只看一个批次 / of one batch.")] = None,
    code: Annotated[str | None, typer.Option(help="只看一个代码 / one code, as AMOUNT_MISMATCH.")] = None,
    class_code: Annotated[str | None, typer.Option("--class", help="数据类 / class, as SUBSIDY.")] = None,
    kind: Annotated[str | None, typer.Option(help="数据种类 / kind.")] = None,
    *,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="显示原值 / show identifiers; it is logged.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: _Url = None,
) -> None:
    """列出待处理的行 / list the rows that wait for a decision, of all batches."""
    given = {"code": code, "class_code": class_code, "kind": kind}
    filters = {name: value for name, value in given.items() if value} | {"mask": str(not unmasked).lower()}
    with _reached(url, key, _READING) as clerk:
        rows, cursor = list[Any](), ""
        while batch_id is None and len(rows) < limit:
            page = clerk.queue(limit=str(limit - len(rows)), **filters, **({"cursor": cursor} if cursor else {}))
            rows, cursor = rows + page["rows"], page["next"] or ""
            if not cursor:
                break
        if batch_id is not None:
            found = clerk.quarantine(batch_id, mask=not unmasked, code=code or "", most=limit)
            rows = [{**row, "batch_id": batch_id} for row in found]
    batch_words.queue(console, rows)
    console.print(f"{len(rows)} 行 rows" + ("，还有更多，可用 --limit 或筛选 / there are more" if cursor else ""))


@_BATCH.command()
def proposals(
    key: _Key,
    *,
    every: Annotated[bool, typer.Option("--all", help="包括已办结的 / settled ones too.")] = False,
    url: _Url = None,
) -> None:
    """列出待批事项 / list what waits for another person's approval."""
    with _reached(url, key, _READING) as clerk:
        for one in clerk.proposals(**({} if every else {"state": "proposed"})):
            batch_words.proposal(console, one)
        for one in clerk.mappings():
            if every or one["state"] == "proposed":
                batch_words.mapping(console, one)


# ---- deciding -------------------------------------------------------------------------------------------------------


@_BATCH.command()
def decide(  # one parameter an option
    batch_id: _Batch,
    sheet: Annotated[int, typer.Argument(help="工作表序号，自 1 起；文本文件为 0 / number of the sheet, 0 for text.")],
    row: Annotated[int, typer.Argument(help="原行号 / number of the row.")],
    key: _Key,
    reason: _Reason,
    *,
    accept: Annotated[bool, typer.Option("--accept", help="采信存疑的行 / accept it as it is.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="撤回该行，不可恢复 / withdraw it for good.")] = False,
    correct: Annotated[
        list[str] | None,
        typer.Option(
            "--correct",
            help="更正：表头=新值；只写表头则另行输入，不留记录 / HEADING=VALUE; HEADING alone is asked for, unseen.",
        ),
    ] = None,
    url: _Url = None,
) -> None:
    """办理一行：采信、更正或撤回 / decide of a row: accept, correct or withdraw it."""
    if accept + withdraw + bool(correct) != 1:
        raise typer.BadParameter("--accept、--correct、--withdraw 择一 / exactly one of them")
    with _reached(url, key, _DECIDING) as clerk:
        if correct:
            made = clerk.correct(batch_id, sheet, row, dict(map(_cell, correct)), reason)
        elif accept:
            made = clerk.accept(batch_id, sheet, row, reason)
        else:
            made = clerk.reject(batch_id, sheet, row, reason)
    batch_words.proposal(console, made)


def _cell(text: str) -> tuple[str, str]:
    """Read a cell as it is typed, up to the first `=` its heading; a value that is not given is asked for."""
    heading, given, value = text.partition("=")
    return heading, value if given else str(typer.prompt(f"{heading} 的新值 / new value", hide_input=True))


@_BATCH.command()
def approve(proposal_id: Annotated[str, typer.Argument(metavar="PROPOSAL")], key: _Key, url: _Url = None) -> None:
    """批准另一人提出的事项 / approve another person's proposal, of rows, of a batch or of a heading."""
    _settle(proposal_id, key, url, approving=True)


@_BATCH.command()
def refuse(proposal_id: Annotated[str, typer.Argument(metavar="PROPOSAL")], key: _Key, url: _Url = None) -> None:
    """拒绝另一人提出的事项 / refuse another person's proposal."""
    _settle(proposal_id, key, url, approving=False)


def _settle(proposal_id: str, key: Path, url: str | None, *, approving: bool) -> None:
    with _reached(url, key, _DECIDING) as clerk:
        try:
            made = clerk.approve(proposal_id) if approving else clerk.refuse(proposal_id)
        except Refused as refused:
            if refused.code != "proposal-unknown":
                raise
            clerk.settle_heading(proposal_id, approve=approving)
            console.print(f"[green]✓[/green] 表头对应：{'已批准 approved' if approving else '已拒绝 refused'}")
            return
    batch_words.proposal(console, made)


@_BATCH.command("take-back")
def take_back(proposal_id: Annotated[str, typer.Argument(metavar="PROPOSAL")], key: _Key, url: _Url = None) -> None:
    """收回自己提出的事项 / take your own proposal back."""
    with _reached(url, key, _DECIDING) as clerk:
        batch_words.proposal(console, clerk.take_back(proposal_id))


@_BATCH.command()
def recall(
    batch_id: _Batch,
    key: _Key,
    reason: _Reason,
    rows: Annotated[list[str] | None, typer.Option("--row", help="工作表:行，可多次 / SHEET:ROW; none: all.")] = None,
    url: _Url = None,
) -> None:
    """撤回若干行，或整批（须另一人批准）；贷款机构会收到通知 / take rows back, or all: another person approves."""
    try:
        places = [(int(sheet), int(row)) for sheet, _, row in (text.partition(":") for text in rows or ())]
    except ValueError as error:
        raise typer.BadParameter("写作 工作表:行，如 1:7 / written SHEET:ROW, as 1:7", param_hint="--row") from error
    with _reached(url, key, _DECIDING) as clerk:
        batch_words.proposal(console, clerk.recall(batch_id, reason, places))


@_BATCH.command()
def replace(
    batch_id: _Batch,
    successor: Annotated[str, typer.Argument(help="新批次编号，须已入库 / the batch that takes its place.")],
    key: _Key,
    reason: _Reason,
    url: _Url = None,
) -> None:
    """用新批次整批替换，须另一人批准 / put another batch in its place; another person must approve."""
    with _reached(url, key, _DECIDING) as clerk:
        batch_words.proposal(console, clerk.replace(batch_id, successor, reason))


# ---- templates and headings -----------------------------------------------------------------------------------------


@_BATCH.command()
def template(
    key: _Key,
    kind: Annotated[str | None, typer.Argument(help="数据种类或数据类 / kind or class; none: list them.")] = None,
    out: _Out = None,
    url: _Url = None,
) -> None:
    """下载填报模板 / fetch a template to fill in."""
    with _reached(url, key, _READING) as clerk:
        if kind is None:
            for one in clerk.templates():
                console.print(f"{one['kind']}  {escape(one['zh'])} / {escape(one['en'])}")
            return
        path = out or Path(f"{kind}.xlsx")
        write_private(path, clerk.template(kind))
    console.print(f"[green]✓[/green] {escape(str(path))}")


@_BATCH.command("map")
def say_heading(  # one parameter an option
    kind: Annotated[str, typer.Argument(help="数据种类 / kind, as the annotated workbook names it.")],
    heading: Annotated[str, typer.Argument(help="您的表头 / your heading.")],
    column: Annotated[str, typer.Argument(help="对应的列 / the column that it is.")],
    key: _Key,
    batch_id: Annotated[str | None, typer.Option("--batch", help="立即重新读取的批次 / weigh this one again.")] = None,
    *,
    also: Annotated[bool, typer.Option("--also", help="另一表头也是该列 / besides another heading.")] = False,
    url: _Url = None,
) -> None:
    """说明一个表头对应哪一列，以后自动适用 / say which column a heading is; remembered for later files."""
    with _reached(url, key, _DECIDING) as clerk:
        made = clerk.say_heading(kind, heading, column, also=also, batch_id=batch_id or "")
        batch_words.mapping(console, made)
        if batch_id and made["state"] == "decided":
            batch_words.batch(console, clerk.batch(batch_id))
