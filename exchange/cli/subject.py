"""`qingqiao subject`: what becomes known of who somebody is, on an office's document: another number, a death."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from exchange import subjects
from exchange.cli.context import console, opened
from registry.errors import IdentifierTaken, MalformedIdentifier, SubjectUnknown
from registry.identifiers import CreditCode, Identifier, ResidentId
from registry.suites import sha256

Found = TypeVar("Found")
_SUBJECT = typer.Typer(help="Subjects (主体): a changed identifier, a death.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_SUBJECT, name="subject")


_HIDDEN = "Asked for when not given, so that it stays out of the shell's history."
_Document = Annotated[Path, typer.Option(help="The office's document; only its hash is kept.", exists=True)]


@_SUBJECT.command("change-id")
def change_id(
    document: _Document,
    old: Annotated[str, typer.Option(prompt="Identifier of before", hide_input=True, help=_HIDDEN)],
    new: Annotated[str, typer.Option(prompt="Identifier from now on", hide_input=True, help=_HIDDEN)],
) -> None:
    """Let a subject go by another identifier: consents, records and history stay its own."""
    was, now = _identifier(old, "--old"), _identifier(new, "--new")
    proof = sha256(document.read_bytes())
    with opened() as home:
        _done(lambda: subjects.renumber(home, was, now, document_sha256=proof, actor="operator"))
    console.print("[green]✓[/green] it goes by the new identifier; files under the old one still find it")


@_SUBJECT.command()
def deceased(
    document: _Document,
    identifier: Annotated[str, typer.Option(prompt="Resident id", hide_input=True, help=_HIDDEN)],
) -> None:
    """Note that a person has died: what stands of its consents ends, and nobody consents for it any more."""
    who, proof = _identifier(identifier, "--identifier"), sha256(document.read_bytes())
    with opened() as home:
        ended = _done(lambda: subjects.note_death(home, who, document_sha256=proof, actor="operator"))
    console.print(f"[green]✓[/green] noted; {ended} consents have ended")


def _done(act: Callable[[], Found]) -> Found:
    try:
        return act()
    except (SubjectUnknown, IdentifierTaken) as refused:
        console.print(f"[yellow]refused[/yellow] {refused}")
        raise typer.Exit(1) from None


def _identifier(text: str, option: str) -> Identifier:
    for parse in (ResidentId.parse, CreditCode.parse):
        with suppress(MalformedIdentifier):
            return parse(text)
    raise typer.BadParameter("neither a resident id nor a credit code", param_hint=option)
