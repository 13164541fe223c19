"""`qingqiao keys` and `qingqiao verify`: the keys of a home, and the check that needs none of it."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from exchange.cli.context import console, opened
from exchange.events import Event
from registry import clock, custody, log
from registry.keyfiles import read_master
from registry.keyring import Purpose
from registry.trust import TrustPolicy
from registry.verify import EvidenceRefused
from registry.verify import verify as check

_KEYS = typer.Typer(help="Keys of this home.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_KEYS, name="keys")
    app.command()(verify)


@_KEYS.command("list")
def list_keys() -> None:
    """List keys by purpose and date; no secret is shown."""
    with opened() as home:
        table = Table("purpose", "key", "algorithm", "since", "retired")
        for key in home.keyring.keys:
            retired = f"{key.retired_at:%Y-%m-%d}" if key.retired_at else ""
            table.add_row(key.purpose.value, key.key_id, key.algorithm, f"{key.created_at:%Y-%m-%d}", retired)
        console.print(table)


@_KEYS.command()
def policy(out: Annotated[Path | None, typer.Option(help="Write it here instead of printing it.")] = None) -> None:
    """Give the trust policy: the public keys a verifier must get from us by another way than the evidence."""
    with opened() as home:
        text = orjson.dumps(home.keyring.trust_policy(), option=orjson.OPT_INDENT_2) + b"\n"
    if out is None:
        typer.echo(text.decode(), nl=False)
    else:
        out.write_bytes(text)
        console.print(f"[green]✓[/green] {out}")


@_KEYS.command()
def rotate(purpose: Annotated[Purpose, typer.Argument(help="Which keys to retire and make anew.")]) -> None:
    """Retire the keys of a purpose and make new ones; what the old ones signed stays valid."""
    with opened() as home:
        now = clock.now()
        try:
            made = home.keyring.rotate(purpose, now)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        with home.database.transaction() as tx:
            fields = {"purpose": purpose.value, "keys": [key.key_id for key in made]}
            log.append(tx, [log.Entry(event=Event.KEY_ROTATED, at=now, actor="operator", fields=fields)])
        console.print(f"[green]✓[/green] {', '.join(key.key_id for key in made)}; servers take them up at once")


@_KEYS.command()
def split(
    shares: Annotated[int, typer.Option(min=2, max=20)] = 5,
    needed: Annotated[int, typer.Option(min=2, max=20)] = 3,
) -> None:
    """Split the master key among custodians (Shamir): any `needed` of them can restore it, fewer learn nothing.

    Each share is shown once, to the officer who takes it, and written nowhere.
    """
    with opened() as home:
        made = custody.split(read_master(home.settings.home), needed=needed, of=shares)
    for number, share in enumerate(made, start=1):
        typer.echo(f"share {number} of {shares}, {needed} needed:\n{share}")
        if sys.stdin.isatty():
            typer.prompt("Write it down, then press Enter: the screen is cleared", default="", show_default=False)
            console.clear()


@_KEYS.command()
def join(needed: Annotated[int, typer.Option(min=2, max=20, help="How many shares are needed.")] = 3) -> None:
    """Ask for shares, unseen, and check that they restore this home's master key. The key itself is not shown."""
    given = [typer.prompt(f"share {number} of {needed}", hide_input=True) for number in range(1, needed + 1)]
    restored = custody.join(given)
    with opened() as home:
        same = restored == read_master(home.settings.home)
    console.print("[green]✓[/green] these shares restore the master key" if same else "[red]✗[/red] another key")
    raise typer.Exit(0 if same else 1)


def verify(
    file: Annotated[Path, typer.Argument(help="Evidence, as the lender got it.")],
    trust: Annotated[Path, typer.Option(help="Trust policy, got from the operator or regulator.")],
) -> None:
    """Check evidence with no database and no network, and say step by step what it shows and what it does not."""
    try:
        policy = TrustPolicy.parse(trust.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--trust") from error
    try:
        verdict = check(file.read_bytes(), policy)
    except EvidenceRefused as error:
        console.print(f"[red]✗ refused[/red] at {error}")
        raise typer.Exit(1) from None
    for number, said in verdict.shown:
        console.print(f"[green]✓[/green] {number}. {said}")
    console.print("\nNot shown by this file:")
    for said in verdict.not_shown:
        console.print(f"  · {said}")
    console.print(f"\n[green]holds[/green] ({verdict.form} form, {clock.beijing_day(clock.now())})")
