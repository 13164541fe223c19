"""`qingqiao lender requests`, `approve`, `refuse`, `trial` and `add-trial`: what waits for two officers.

An officer looks at a matter with `requests ID`, which shows its digest, and says yes or no with its own key to exactly
that digest. What is decided is decided by `exchange.admission`; a key file is read, never kept.
"""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from exchange.admission import matters, settling, trials
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, Matter, Reason, State
from exchange.admission.officers import Decision, OfficerKey
from exchange.cli.context import console, opened
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock
from registry.database import Transaction
from registry.keyfiles import read_private, write_private
from registry.trust import TrustPolicy

_COLUMNS = ("id", "kind", "organisation", "since", "ready", "approved by")
_Id = Annotated[UUID, typer.Argument(help="As `qingqiao lender requests` shows it.")]
_Key = Annotated[Path, typer.Option("--key", help="Your officer's key file, from `qingqiao officer make-key`.")]
_Digest = Annotated[str, typer.Option(help="The digest that `requests ID` showed you.")]


def add_to(lender: typer.Typer) -> None:
    """Add the commands to `qingqiao lender`."""
    lender.command("requests")(requests)
    lender.command("approve")(approve)
    lender.command("refuse")(refuse)
    lender.command("trial")(trial)
    lender.command("add-trial")(add_trial)


def requests(
    matter_id: Annotated[UUID | None, typer.Argument(help="Show this one whole, with its digest.")] = None,
) -> None:
    """List what waits for two officers, or show one matter whole."""
    with opened() as home, home.database.transaction() as tx:
        if matter_id is not None:
            typer.echo(orjson.dumps(_whole(tx, matter_id), option=orjson.OPT_INDENT_2).decode())
            return
        table = Table(*_COLUMNS)
        for one in matters.waiting(tx):
            by = ", ".join(f"{given.officer_id} ({given.role.value})" for given in matters.approvals(tx, one))
            shown = (
                str(one.matter_id),
                one.kind.value,
                one.organisation,
                f"{one.opened_at:%Y-%m-%d}",
                _ready(home, one),
            )
            table.add_row(*(escape(said) for said in (*shown, by)))
    console.print(table)


def approve(matter_id: _Id, key: _Key, digest: _Digest) -> None:
    """Say yes, signed with your key, to the matter as you saw it; the second yes, of the other role, carries it out."""
    with opened() as home:
        now, statement = clock.now(), _said(home, key, Decision.APPROVE, matter_id, digest)
        with home.database.transaction() as tx:
            matter = settling.approve(home, tx, matter_id, statement, now=now)
    if matter.state is State.APPROVED:
        console.print(f"[green]✓[/green] carried out {escape(matter.client_id or matter.organisation)}")
    else:
        console.print("[green]✓[/green] approved; an officer of the other role has still to agree")


def refuse(
    matter_id: _Id,
    key: _Key,
    digest: _Digest,
    reason: Annotated[Reason, typer.Option(help="The lender reads it.")],
    *,
    returned: Annotated[bool, typer.Option("--returned", help="The lender may mend it and ask again.")] = False,
) -> None:
    """Say no, signed with your key; one officer's no is enough."""
    with opened() as home:
        now, statement = clock.now(), _said(home, key, Decision.REFUSE, matter_id, digest)
        with home.database.transaction() as tx:
            settling.refuse(home, tx, matter_id, statement, reason, returned=returned, now=now)
    console.print(f"[green]✓[/green] {'returned' if returned else 'refused'}: {reason.value}")


def trial(
    client_id: Annotated[str, typer.Argument(help="Which system of this sandbox.")],
    out: Annotated[Path, typer.Option(help="Where to write the signed statement.")],
) -> None:
    """Say, signed, that a system has gone the listed steps in this sandbox; production asks for it."""
    with opened() as home, home.database.transaction() as tx:
        write_private(out, trials.stated(home, tx, client_id, now=clock.now()).encode())
    console.print(f"[green]✓[/green] {escape(str(out))}")


def add_trial(
    matter_id: _Id,
    file: Annotated[Path, typer.Option("--file", help="From `qingqiao lender trial` of the sandbox.")],
    trust: Annotated[Path, typer.Option(help="The sandbox's trust policy: `qingqiao keys policy` there.")],
) -> None:
    """Put a trial beside a registration; it has another digest then, and what was approved before counts no more."""
    try:
        policy = TrustPolicy.parse(trust.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--trust") from error
    now = clock.now()
    with opened() as home, home.database.transaction() as tx:
        matter = matters.held(tx, matter_id)
        if matter.kind is not Kind.REGISTRATION:
            raise NotApproved("a trial belongs to a registration")
        names = {*matter.content["thumbprints"], matter.content["signed_by"]}
        statement = file.read_text("ascii").strip()
        shown = trials.read(statement, policy, organisation=matter.organisation, thumbprints=names, now=now)
        changed = matters.change(tx, matter, matter.content | {"trial": shown}, actor="operator", now=now)
    console.print(f"[green]✓[/green] {escape(shown['origin'])}; digest {changed.digest.hex()}")


def _said(home: Home, key: Path, decision: Decision, matter_id: UUID, digest: str) -> str:
    try:
        looked_at = bytes.fromhex(digest)
    except ValueError as error:
        raise typer.BadParameter("64 hexadecimal digits", param_hint="--digest") from error
    mine = OfficerKey.parse(read_private(key))
    return mine.say(decision, matter_id, looked_at, issuer=home.settings.issuer, now=clock.now())


def _ready(home: Home, matter: Matter) -> str:
    try:
        settling.refuse_unready(home, matter)
    except NotApproved as wanting:
        return str(wanting)
    return "yes"


def _whole(tx: Transaction, matter_id: UUID) -> dict[str, object]:
    matter = matters.get(tx, matter_id)
    if matter is None:
        raise NotApproved("no matter has this id; see: qingqiao lender requests")
    return {
        "id": str(matter.matter_id),
        "kind": matter.kind.value,
        "state": matter.state.value,
        "organisation": matter.organisation,
        "has_systems_already": clients.knows(tx, matter.organisation, Role.LENDER),
        "digest": matter.digest.hex(),
        "approved_by": [[one.officer_id, one.role.value] for one in matters.approvals(tx, matter)],
        "content": matter.content,
    }
