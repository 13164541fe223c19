"""`qingqiao lender events-url`, `events`, `webhooks`: where what lenders are told is sent, and how that fares.

The address of signed events of consents is the operator's to set; that of subscriptions' events (webhooks) the
lender's own, so that there is nothing here but to look at it.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exchange import pushing
from exchange.cli.context import console, opened
from exchange.errors import RequestRefused
from exchange.home import Mode
from exchange.monitoring import webhooks as addresses
from registry import clock

_COLUMNS = ("organisation", "client", "waiting", "failures", "paused", "last outcome")
_WEBHOOKS = ("organisation", "client", "webhook", "why", "subscriptions", "waiting", "failures", "last outcome")


def add_to(lender: typer.Typer) -> None:
    """Add the commands to `qingqiao lender`."""
    lender.command("events-url")(events_url)
    lender.command("events")(events)
    lender.command("webhooks")(webhooks)


def events_url(
    client_id: Annotated[str, typer.Argument(help="Which system of the lender.")],
    url: Annotated[
        str | None, typer.Option("--url", help="https, public; without it nothing is sent any more.")
    ] = None,
) -> None:
    """Have a lender's events sent to an address (RFC 8935), or no longer; registering again ends a pause."""
    with opened() as home, home.database.transaction() as tx:
        try:
            sandbox = home.installation.mode is Mode.SANDBOX
            pushing.register(tx, client_id, url, sandbox=sandbox, now=clock.now())
        except RequestRefused as error:
            raise typer.BadParameter(
                error.detail or "https, with a public host, without user, query or fragment"
            ) from None
    console.print(f"[green]✓[/green] {escape(client_id)}: {'pushed' if url else 'not pushed'}")


def events() -> None:
    """Say of each lender whose events are sent how many wait, and what came of the last attempt."""
    with opened() as home, home.database.transaction() as tx:
        found = pushing.states(tx)
    _show(_COLUMNS, found)


def webhooks() -> None:
    """Say of each lender that subscribed where its events go: pending, verified, unproven, paused and why, or none."""
    with opened() as home, home.database.transaction() as tx:
        found = addresses.states(tx)
    _show(_WEBHOOKS, found)


def _show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*columns)
    for one in rows:
        table.add_row(*(escape(str(said)) for said in one))
    console.print(table)
