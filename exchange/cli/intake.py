"""`qingqiao intake`: take in what agencies sent, and say what became of every row."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from connectors import reading
from connectors.intake import Intake
from exchange import consents
from exchange.cli.context import console, opened
from exchange.home import Home
from registry import clock

_Where = Annotated[list[Path], typer.Argument(help="Files, or folders of files.", exists=True)]
_Consents = Annotated[Path | None, typer.Option("--consents", help="Consent register to record first (授权台账).")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write what became of every row here, as JSON.")]
_AsOf = Annotated[str | None, typer.Option("--as-of", help="Sandbox only: take the files in as on this day, as 2026-06-15.")]


def add_to(app: typer.Typer, *, with_as_of: bool) -> None:
    """Add the command; in production without `--as-of`."""
    app.command("intake")(_with_as_of if with_as_of else _today)


def _today(where: _Where, consents_file: _Consents = None, report: _Report = None) -> None:
    """Take in agencies' files; the same files with the same consents again change nothing."""
    _run(where, consents_file, report, clock.beijing_day(clock.now()))


def _with_as_of(where: _Where, consents_file: _Consents = None, report: _Report = None, as_of: _AsOf = None) -> None:
    """Take in agencies' files; the same files with the same consents again change nothing."""
    try:
        day = date.fromisoformat(as_of) if as_of else clock.beijing_day(clock.now())
    except ValueError as error:
        raise typer.BadParameter("a day is written 2026-06-15", param_hint="--as-of") from error
    _run(where, consents_file, report, day)
