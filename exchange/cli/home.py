"""`qingqiao init`, `installation` and `db`: make a home, say how its operator is reached, keep its schema current."""

from typing import Annotated

import typer

from consent.parties import Contact
from exchange.cli.context import Address, Email, Office, Phone, Web, console, opened, settings
from exchange.home import SANDBOX, Installation, Mode, addresses, make, state_contact
from registry import schema

_DB = typer.Typer(help="The database's schema.", no_args_is_help=True)
_INSTALLATION = typer.Typer(help="运营单位 / who operates this home.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.add_typer(_DB, name="db")
    app.add_typer(_INSTALLATION, name="installation")


def init(
    *,
    production: Annotated[bool, typer.Option("--production", help="Real people; chosen once, never changed.")] = False,
    operator: Annotated[str, typer.Option(help="Who operates it (docs/requirements.md R-01).")] = "",
    operating_mode: Annotated[str, typer.Option(help="Public platform, processor, or enterprise only.")] = "",
    authorisation: Annotated[str, typer.Option(help="Licence or authorisation number.")] = "",
    authorised_until: Annotated[str | None, typer.Option(help="Its last day, as 2027-12-31.")] = None,
    log_origin: Annotated[str, typer.Option(help="Name of the transparency log, as log.example.gov.cn/credit.")] = "",
    office: Office = "",
    phone: Phone = "",
    address: Address = "",
    email: Email = None,
    url: Web = None,
) -> None:
    """Make the home that QINGQIAO_HOME names: a sandbox, or, with --production, the real thing."""
    chosen = SANDBOX
    if production:
        needed = {
            "--operator": operator,
            "--operating-mode": operating_mode,
            "--authorisation": authorisation,
            "--log-origin": log_origin,
            "--office": office,
            "--phone": phone,
            "--address": address,
        }
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise typer.BadParameter(f"production needs {', '.join(missing)}: people and answers are told of them")
        reached = _contact(office, phone, address, email, url)
        chosen = Installation(
            Mode.PRODUCTION, operator, operating_mode, authorisation, authorised_until, log_origin, reached
        )
    make(settings(), chosen)
    with opened() as home:
        console.print(f"[green]✓[/green] made a {home.installation.mode.value} home; log: {home.keyring.origin}")


@_INSTALLATION.command()
def contact(office: Office, phone: Phone, address: Address, email: Email = None, url: Web = None) -> None:
    """写明运营单位的联系方式 / say how people reach the operator; it stands in every receipt made from now on."""
    state_contact(settings(), _contact(office, phone, address, email, url))
    console.print("[green]✓[/green] 已登记 / stated")


def _contact(office: str, phone: str, address: str, email: str | None, url: str | None) -> Contact:
    return Contact.read({"office": office, "phone": phone, "address": address, "email": email, "url": url})


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
