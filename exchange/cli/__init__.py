"""The command `qingqiao`: one group a door, each a thin wrapper round what the product does.

Errors that name themselves end with one line and exit code 2; nothing that a command prints or says in an error holds
personal data. A home is opened by every command that needs one: a fresh home is a fresh installation.

Only the module of the command that was called is loaded: all of them together take seconds.
"""

import logging
import sys
from importlib import import_module
from typing import Final

import typer
from rich.console import Console

from connectors.errors import ConnectorError
from consent.errors import ConsentError
from exchange import journal
from exchange.cli.context import read_mode
from exchange.errors import ExchangeError
from exchange.home import HomeExists, InstallationIncomplete, Mode
from registry.errors import RegistryError

WHERE: Final = {  # each command, and the module in here that adds it, in the order of the help
    "init": "home",
    "db": "home",
    "installation": "home",
    "feed": "feed",
    "intake": "intake",
    "consent": "consents",
    "complaint": "complaints",
    "subject": "subject",
    "notices": "notices",
    "lender": "lender",
    "officer": "officers",
    "query": "lender",
    "evidence": "lender",
    "audit": "lender",
    "agency": "agency",
    "batch": "batch",
    "serve": "running",
    "problems": "problems",
    "jobs": "jobs",
    "keys": "keys",
    "verify": "keys",
    "sandbox": "sandbox",
    "demo": "demo",
}
_SAID: Final = "青桥 Qingqiao: consented, provable exchange of credit data."
_EXPECTED: Final = (
    ExchangeError,
    RegistryError,
    ConsentError,
    ConnectorError,
    HomeExists,
    InstallationIncomplete,
    OSError,
)


def build(word: str | None = None) -> typer.Typer:
    """Put the command together: all of it, or what the module of one command adds.

    In production there is no `--as-of`: it exists for samples only.
    """
    app = typer.Typer(name="qingqiao", help=_SAID, no_args_is_help=True)
    app.callback()(_whole)  # else a command that is alone would be taken for the whole
    for where in [WHERE[word]] if word in WHERE else dict.fromkeys(WHERE.values()):
        options = {"with_as_of": read_mode() is not Mode.PRODUCTION} if where == "intake" else {}
        import_module(f"{__name__}.{where}").add_to(app, **options)
    return app


def _whole() -> None:
    """Nothing is done for all commands alike."""


def main() -> None:
    """Run the command line."""
    journal.set_up(sys.stderr, level=logging.WARNING)
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except _EXPECTED as error:
        Console(stderr=True).print(f"[red]✗[/red] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
