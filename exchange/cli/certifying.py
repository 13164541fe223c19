"""`qingqiao lender certificate`: by which client certificate a lender's system may prove itself (RFC 8705)."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from exchange.cli.context import console, opened
from exchange.events import Event
from exchange.oauth import certificates, clients
from registry import clock, log
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
    """Say which certificate a lender's system shows, or that it shows none; what stood before is replaced."""
    try:
        given = [read_pem_certificate(path.read_bytes()) for path in files or ()]
        row = certificates.as_row(given, by_subject=by_subject) if given else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error
    with opened() as home, home.database.transaction() as tx:
        if not clients.set_certificate(tx, client_id, row):
            raise typer.BadParameter("no lender's system of this id is registered")
        fields: dict[str, Any] = {"client_id": client_id, "method": row and row["method"]}
        log.append(tx, [log.Entry(Event.CLIENT_CERTIFICATE_SET, at=clock.now(), actor="operator", fields=fields)])
    console.print(f"[green]✓[/green] {escape(client_id)}: {row['method'] if row else 'private_key_jwt alone'}")
