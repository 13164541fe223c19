"""`qingqiao init` and `qingqiao db`: make a home, and keep its database's schema up to date."""

from typing import Annotated

import typer

from exchange.cli.context import console, opened, settings
from exchange.home import SANDBOX, Installation, Mode, addresses, make
from registry import schema

_DB = typer.Typer(help="The database's schema.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.add_typer(_DB, name="db")


def init(
    *,
    production: Annotated[bool, typer.Option("--production", help="Real people; chosen once, never changed.")] = False,
    operator: Annotated[str, typer.Option(help="Who operates it (docs/requirements.md R-01).")] = "",
    operating_mode: Annotated[str, typer.Option(help="Public platform, processor, or enterprise only.")] = "",
    authorisation: Annotated[str, typer.Option(help="Licence or authorisation number.")] = "",
    authorised_until: Annotated[str | None, typer.Option(help="Its last day, as 2027-12-31.")] = None,
    log_origin: Annotated[str, typer.Option(help="Name of the transparency log, as log.example.gov.cn/credit.")] = "",
) -> None:
    """Make the home that QINGQIAO_HOME names: a sandbox, or, with --production, the real thing."""
    chosen = SANDBOX
    if production:
        needed = {
            "--operator": operator,
            "--operating-mode": operating_mode,
            "--authorisation": authorisation,
            "--log-origin": log_origin,
        }
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise typer.BadParameter(f"production needs {', '.join(missing)}: they stand in every answer")
        chosen = Installation(Mode.PRODUCTION, operator, operating_mode, authorisation, authorised_until, log_origin)
    make(settings(), chosen)
    with opened() as home:
        console.print(f"[green]✓[/green] made a {home.installation.mode.value} home; log: {home.keyring.origin}")


@_DB.command()
def upgrade() -> None:
    """Bring the databases to this release's schema; back them up before."""
    with addresses(settings()) as (url, keystore_url):
        schema.upgrade(url, keystore_url)
    console.print("[green]✓[/green] both databases are at this release's schema")


@_DB.command()
def check() -> None:
    """Say whether the databases are at this release's schema."""
    with addresses(settings()) as (url, keystore_url):
        current = schema.is_current("main", url) and schema.is_current("keystore", keystore_url)
    console.print("[green]✓[/green] current" if current else "[red]✗[/red] behind: run qingqiao db upgrade")
    raise typer.Exit(0 if current else 1)
