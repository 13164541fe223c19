"""`qingqiao complaint`: the operator reads and answers what persons complain about (投诉)."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exchange import complaints
from exchange.cli.context import console, opened
from registry import clock
from registry.clock import BEIJING

_COMPLAINT = typer.Typer(help="Complaints of persons (投诉): read them, answer them.", no_args_is_help=True)
_OFFICE = "operator"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_COMPLAINT, name="complaint")


@_COMPLAINT.command(name="list")
def listed() -> None:
    """Show the complaints that wait, the most pressing first. That they were read is logged."""
    with opened() as home, home.database.transaction() as tx:
        found = complaints.waiting(tx, home, actor=_OFFICE, now=clock.now())
    table = Table("编号 number", "关于 about", "提交 filed", "期限 due", "逾期 overdue", "内容 words")
    for one in found:
        about = one.about.value if one.organisation is None else f"{one.about.value}: {one.organisation}"
        filed, due = (f"{at.astimezone(BEIJING):%Y-%m-%d}" for at in (one.filed_at, one.due_at))
        late = "是 yes" if one.escalated_at else ""
        table.add_row(one.number, escape(about), filed, due, late, escape(one.words or ""))
    console.print(table)


@_COMPLAINT.command()
def answer(
    number: Annotated[str, typer.Argument(help="The complaint's number, as TS20260615-….")],
    reply: Annotated[str, typer.Option(help="The reply to the person, at most 500 characters.")],
) -> None:
    """Answer a complaint, once; the person is told."""
    if not 1 < len(reply) <= complaints.CHARACTERS_MOST:
        raise typer.BadParameter(f"a reply has 2 to {complaints.CHARACTERS_MOST} characters")
    with opened() as home, home.database.transaction() as tx:
        complaints.answer(tx, home, number, reply, by=_OFFICE, now=clock.now())
    console.print(f"[green]✓[/green] {escape(number)}: 已答复 answered")
