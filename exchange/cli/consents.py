"""`qingqiao consent`: the consent register, and single consents."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from consent import ledger
from consent.evidence import Channel
from consent.grant import State
from exchange import consents
from exchange.cli.context import console, opened

_CONSENT = typer.Typer(help="Consents (授权).", no_args_is_help=True)
_SHOWN = 50


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_CONSENT, name="consent")


@_CONSENT.command("import")
def import_register(
    file: Annotated[Path, typer.Argument(help="Consent register (授权台账), CSV or workbook.")],
) -> None:
    """Record a consent register; the same file again changes nothing."""
    with opened() as home:
        report = consents.import_register(home, consents.read_register(file.read_bytes()), actor="operator")
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in sorted(report.counts.items()) if count)
    console.print(f"[green]✓[/green] {len(report.rows)} rows: {counts}")
    shown = [row for row in report.rows if row.needs_attention][:_SHOWN]
    for row in shown:
        console.print(f"  row {row.row_no}: {row.code.value}  {row.zh} / {row.en}")


@_CONSENT.command("list")
def list_consents(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only those for this lender.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """List consents, by random subject ids; nobody is named."""
    with opened() as home:
        with home.database.transaction() as tx:
            page, more = ledger.listing(tx, state=state, recipient=recipient, limit=limit)
        table = Table("consent", "subject", "recipient", "purpose", "state", "until", "uses")
        for one in page:
            scope = one.terms.scope
            table.add_row(
                one.consent_id,
                str(one.terms.subject_id)[:8],
                scope.recipient,
                scope.purpose,
                one.state.value,
                f"{scope.valid_until:%Y-%m-%d}",
                f"{one.uses}/{scope.max_uses}",
            )
        console.print(table)
        if more is not None:
            console.print("[dim]there are more: raise --limit[/dim]")


@_CONSENT.command()
def withdraw(
    consent_id: Annotated[str, typer.Argument(help="Which consent.")],
    channel: Annotated[Channel, typer.Option(help="Where the subject said so.")] = Channel.OFFICE,
) -> None:
    """Withdraw a consent, on the subject's word. Nothing is released on it from this moment on."""
    with opened() as home:
        consents.withdraw(home, consent_id, channel, actor="operator")
        console.print(f"[green]✓[/green] withdrawn: {consent_id}")
