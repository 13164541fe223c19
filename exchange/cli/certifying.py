"""`qingqiao lender certificate`: by which client certificate a lender's system may prove itself (RFC 8705)."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exchange.admission import settling
from exchange.admission.matters import Kind
from exchange.cli import admitting
from exchange.cli.context import console, opened
from exchange.home import Mode
from exchange.oauth import certificates
from registry import clock
from registry.suites.certificates import read_pem_certificate


def add_to(lender: typer.Typer) -> None:
    """Add the command to `qingqiao lender`."""
    lender.command("certificate")(certificate)


def certificate(
    client_id: Annotated[str, typer.Argument(help="Which system of the lender.")],
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="PEM, one certificate each; without any, none.", exists=True)
    ] = None,
    *,
    by_subject: Annotated[
        bool, typer.Option("--by-subject", help="Any certificate of this subject that the proxy's authority issued.")
    ] = False,
) -> None:
    """Say which certificate a lender's system shows, or none; in production two officers decide of one."""
    try:
        given = [read_pem_certificate(path.read_bytes()) for path in files or ()]
        row = certificates.as_row(given, by_subject=by_subject) if given else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error
    with opened() as home, home.database.transaction() as tx:
        if row is not None and home.installation.mode is Mode.PRODUCTION:  # whoever registers one can ask in its name
            admitting.ask_officers(tx, Kind.CERTIFICATE, client_id, {"certificate": row})
            return
        if not settling.set_certificate(tx, client_id, row, actor="operator", now=clock.now()):
            raise typer.BadParameter("no lender's system of this id is registered")
    console.print(f"[green]✓[/green] {escape(client_id)}: {row['method'] if row else 'private_key_jwt alone'}")
