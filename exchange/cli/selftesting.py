"""`qingqiao lender selftest`: the command round `exchange.cli.selftest`, and its table."""

from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from exchange.cli.context import console
from exchange.cli.selftest import Selftest, all_held
from exchange.client import Lender, TrustPolicy, client_of, read_client
from sandbox.outcomes import table

_FAILED = 1


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(selftest)


def selftest(
    url: Annotated[str, typer.Argument(help="The sandbox exchange's address, as http://127.0.0.1:8420.")],
    key: Annotated[Path, typer.Option("--key", help="Private key file, from `sandbox lender`.", exists=True)],
    client: Annotated[str | None, typer.Option("--client", help="Under which id; by default the key file's.")] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="The trust policy; by default trust.json beside the key.")
    ] = None,
) -> None:
    """Go through all that a lender's system does, against a sandbox; exit 0 if everything came as it must."""
    known = read_client(key)
    system = known if client is None else client_of(client, known.private_jwk())
    file = trust or key.with_name("trust.json")
    policy = TrustPolicy.parse(file.read_bytes()) if file.exists() else None
    with httpx.Client(timeout=30) as http, Lender(url, system, trust=policy) as lender:
        steps = Selftest(lender, http, policy, table()).run()
    shown = Table("", "step", "expected", "got", "how to mend")
    for step in steps:
        mark = "[green]✓[/green]" if step.held else "[red]✗[/red]"
        shown.add_row(mark, step.name, step.expected, escape(step.got), escape(step.mend))
    console.print(shown)
    failed = sum(not step.held for step in steps)
    if not all_held(steps):
        console.print(f"[red]✗[/red] {failed} of {len(steps)} steps did not come as they must")
        raise typer.Exit(_FAILED)
    console.print(f"[green]✓[/green] {len(steps)} steps came as they must")
