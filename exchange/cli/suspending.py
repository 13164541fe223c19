"""`qingqiao lender suspend`, `resume`, `caps` and `list`: who is in, on what terms, what ends soon.

Sending a system away and lowering its caps takes one person. In production letting it in again and raising its caps
takes two officers: the command opens a matter for them.
"""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from exchange.admission import expiring, profiles, settling
from exchange.admission import suspending as suspensions
from exchange.admission.matters import Kind
from exchange.admission.profiles import Caps
from exchange.cli import admitting
from exchange.cli.context import console, opened
from exchange.home import Home, Mode
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock
from registry.database import Transaction

_COLUMNS = ("client", "organisation", "state", "caps", "keys", "ends soon")
_ACTOR = "operator"


def add_to(lender: typer.Typer) -> None:
    """Add the commands to `qingqiao lender`."""
    lender.command("suspend")(suspend)
    lender.command("resume")(resume)
    lender.command("caps")(caps)
    lender.command("list")(listing)


def suspend(client_id: Annotated[str, typer.Argument(help="Which system.")]) -> None:
    """Suspend a system: its next request is refused, in every process. A person's phone is ended, for ever."""
    with opened() as home, home.database.transaction() as tx:
        if not suspensions.suspend(tx, client_id, actor=_ACTOR, now=clock.now()):
            raise typer.BadParameter("no system of this id is registered")
    console.print(f"[green]✓[/green] {escape(client_id)}: {clients.SUSPENDED}")


def resume(client_id: Annotated[str, typer.Argument(help="Which system.")]) -> None:
    """Let a suspended system in again; in production two officers decide it."""
    with opened() as home, home.database.transaction() as tx:
        organisation = _lender_of(tx, client_id)
        if organisation is not None and home.installation.mode is Mode.PRODUCTION:
            admitting.ask_officers(tx, Kind.RESUME, client_id, {})
            return
        if not suspensions.resume(tx, client_id, actor=_ACTOR, now=clock.now()):
            raise typer.BadParameter("no system of this id is registered")
    console.print(f"[green]✓[/green] {escape(client_id)}: {clients.ACTIVE}")


def caps(
    client_id: Annotated[str, typer.Argument(help="Which system.")],
    daily: Annotated[int, typer.Option(min=1, help="Questions of one day.")],
    monthly: Annotated[int, typer.Option(min=1, help="Questions of one calendar month.")],
) -> None:
    """Lower a system's caps at once, or ask two officers to raise them."""
    wanted = Caps(daily, monthly)
    with opened() as home, home.database.transaction() as tx:
        profile, organisation = profiles.of(tx, client_id), _lender_of(tx, client_id)
        if profile is None or organisation is None:
            raise typer.BadParameter("no system of this id was registered with caps")
        if home.installation.mode is Mode.PRODUCTION and not wanted.within(profile.caps):
            said = {"caps": {"daily": daily, "monthly": monthly}}
            admitting.ask_officers(tx, Kind.CAPS, client_id, said)
            return
        settling.set_caps(tx, client_id, wanted, actor=_ACTOR, now=clock.now())
    console.print(f"[green]✓[/green] {escape(client_id)}: {daily} a day, {monthly} a month")


def listing() -> None:
    """List lenders' systems: state, caps, keys, and what ends within 30 days."""
    with opened() as home:
        rows = _rows(home)
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*(escape(one) for one in row))
    console.print(table)


def _rows(home: Home) -> list[tuple[str, ...]]:
    now = clock.now()
    with home.database.transaction() as tx:
        found = tx.execute(
            "SELECT client_id, organisation, state, jsonb_array_length(jwks->'keys') FROM client WHERE role = %s"
            " ORDER BY organisation, client_id",
            (Role.LENDER.value,),
        ).fetchall()
        rows: list[tuple[str, ...]] = []
        for client_id, organisation, state, keys in found:
            profile = profiles.of(tx, client_id)
            ends = expiring.of_client(tx, client_id, now=now)
            said = ", ".join(f"{one.what.value} {one.thumbprint[:8]}… {one.ends_at:%Y-%m-%d}" for one in ends)
            held = "" if profile is None else f"{profile.caps.daily}/{profile.caps.monthly}"
            rows.append((client_id, organisation, state, held, str(keys), said))
    return rows


def _lender_of(tx: Transaction, client_id: str) -> str | None:
    row = tx.execute(
        "SELECT organisation FROM client WHERE client_id = %s AND role = %s", (client_id, Role.LENDER.value)
    ).fetchone()
    return None if row is None else str(row[0])
