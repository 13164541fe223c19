"""The command `qingqiao`: one group a door, each a thin wrapper round what the product does.

Errors that name themselves end with one line and exit code 2; nothing that a command prints or says in an error holds
personal data. A home is opened by every command that needs one: a fresh home is a fresh installation.
"""

import logging
import sys

import typer
from rich.console import Console

from connectors.errors import ConnectorError
from consent.errors import ConsentError
from exchange import journal
from exchange.cli import (
    agency,
    batch,
    complaints,
    consents,
    demo,
    feed,
    home,
    intake,
    jobs,
    keys,
    lender,
    notices,
    running,
    sandbox,
    subject,
)
from exchange.cli.context import read_mode
from exchange.errors import ExchangeError
from exchange.home import HomeExists, InstallationIncomplete, Mode
from registry.errors import RegistryError

_EXPECTED = (
    ExchangeError,
    RegistryError,
    ConsentError,
    ConnectorError,
    HomeExists,
    InstallationIncomplete,
    OSError,
)


def build() -> typer.Typer:
    """Put the command together. In production there is no `--as-of`: it exists for samples only."""
    said = "青桥 Qingqiao: consented, provable exchange of credit data."
    app = typer.Typer(name="qingqiao", help=said, no_args_is_help=True)
    home.add_to(app)
    feed.add_to(app)
    intake.add_to(app, with_as_of=read_mode() is not Mode.PRODUCTION)
    consents.add_to(app)
    complaints.add_to(app)
    subject.add_to(app)
    notices.add_to(app)
    lender.add_to(app)
    agency.add_to(app)
    batch.add_to(app)
    running.add_to(app)
    jobs.add_to(app)
    keys.add_to(app)
    sandbox.add_to(app)
    demo.add_to(app)
    return app


def main() -> None:
    """Run the command line."""
    journal.set_up(sys.stderr, level=logging.WARNING)
    try:
        build()()
    except _EXPECTED as error:
        Console(stderr=True).print(f"[red]✗[/red] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
