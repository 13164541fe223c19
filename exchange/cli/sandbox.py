"""`qingqiao sandbox`: agencies that speak REST, SQL and SFTP on this machine, and a lender's account, for integrators.

`up` starts them and serves until Ctrl-C; `--write-feeds` also connects this installation to them. `fault`, `mend` and
`advance` speak to a running one: its control address and token lie in `<home>/sandbox/control.json`, readable to
its owner only. `lender` makes a lender's system with people for every outcome (`exchange.cli.lending`). A production
home is refused: made-up data must not come near it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Annotated

import orjson
import typer
import yaml
from rich.markup import escape
from rich.table import Table

from connectors.credentials import Credentials
from exchange.cli import lending
from exchange.cli.context import console, opened, read_mode, settings
from exchange.home import Home, Mode
from registry import clock
from registry.embedded import EmbeddedPostgres
from registry.keyfiles import read_private, write_private
from sandbox.agencies.control import Control, NotDone, controlled
from sandbox.agencies.running import Running, running
from sandbox.outcomes import table
from sandbox.people import FEWEST_HOUSEHOLDS, settle
from sandbox.register import register

_SANDBOX = typer.Typer(help="Made-up agencies that speak REST, SQL and SFTP.", no_args_is_help=True)
_SEED = 7  # the province of the demo, so that files and systems tell of the same people

_Agency = Annotated[str, typer.Argument(help="sanzi, subsidy or rating.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_SANDBOX, name="sandbox")


@_SANDBOX.command()
def up(
    households: Annotated[int, typer.Option(min=FEWEST_HOUSEHOLDS, max=5000, help="How many households.")] = 300,
    faults: Annotated[str, typer.Option(help="Faults on from the start: sanzi:busy,subsidy:slow")] = "",
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: at Ctrl-C.")] = 0,
    write_feeds: Annotated[bool, typer.Option("--write-feeds", help="Connect this installation to them.")] = False,
) -> None:
    """Start the three agencies and serve until Ctrl-C."""
    _refuse_production()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    chosen = settings()
    with agencies(chosen.home / "sandbox", households=households) as (agency, control):
        for one in filter(None, faults.split(",")):
            name, _, fault = one.strip().partition(":")
            _done(partial(control.switch_on, name, fault))
        if write_feeds:
            with opened() as home:
                connect(home, agency, chosen.home / "feeds")
            console.print(f"[green]✓[/green] {len(agency.feeds)} feeds in {escape(str(chosen.home / 'feeds'))}")
        _show(agency, chosen.home / "sandbox", with_feeds=not write_feeds)
        stop.wait(seconds or None)


@_SANDBOX.command()
def lender() -> None:
    """Make a lender's account with one made-up person for each outcome of a question; again, only what is missing."""
    _refuse_production()
    known = table()
    with opened() as home:
        account = lending.provide(home, settings().home / "sandbox", known)
    shown = Table("person", "resident id", "outcome", "说明", "in English")
    for one in known.outcomes:
        shown.add_row(one.name, one.identifier, one.expect, one.zh, one.en)
    console.print(shown)
    console.print(f"[green]✓[/green] {escape(known.lender)}: {len(known.outcomes)} people, {account.arranged} arranged")
    console.print(f"  client  {escape(known.client_id)}\n  key     {escape(str(account.key))}", soft_wrap=True)
    console.print(f"  trust   {escape(str(account.trust))}", soft_wrap=True)


@_SANDBOX.command()
def fault(
    agency: _Agency,
    name: Annotated[str, typer.Argument(help="Which fault, as slow (docs/sandbox.md); all for every one.")],
    times: Annotated[int | None, typer.Option(min=1, help="On how many occasions; without it until mended.")] = None,
    amount: Annotated[float | None, typer.Option(min=0, help="Seconds, bytes or share; what it means: docs.")] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="In what share of occasions.")] = None,
) -> None:
    """Switch a fault on in a running sandbox."""
    _done(lambda: _control().switch_on(agency, name, times=times, amount=amount, share=share))
    console.print(f"[yellow]![/yellow] {escape(agency)}: {escape(name)} is on")


@_SANDBOX.command()
def mend(agency: _Agency, name: Annotated[str, typer.Argument(help="Which fault; without it all.")] = "all") -> None:
    """Switch a fault off in a running sandbox."""
    _done(lambda: _control().switch_off(agency, name))
    console.print(f"[green]✓[/green] {escape(agency)}: {escape(name)} is off")


@_SANDBOX.command()
def advance(agency: _Agency, count: Annotated[int, typer.Argument(min=1, help="How many things change.")] = 3) -> None:
    """Let things change at an agency: corrections, new payments, new results."""
    _done(lambda: _control().advance(agency, count))
    console.print(f"[green]✓[/green] {escape(agency)}: {count} changed")


@contextmanager
def agencies(folder: Path, *, households: int) -> Iterator[tuple[Running, Control]]:
    """Start the agencies with a PostgreSQL of their own under the folder, and write down how they are controlled."""
    folder.mkdir(parents=True, exist_ok=True)
    province = settle(seed=_SEED, households=households, as_of=clock.beijing_day(clock.now()))
    register(province.households, as_of=province.as_of, seed=_SEED).write(folder)
    written = folder / "control.json"
    with (
        EmbeddedPostgres(folder, prefer=settings().postgres) as postgres,
        running(province, postgres.url, seed=_SEED) as agency,
        controlled(agency.agencies) as control,
    ):
        write_private(written, orjson.dumps(control.held))
        try:
            yield agency, control
        finally:
            written.unlink(missing_ok=True)


def connect(home: Home, agency: Running, folder: Path) -> None:
    """Write the agencies' feeds into a folder, and keep their credentials in the home."""
    folder.mkdir(parents=True, exist_ok=True)
    credentials = Credentials(home.database, home.sealing)
    for code, feed in agency.feeds.items():
        (folder / f"{code}.yml").write_text(yaml.safe_dump(feed, allow_unicode=True, sort_keys=False), encoding="utf-8")
        credentials.set(code, agency.credentials[code], now=clock.now())


def _show(agency: Running, folder: Path, *, with_feeds: bool) -> None:
    for name, address in agency.addresses.items():
        known = ", ".join(sorted(one.value for one in agency.agencies[name].faults.known))
        console.print(f"[bold]{name}[/bold]  {escape(address)}\n    faults: {known}", soft_wrap=True)
    console.print(f"people's consents: {escape(str(next(folder.glob('授权台账_*.csv'))))}", soft_wrap=True)
    if with_feeds:
        console.print("--write-feeds connects this installation to them", style="dim")
    console.print("Ctrl-C ends it")


def _control() -> Control:
    return Control.of(orjson.loads(read_private(settings().home / "sandbox" / "control.json")))


def _done(act: Callable[[], object]) -> None:
    try:
        act()
    except NotDone as error:
        raise typer.BadParameter(str(error)) from None


def _refuse_production() -> None:
    if read_mode() is Mode.PRODUCTION:
        raise typer.BadParameter("this home is a production installation; take another (QINGQIAO_HOME)")
