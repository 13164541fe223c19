"""`qingqiao feed`: what this installation is connected to, seen, tried and run by hand.

A credential is read from standard input and shown nowhere. `check` takes nothing in and asks about nobody. A run goes
through the same fence as the scheduled ones (`exchange.feeds`), and what it brings is told as counts and codes. By hand
a source is asked even if it is being left alone because it failed, and it is said that this is its trial.
"""

import sys
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from connectors import collecting, health, runs
from connectors.breaker import Breaker
from connectors.credentials import LONGEST_BYTES, Credentials
from connectors.feed import Feed, feeds
from exchange.cli.context import console, opened
from exchange.feeds import FeedRuns, NotRun
from exchange.home import Home
from exchange.jobs import collect_feed, intake_of
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
        found, now = _feeds(home), clock.now()
        with home.database.transaction() as tx:
            standing = runs.all_standing(tx, now=now)
            positions = {name: collecting.position_of(tx, name) for name in found}
        for name, feed in found.items():
            position = positions[name]
            state = (standing[name].breaker if name in standing else Breaker()).state(now)
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
    """Run a feed once, now, in this process: never twice at once, and not in its quiet hours."""
    with opened() as home:
        try:
            ended = FeedRuns(home, collect_feed).run_now(name, on_trial=_say_trial)
        except NotRun as error:
            raise typer.BadParameter(str(error)) from None
    if ended.error is not None:
        said = health.words(ended.error)
        console.print(f"[red]✗[/red] {escape(f'{name}: {ended.error} {said.zh} / {said.en}')}")
        raise typer.Exit(1)
    console.print(f"[green]✓[/green] {escape(name)}: {ended.files} files, {ended.rows} rows, {ended.bytes} bytes")


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


def _say_trial(failures: int, until: datetime) -> None:
    console.print(
        f"[yellow]![/yellow] 已失败 {failures} 次，原定 {until.astimezone(clock.BEIJING):%Y-%m-%d %H:%M} 前不再访问；"
        "本次手动运行为试探，成功即恢复 (left alone until then; this run is its trial, and a success ends the rest)"
    )


def _feeds(home: Home) -> dict[str, Feed]:
    return feeds(home.settings.home / "feeds")


def _feed(home: Home, name: str) -> Feed:
    found = _feeds(home).get(name)
    if found is None:
        raise typer.BadParameter(f"no feed of this name; it would be {home.settings.home / 'feeds' / name}.yml")
    return found
