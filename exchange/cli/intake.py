"""`qingqiao intake`: take in what agencies sent, and say what became of every row."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from connectors import report as reports
from exchange import consent_registers
from exchange.cli.context import console, opened
from exchange.garbage import spare_the_collector
from exchange.jobs import intake_of
from registry import clock

_Where = Annotated[list[Path], typer.Argument(help="Files, or folders of files.", exists=True)]
_Consents = Annotated[Path | None, typer.Option("--consents", help="Consent register to record first (授权台账).")]
_Report = Annotated[Path | None, typer.Option("--report", help="Write what became of every row here, as JSON.")]
_AsOf = Annotated[str | None, typer.Option("--as-of", help="Sandbox only: the day to take them in on, as 2026-06-15.")]


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


def _run(where: list[Path], consents_file: Path | None, report: Path | None, as_of: date) -> None:
    said: dict[str, Any] = {}
    with opened() as home:
        if consents_file is not None:
            register = consent_registers.read_register(_beside(consents_file, where).read_bytes())
            said["consents"] = len(consent_registers.import_register(home, register, actor="operator").rows)
            recipients = {row["被授权机构"] for row in register}
            said["lender"] = recipients.pop() if len(recipients) == 1 else None
        spare_the_collector()
        taken = intake_of(home).run(where, as_of=as_of)
        said |= reports.report([one.outcome for one in taken], as_of=as_of)
    _show(said["files"])
    console.print(f"{sum(one.changed for one in taken)} of {len(taken)} tables changed something")
    if report is not None:
        report.write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        console.print(f"[green]✓[/green] {escape(str(report))}")


def _beside(file: Path, where: list[Path]) -> Path:
    """Find a register by its name in a folder of files too, as agencies send them together."""
    found = [one for one in (file, *(folder / file for folder in where if folder.is_dir())) if one.is_file()]
    if not found:
        raise typer.BadParameter("no such file, here or in the folder of files", param_hint="--consents")
    return found[0]


def _show(files: dict[str, dict[str, Any]]) -> None:
    for name, entry in files.items():
        console.print(f"[bold]{escape(name)}[/bold]")
        if "blocked" in entry:
            console.print(f"  [yellow]blocked[/yellow] {escape(str(entry['blocked']))}: nothing of it was taken in")
            continue
        outcomes = ("accepted", "warned", "quarantined", "rejected")
        console.print(f"  {entry['rows']} rows: " + ", ".join(f"{entry[name]} {name}" for name in outcomes))
        codes = {code: n for key, held in entry.items() if key.endswith("_codes") for code, n in held.items()}
        if codes:
            console.print("  " + ", ".join(f"{code} {n}" for code, n in sorted(codes.items())))
