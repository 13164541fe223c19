"""`qingqiao jobs`: run the scheduled jobs, and look after the feeds that they run."""

import signal
from threading import Event

import typer
from rich.markup import escape
from rich.table import Table

from exchange import feeds, journal, reweighing, sources
from exchange.cli import feed
from exchange.cli.context import console, opened
from exchange.feeds import FeedFiles, NotRun
from exchange.jobs import Jobs
from registry import clock

_JOBS = typer.Typer(help="Run the scheduled jobs until Ctrl-C; or look after feeds (数据接入).")
_COLUMNS = ("feed", "agency", "state", "last good", "next due", "error")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_JOBS, name="jobs", invoke_without_command=True)


@_JOBS.callback(invoke_without_command=True)
def jobs(context: typer.Context) -> None:
    """Run the scheduled jobs until Ctrl-C; of several such processes one leads."""
    if context.invoked_subcommand is not None:
        return
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    journal.set_up()
    with opened() as home:
        Jobs(home).run_forever(stop)


@_JOBS.command("list")
def list_() -> None:
    """List the feeds: how they fare, when they last brought something good, when they are due. Times are Beijing's."""
    with opened() as home:
        now, files = clock.now(), FeedFiles(home.settings.home / feeds.FOLDER)
        files.read()
        with home.database.transaction() as tx:
            files.declare(tx, now=now)
            found = [one for one in sources.states(tx, at=now) if one.feed is not None]
    table = Table(*_COLUMNS)
    for one in found:
        times = [f"{at.astimezone(clock.BEIJING):%Y-%m-%d %H:%M}" if at else "" for at in (one.last_good, one.next_due)]
        table.add_row(*(escape(said or "") for said in (one.feed, one.agency, one.state, *times, one.error)))
    console.print(table)
    for text in files.refused.values():
        console.print(f"[red]✗[/red] {escape(text)}")


_JOBS.command("run")(feed.run)


@_JOBS.command()
def pause(name: str = typer.Argument(help="Which feed.")) -> None:
    """Pause a feed until it is resumed; a run that is on goes to its end."""
    _switch(name, on=False)


@_JOBS.command()
def resume(name: str = typer.Argument(help="Which feed.")) -> None:
    """Let a paused feed run again; what it missed is caught up once."""
    _switch(name, on=True)


@_JOBS.command()
def reweigh() -> None:
    """Weigh all open files again now, whether or not it is time. The log tells no more by it."""
    with opened() as home:
        changed = reweighing.weigh_all(home, actor="operator")
    console.print(f"{changed} 个批次有变化 / batches have changed")


def _switch(name: str, *, on: bool) -> None:
    with opened() as home:
        try:
            act = feeds.resume if on else feeds.pause
            done = act(home, name, by="operator", now=clock.now())
        except NotRun as error:
            raise typer.BadParameter(str(error)) from None
    state = "runs" if on else "is paused"
    console.print(f"[green]✓[/green] {escape(name)} {state}" + ("" if done else " (nothing to change)"))
