"""What `qingqiao batch` says: Chinese first, English beside it. Counts, codes, places and masked cells; no identifier.

Whoever reads this has no system of their own: each refusal says what to do next.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox.agency import Refused

Said = Mapping[str, Any]
STATES: Final = {
    "open": "等待上传 open",
    "waiting": "排队 waiting",
    "working": "处理中 working",
    "done": "已处理 done",
    "refused": "未接收 refused",
    "ended": "已结束 ended",
    "received": "已收到 received",
    "published": "已入库 published",
    "blocked": "整批未采信 blocked",
    "recalled": "已撤回 recalled",
    "replaced": "已替换 replaced",
    "proposed": "待另一人批准 proposed",
    "decided": "已生效 decided",
    "withdrawn": "已收回 withdrawn",
}
_SETTLED: Final = STATES | {"refused": "已拒绝 refused"}  # of a proposal; an upload that is refused is not taken in
_OUTCOMES: Final = {
    "accepted": "采信",
    "warned": "采信并提示",
    "quarantined": "待处理",
    "rejected": "退回",
    "blocked": "整批未采信",
}
_ACTS: Final = {"accept": "采信", "correct": "更正", "withdraw": "撤回行", "recall": "撤回整批", "replace": "整批替换"}
_MENDS: Final = {
    "batch-unknown": "用 qingqiao batch list 查看本单位的批次编号",
    "batch-ended": "该批次已撤回或已被替换，请重新报送",
    "bytes-destroyed": "原始文件已到期销毁，请重新报送更正后的文件",
    "row-unknown": "核对工作表序号（自 1 起，文本文件为 0）和原行号，见 qingqiao batch queue",
    "row-not-quarantined": "只有待处理的行可以采信；退回的行请更正，或在文件中改正后重报",
    "row-withdrawn": "撤回后不能恢复；需要时在新文件中重新报送该行",
    "row-to-be-split": "一格内有多人，不能采信；请在文件中改为一人一行后重报",
    "heading-unknown": "表头须与原表完全一致（含单位和括号），见 qingqiao batch queue",
    "correction-fails": "按提示核对后再更正；本次更正未生效",
    "batch-not-replaceable": "先上传新文件并确认已入库、数据种类相同，再申请替换",
    "proposal-unknown": "用 qingqiao batch proposals 查看待批事项编号",
    "proposal-settled": "该事项已经办结，不必再办",
    "four-eyes-needed": "须由本单位另一人（另一个账号）办理",
    "column-unknown": "用 qingqiao batch template 查看该种类的各列",
    "column-mapped-already": "另一表头已对应该列；确实都是的，加 --also",
    "template-unknown": "不带种类运行 qingqiao batch template 查看全部种类",
    "upload-too-large": "单个文件不超过 512 MB，请分开报送",
    "uploads-too-many": "等前面的文件处理完再上传",
    "upload-over": "该次上传已结束，请去掉 --resume 重新上传",
    "upload-busy": "上一连接尚未断开，半分钟后用 --resume 继续",
    "manifest-refused": "确认签名密钥已由平台登记，且签的就是这个文件",
    "invalid_client": "该密钥未登记或已停用，请联系平台运营方",
    "invalid_scope": "该账号没有此项权限，请联系平台运营方",
    "scope-missing": "该账号没有此项权限，请联系平台运营方",
    "request-malformed": "核对编号和参数的写法",
    "out-of-service": "文件正在处理，稍后再试",
    "asked-too-fast": "本单位短时间内请求过多，本次未办理，稍候再试",
}
_IN_SECONDS: Final = {"asked-too-fast": "本单位短时间内请求过多，本次未办理，稍候 {} 秒再试"}


def refusal(refused: Refused) -> str:
    """Say why the exchange refused, and what to do."""
    problem = refused.problem
    title = problem.title_zh or "平台未接受这一请求"
    mend = _MENDS.get(refused.code, "核对后再试；仍不行请联系平台运营方")
    if refused.code in _IN_SECONDS and refused.retry_after_seconds is not None:
        mend = _IN_SECONDS[refused.code].format(refused.retry_after_seconds)
    english = " ".join(filter(None, (problem.title, problem.detail)))
    return f"{title}。{mend}（{refused.code}）\n  {english}"


def place(sheet: int, row: int) -> str:
    """Say where a row stands."""
    return f"第{sheet}个工作表第{row}行" if sheet else f"第{row}行"


def batches(console: Console, found: Sequence[Said]) -> None:
    """Show batches in a table."""
    table = Table("批次 batch", "文件 file", "状态 state", "种类 kind", "行 rows", "采信", "提示", "待处理", "退回")
    for one in found:
        counts = [_count(one.get(name)) for name in ("rows", "accepted", "warned", "quarantined", "rejected")]
        state = STATES.get(one["state"], one["state"])
        table.add_row(*map(escape, (one["batch_id"], one["label"], state, one["kind"] or "", *counts)))
    console.print(table)


def batch(console: Console, one: Said) -> None:
    """Show what became of a batch, and what to do next."""
    console.print(f"[bold]{escape(one['label'])}[/bold]  {STATES.get(one['state'], one['state'])}")
    console.print(f"  批次 batch {one['batch_id']}，{one['rows']} 行 rows，入库日 {one['as_of']}")
    if one["blocked"]:
        _code(console, one["blocked"], "red")
        console.print("  [yellow]整批未采信，没有一行入库。[/yellow]下载批注工作簿，按其中说明更正后整批重报：")
        console.print(f"    qingqiao batch annotated {one['batch_id']} --key 密钥 --out 批注.xlsx")
        return
    told = [
        f"{words} {_count(one.get(name))}" for name, words in _OUTCOMES.items() if name in one and name != "blocked"
    ]
    console.print("  " + "，".join(told))
    for code in one["codes"]:
        _code(console, code, "yellow" if code["outcome"] in {"quarantined", "rejected"} else "dim")
    for control in one["controls"]:
        if not control["agrees"]:
            where = place(int(control["sheet"] or 0), control["row_no"])
            console.print(f"  [red]控制总数不一致[/red] {where}")
    if one["unread_columns"]:
        console.print("  未识别的表头 columns not read: " + escape("、".join(one["unread_columns"])))
    if any(code["outcome"] in {"quarantined", "rejected"} and code["code"] != "NO_CONSENT" for code in one["codes"]):
        console.print(f"  下一步 next: qingqiao batch annotated {one['batch_id']} --key 密钥 --out 批注.xlsx")


def _code(console: Console, code: Said, colour: str) -> None:
    console.print(
        f"  [{colour}]{_OUTCOMES.get(code['outcome'], code['outcome'])}[/{colour}] {code['rows']} 行 {code['code']}："
        f"{escape(code['cause']['zh'])}。{escape(code['mend']['zh'])}"
    )
    console.print(f"    [dim]{escape(code['cause']['en'])}. {escape(code['mend']['en'])}[/dim]")


def _count(value: int | None) -> str:
    return "不告知" if value is None else str(value)


def queue(console: Console, rows: Sequence[Said]) -> None:
    """Show rows that wait for a decision, with their cells as the exchange gave them."""
    for row in rows:
        where = place(row["sheet"], row["row"])
        console.print(f"[bold]{where}[/bold] {row['code']} [dim]{escape(row['batch_id'])}[/dim]")
        console.print(f"  {escape(row['cause']['zh'])}。{escape(row['mend']['zh'])}")
        console.print(f"  [dim]{escape(row['cause']['en'])}. {escape(row['mend']['en'])}[/dim]")
        cells = "；".join(f"{heading}={text}" for heading, text in row["cells"].items() if text)
        console.print(f"  {escape(cells)}")


def proposal(console: Console, one: Said) -> None:
    """Show a proposal and where it stands."""
    rows = "、".join(place(at["sheet"], at["row"]) for at in one["rows"]) or "整批 whole batch"
    state = _SETTLED.get(one["state"], one["state"])
    console.print(f"[green]✓[/green] {_ACTS.get(one['act'], one['act'])}，{rows}：{state}")
    console.print(f"  事项 proposal {one['proposal_id']}，提出人 {escape(one['proposer'])}")
    if one["state"] == "proposed":
        console.print(f"  由另一人批准 another person approves: qingqiao batch approve {one['proposal_id']} --key 密钥")


def mapping(console: Console, one: Said) -> None:
    """Show what is said of a heading."""
    state = _SETTLED.get(one["state"], one["state"])
    console.print(f"[green]✓[/green] {escape(one['heading'])} → {one['kind']}.{one['column']}：{state}")
    if one["state"] == "proposed":
        console.print(f"  由另一人批准 another person approves: qingqiao batch approve {one['mapping_id']} --key 密钥")


def why(console: Console, standing: Said) -> None:
    """Say why an upload was not taken in."""
    found = standing["why"]
    console.print(f"[red]✗[/red] {found['code']}：{escape(found['cause']['zh'])}。{escape(found['mend']['zh'])}")
    console.print(f"  [dim]{escape(found['cause']['en'])}. {escape(found['mend']['en'])}[/dim]")
