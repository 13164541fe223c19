"""`qingqiao feed`: what this installation is connected to, seen, tried and run by hand.

A credential is read from standard input and shown nowhere. `check` takes nothing in and asks about nobody. What a run
brings is told as counts and codes.
"""

import sys
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape

from connectors import collecting
from connectors.collecting import PeopleOf
from connectors.credentials import LONGEST_BYTES, Credentials
from connectors.feed import Feed, feeds
from exchange.cli.context import console, opened
from exchange.home import Home
from exchange.jobs import intake_of
from exchange.release.collecting import people_for
from registry import clock

_Name = Annotated[str, typer.Argument(help="The feed's code, which is its file's name in <home>/feeds/.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Feeds: what this installation fetches from agencies.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("check")(check)
    group.command("run")(run)
    group.command("credential")(credential)
    group.command("forget")(forget)
    app.add_typer(group, name="feed")


def list_() -> None:
    """List the feeds, with how far each has been read."""
    with opened() as home:
        kept = Credentials(home.database, home.sealing)
        found = _feeds(home)
        for name, feed in found.items():
            with home.database.transaction() as tx:
                position = collecting.position_of(tx, name)
                state = collecting.breaker_of(tx, name).state(clock.now())
            secret = "-" if not feed.transport.needs_secret else "set" if kept.set_at(name) else "missing"
            files = feed.transport.kind in {"sftp", "folder"}  # read file by file: they have no watermark
            read = "-" if files else "never read" if position is None else f"read since {position[1]:%Y-%m-%d}"
            console.print(
                f"[bold]{escape(name)}[/bold]  {feed.transport.kind}  {escape(feed.source)}  {escape(feed.agency)}"
                f"  credential {secret}  {state.value}  {read}"
            )
        if not found:
            console.print(f"no feeds: none lies in {escape(str(home.settings.home / 'feeds'))}")


def check(name: _Name) -> None:
    """Connect to a feed's source and say what is seen; nothing is taken in."""
    with opened() as home:
        feed = _feed(home, name)
        kept = Credentials(home.database, home.sealing)
        sight = collecting.check(intake_of(home), feed, credentials=kept, now=clock.now())
        console.print(f"[green]✓[/green] {escape(sight.reached)}")
        if feed.transport.kind in {"sftp", "folder"}:
            console.print(f"  {sight.files} files to take in")
        else:
            console.print(f"  {sight.rows} rows looked at; columns as declared: {escape(', '.join(sight.columns))}")
        for fault in sight.faults:
            console.print(f"  [yellow]{fault}[/yellow]")


def run(name: _Name) -> None:
    """Run a feed once, now."""
    with opened() as home:
        feed = _feed(home, name)
        now = clock.now()
        kept = Credentials(home.database, home.sealing)
        done = collecting.collect(
            intake_of(home), feed, credentials=kept, people=people_of(home, feed), now=now, as_of=clock.beijing_day(now)
        )
        console.print(f"{done.files} documents, {done.rows} rows, {done.bytes} bytes, {done.taken} tables")
        if done.error:
            console.print(f"[yellow]{done.error}[/yellow]: it is asked for again, or see qingqiao intake's report")
            raise typer.Exit(1)


def credential(
    name: _Name, *, erase: Annotated[bool, typer.Option("--erase", help="Destroy it instead.")] = False
) -> None:
    """Set a feed's credential: a password, a secret or a private key, read from standard input."""
    with opened() as home:
        _feed(home, name)
        kept = Credentials(home.database, home.sealing)
        if erase:
            console.print("destroyed" if kept.erase(name, now=clock.now()) else "there was none")
            return
        text = sys.stdin.read(LONGEST_BYTES + 1)
        if "PRIVATE KEY" not in text:
            text = text.strip("\r\n")  # what ends a typed line is no part of a password
        try:
            kept.set(name, text, now=clock.now())
        except ValueError as error:
            raise typer.BadParameter("nothing, or too much, came on standard input") from error
        console.print("[green]✓[/green] kept, sealed; the one before is destroyed")


def forget(name: _Name) -> None:
    """Forget how far a feed has been read: its next run reads everything from the beginning."""
    with opened() as home:
        _feed(home, name)
        with home.database.transaction() as tx:
            collecting.forget(tx, name)


def people_of(home: Home, feed: Feed) -> PeopleOf:
    """Give the function that tells a feed whom it may ask about, logged as told to its agency."""
    return partial(people_for, home, actor=feed.agency, at=clock.beijing_day(clock.now()))


def _feeds(home: Home) -> dict[str, Feed]:
    return feeds(home.settings.home / "feeds")


def _feed(home: Home, name: str) -> Feed:
    found = _feeds(home).get(name)
    if found is None:
        raise typer.BadParameter(f"no feed of this name; it would be {home.settings.home / 'feeds' / name}.yml")
    return found
