"""`qingqiao lender take`, `requests`, `approve`, `refuse`, `trial` and `add-trial`: what waits for two officers.

An officer looks at a matter with `requests ID`, which shows its digest, and says yes or no with its own key to exactly
that digest. What is decided is decided by `exchange.admission`; a key file is read, never kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from exchange.admission import arriving, matters, registration, settling, trials
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, Matter, Reason, State
from exchange.admission.officers import Decision, OfficerKey
from exchange.cli.context import console, opened
from exchange.home import Home, Mode
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
    lender.command("take")(take)
    lender.command("requests")(requests)
    lender.command("approve")(approve)
    lender.command("refuse")(refuse)
    lender.command("trial")(trial)
    lender.command("add-trial")(add_trial)


def ask_officers(tx: Transaction, kind: Kind, client_id: str, said: Mapping[str, Any]) -> None:
    """Open a matter about a lender's system for two officers, and say so."""
    found = tx.execute(
        "SELECT organisation FROM client WHERE client_id = %s AND role = %s", (client_id, Role.LENDER.value)
    ).fetchone()
    if found is None:
        raise typer.BadParameter("no lender's system of this id is registered")
    content: dict[str, Any] = {"client_id": client_id, **said}
    say_waits(matters.open_(tx, kind, str(found[0]), content, client_id=client_id, now=clock.now()))


def say_waits(matter: Matter) -> None:
    """Say which matter waits."""
    console.print(f"[yellow]waits for two officers[/yellow] qingqiao lender requests {matter.matter_id}")


def take(
    file: Annotated[Path, typer.Argument(help="The signed body that `POST /v1/registrations` takes, as JSON.")],
) -> None:
    """Take a request to be registered that was handed in as a file: for when the open door is full or flooded."""
    try:
        body = orjson.loads(file.read_bytes())
        request, proofs = str(body["request"]), [str(one) for one in body.get("proofs", [])]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise typer.BadParameter('JSON with "request" and "proofs"') from error
    now = clock.now()
    with opened() as home, home.database.transaction() as tx:
        sandbox = home.installation.mode is Mode.SANDBOX
        issuer = home.settings.issuer
        asked = registration.read(request, proofs, issuer=issuer, sandbox=sandbox, now=now, by_hand=True)
        matter = arriving.keep(tx, asked, by_hand=True, now=now)
    console.print(f"[green]✓[/green] qingqiao lender requests {matter.matter_id}")


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
                _ready(home, tx, one),
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


def _ready(home: Home, tx: Transaction, matter: Matter) -> str:
    try:
        settling.refuse_unready(home, tx, matter)
    except NotApproved as wanting:
        return str(wanting)
    return "yes"


def _whole(tx: Transaction, matter_id: UUID) -> dict[str, object]:
    matter = matters.get(tx, matter_id)
    if matter is None:
        raise NotApproved("no matter has this id; see: qingqiao lender requests")
    matters.refuse_altered(matter)  # nobody is shown one thing and signs another
    registers = matter.kind is Kind.REGISTRATION
    other_codes, other_names = settling.known_otherwise(tx, matter.content) if registers else ([], [])
    return {
        "id": str(matter.matter_id),
        "kind": matter.kind.value,
        "state": matter.state.value,
        "organisation": matter.organisation,
        "has_systems_already": clients.knows(tx, matter.organisation, Role.LENDER),
        "credit_codes_of_this_name": other_codes,
        "names_of_this_credit_code": other_names,
        "digest": matter.digest.hex(),
        "approved_by": [[one.officer_id, one.role.value] for one in matters.approvals(tx, matter)],
        "content": matter.content,
    }
