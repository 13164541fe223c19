"""`qingqiao officer`: who lets lenders in. Keys are made where their owners sit; here only the public halves stand."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from exchange.admission import officers, settling
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, Matter
from exchange.admission.officers import CODE, OfficerKey, Role
from exchange.cli.context import console, opened
from registry import clock
from registry.keyfiles import write_private

_OFFICER = typer.Typer(help="负责人 / officers: two persons let a lender in.", no_args_is_help=True)
_COLUMNS = ("officer", "role", "key", "since", "ended")
_Code = Annotated[str, typer.Argument(help="The person's code in the staff list, as o-1017; no name.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_OFFICER, name="officer")


@_OFFICER.command("make-key")
def make_key(
    code: _Code,
    out: Annotated[Path, typer.Option(help="Where to write the private key; only you may read it.")],
    public: Annotated[Path, typer.Option(help="Where to write the public half, which is registered.")],
) -> None:
    """Make an officer's key pair (Ed25519). Nothing else of the installation is touched."""
    if not CODE.fullmatch(code):
        raise NotApproved("an officer's code is 2 to 64 of A-Z a-z 0-9 . _ -, as the staff list has it; no name")
    if out.exists():
        raise typer.BadParameter("there is a file already", param_hint="--out")
    made = OfficerKey.make(code)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_private(out, made.written())
    public.write_bytes(orjson.dumps(made.public_jwk, option=orjson.OPT_INDENT_2))
    console.print(f"[green]✓[/green] {escape(str(out))}, {escape(str(public))}")


@_OFFICER.command()
def add(
    code: _Code,
    role: Annotated[Role, typer.Option(help="What the officer answers for.")],
    jwk: Annotated[Path, typer.Option(help="The public half of the officer's key.")],
) -> None:
    """Register an officer. Once each role has one, two officers decide of any further: qingqiao lender requests."""
    try:
        said = orjson.loads(jwk.read_bytes())
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter("no JSON", param_hint="--jwk") from error
    officers.read_public(said)
    content = {"officer_id": code, "role": role.value, "jwk": {name: str(value) for name, value in said.items()}}
    _change(Kind.OFFICER_ADD, code, content)


@_OFFICER.command()
def end(code: _Code) -> None:
    """End an officer; two officers decide of it, and the last of a role is not ended."""
    _change(Kind.OFFICER_END, code, {"officer_id": code})


@_OFFICER.command("list")
def listing() -> None:
    """List officers, those that ended too."""
    with opened() as home, home.database.transaction() as tx:
        found = officers.listed(tx)
    table = Table(*_COLUMNS)
    for code, role, thumbprint, since, ended in found:
        until = "" if ended is None else f"{ended:%Y-%m-%d}"
        table.add_row(escape(code), role, thumbprint[:12], f"{since:%Y-%m-%d}", until)
    console.print(table)


def _change(kind: Kind, code: str, content: dict[str, Any]) -> None:
    with opened() as home, home.database.transaction() as tx:
        matter: Matter | None = settling.change_officers(tx, kind, code, content, now=clock.now())
    if matter is None:
        console.print(f"[green]✓[/green] {escape(code)}")
    else:
        console.print(f"[yellow]waits for two officers[/yellow] qingqiao lender requests {matter.matter_id}")
