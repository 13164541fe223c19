"""`qingqiao lender`, `query`, `evidence` and `audit`: register systems, and act as one over OAuth."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from connectors import permits
from consent.parties import Contact
from consent.scope import recipient_name
from exchange.admission import matters, settling
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind
from exchange.cli import admitting, bulk, capturing, certifying, collection, selftesting, suspending, telling
from exchange.cli.context import Address, Email, Office, Phone, Web, console, opened, settings
from exchange.client import (
    Claim,
    Client,
    Connection,
    Lender,
    NotReached,
    Refused,
    Subject,
    new_client,
    read_client,
)
from exchange.errors import OutOfService
from exchange.events import Event
from exchange.home import Home, Mode
from exchange.oauth import clients, redirects
from exchange.oauth.scopes import Role, Scope
from registry import catalogue, clock, log
from registry.database import Transaction
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId
from registry.keyfiles import write_private
from sandbox.regulator import Regulator

_LENDER = typer.Typer(help="Registered systems of lenders and regulators.", no_args_is_help=True)
_System = TypeVar("_System", bound=Connection)
_BY_TWO = (
    "生产环境的贷款机构须自行申请、经两名负责人批准后登记："
    "由机构向 POST /v1/registrations 提交申请，再用 qingqiao lender requests 审批"
    " / in production a lender asks at POST /v1/registrations and two officers decide: see qingqiao lender requests"
)
_AUDIT_COLUMNS = ("at", "event", "actor", "reason", "query_id", "leaf_index")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    admitting.add_to(_LENDER)
    suspending.add_to(_LENDER)
    capturing.add_to(_LENDER)
    certifying.add_to(_LENDER)
    telling.add_to(_LENDER)
    selftesting.add_to(_LENDER)
    bulk.add_to(_LENDER)
    collection.add_to(_LENDER)
    app.add_typer(_LENDER, name="lender")
    app.command()(query)
    app.command()(evidence)
    app.command()(audit)


def register(  # what a registration states
    home: Home,
    client_id: str,
    organisation: str,
    role: Role,
    jwks: dict[str, Any],
    *,
    same_organisation: bool = False,
    scopes: Iterable[Scope] | None = None,
    sources: Collection[str] = (),
    redirect_uris: Sequence[str] = (),
    contact: Contact | None = None,
) -> None:
    """Register a system, with all scopes of its role unless fewer are given, and write it to the log.

    `sources` are what an agency may deliver from now on, besides what it may already; `redirect_uris` where a lender's
    system has people sent back to; `contact` how a lender is reached, without which its first system is refused.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        granted = clients.register(
            tx,
            client_id,
            role=role,
            organisation=organisation,
            jwks=jwks,
            scopes=scopes,
            now=now,
            same_organisation=same_organisation,
            contact=contact,
        )
        name = recipient_name(organisation)
        fields: dict[str, Any] = {"client_id": client_id, "organisation": name, "role": role.value}
        fields["scopes"] = sorted(str(scope) for scope in granted)
        log.append(tx, [log.Entry(event=Event.CLIENT_ADDED, at=now, actor="operator", fields=fields)])
        permits.permit(tx, name, sources, now=now)
        if redirect_uris:
            _redirect(tx, client_id, redirect_uris, now)
        if contact is not None:
            _note_contact(tx, name, contact, now)


@_LENDER.command()
def add(  # one parameter an option
    client_id: Annotated[str, typer.Argument(help="Short id of the system, as bank-minhe.")],
    *,
    organisation: Annotated[str, typer.Option(help="Full name, exactly as consents name it.")],
    jwks: Annotated[Path | None, typer.Option(help="Its public keys (JWK set).")] = None,
    make_key: Annotated[Path | None, typer.Option(help="Make a key pair and write the private key here.")] = None,
    role: Annotated[Role, typer.Option(help="What kind of organisation.")] = Role.LENDER,
    same_organisation: Annotated[
        bool, typer.Option("--same-organisation", help="It has a system already; this one asks on the same consents.")
    ] = False,
    redirect_uris: Annotated[
        list[str] | None,
        typer.Option("--redirect-uri", help="Where people are sent back to from the confirmation page; https."),
    ] = None,
    office: Office = "",
    phone: Phone = "",
    address: Address = "",
    email: Email = None,
    url: Web = None,
) -> None:
    """Register a lender's or regulator's system, with its own public keys or a key pair made here.

    A lender's first system needs --office, --phone and --address: people are told of them before they agree. In
    production a lender asks for itself, and two officers decide: qingqiao lender requests.
    """
    if (jwks is None) == (make_key is None):
        raise typer.BadParameter("give either --jwks FILE or --make-key FILE")
    stated = {"office": office, "phone": phone, "address": address, "email": email, "url": url}
    reached = Contact.read(stated) if any(stated.values()) else None
    with opened() as home:
        if role is Role.LENDER and home.installation.mode is Mode.PRODUCTION:
            raise NotApproved(_BY_TWO)
        if make_key is not None:
            client = new_client(client_id)
            register(
                home,
                client_id,
                organisation,
                role,
                client.jwks,
                same_organisation=same_organisation,
                redirect_uris=redirect_uris or (),
                contact=reached,
            )
            save_key(make_key, client)
        elif jwks is not None:
            keys = orjson.loads(jwks.read_bytes())
            register(
                home,
                client_id,
                organisation,
                role,
                keys,
                same_organisation=same_organisation,
                redirect_uris=redirect_uris or (),
                contact=reached,
            )
    console.print(f"[green]✓[/green] {escape(client_id)} is registered as {role.value}")


@_LENDER.command()
def redirect(
    client_id: Annotated[str, typer.Argument(help="Which system.")],
    uris: Annotated[
        list[str] | None, typer.Option("--uri", help="May be given several times; without any, none.")
    ] = None,
) -> None:
    """Say where a lender's system has people sent back to; in production two officers decide of any address."""
    given = sorted({redirects.check(uri) for uri in uris or ()})
    with opened() as home, home.database.transaction() as tx:
        if given and home.installation.mode is Mode.PRODUCTION:
            admitting.ask_officers(tx, Kind.REDIRECTS, client_id, {"redirect_uris": given})
            return
        _redirect(tx, client_id, given, clock.now())
    console.print(f"[green]✓[/green] {escape(client_id)}: {len(uris or ())}")


def _redirect(tx: Transaction, client_id: str, uris: Sequence[str], now: datetime) -> None:
    if not settling.set_redirects(tx, client_id, uris, actor="operator", now=now):
        raise typer.BadParameter("no lender's system of this id is registered")


@_LENDER.command()
def contact(
    organisation: Annotated[str, typer.Argument(help="Full name, exactly as consents name it.")],
    office: Office,
    phone: Phone,
    address: Address,
    email: Email = None,
    url: Web = None,
) -> None:
    """Say how a lender is reached; receipts keep what they say. In production two officers decide."""
    stated = Contact.read({"office": office, "phone": phone, "address": address, "email": email, "url": url})
    name, now = recipient_name(organisation), clock.now()
    with opened() as home, home.database.transaction() as tx:
        if not clients.knows(tx, name, Role.LENDER):
            raise typer.BadParameter("no lender's system of this organisation is registered")
        if home.installation.mode is Mode.PRODUCTION:  # people are told of it before they agree
            said = {"organisation": name, "contact": stated.as_json()}
            admitting.say_waits(matters.open_(tx, Kind.CONTACT, name, said, now=now))
            return
        settling.set_contact(tx, name, stated, actor="operator", now=now)
    console.print(f"[green]✓[/green] {escape(name)}")


def _note_contact(tx: Transaction, organisation: str, stated: Contact, now: datetime) -> None:
    fields: dict[str, Any] = {"organisation": organisation, "contact": stated.as_json()}
    log.append(tx, [log.Entry(event=Event.LENDER_CONTACT_STATED, at=now, actor="operator", fields=fields)])


def save_key(path: Path, client: Client) -> None:
    """Write a client's private key where only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, orjson.dumps({"client_id": client.client_id, "jwk": client.private_jwk()}))


def read_key(path: Path) -> Client:
    """Read a client back from what `save_key` wrote."""
    try:
        return read_client(path)
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--key") from None


_Key = Annotated[Path, typer.Option("--key", help="Private key file, from `lender add --make-key`.")]
_Url = Annotated[str | None, typer.Option("--url", help="The exchange's address; by default this installation's.")]


_Identifier = Annotated[
    str,
    typer.Option(
        prompt="Resident id or credit code",
        hide_input=True,
        help="Whom to ask about; asked for when not given, so that it stays out of the shell's history.",
    ),
]
_Items = Annotated[
    list[str] | None, typer.Option("--item", help="Items or kinds; without any, all that the consent covers.")
]
_Claims = Annotated[
    list[str] | None,
    typer.Option(
        "--claim", help="With --mode verify: ITEM>=VALUE, ITEM<=VALUE, ITEM=VALUE, or ITEM for 'is there one'."
    ),
]
_RELATIONS: dict[str, Literal["at_least", "at_most", "equals"]] = {">=": "at_least", "<=": "at_most", "=": "equals"}
_CLAIM = re.compile(r"(?P<item>[A-Z_]+\.[a-z0-9_]+)(?:(?P<sign>>=|<=|=)(?P<value>.+))?")
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_WHOLE_TYPES = frozenset({"fen", "mu4", "int"})


class QueryMode(StrEnum):
    """How much an answer says."""

    VERIFY = "verify"
    TAGS = "tags"
    SUMMARY = "summary"
    REPORT = "report"


def read_claim(text: str) -> Claim:
    """Read a claim as it is typed; its value takes the type of its item, money in fen and areas in 1/10000 亩."""
    found = _CLAIM.fullmatch(text)
    if found is None:
        raise typer.BadParameter("a claim is ITEM>=VALUE, ITEM<=VALUE, ITEM=VALUE or ITEM", param_hint="--claim")
    item, sign, value = found["item"], found["sign"], found["value"]
    if sign is None:
        return Claim(item)
    return Claim(item, _RELATIONS[sign], _typed(item, value))


def _typed(item: str, value: str) -> str | int | bool:
    kind, _, name = item.partition(".")
    known = catalogue.current().kinds.get(kind)
    spec = None if known is None else known.fields.get(name)
    if spec is not None and spec.type == "bool" and value in {"true", "false"}:
        return value == "true"
    return int(value) if spec is not None and spec.type in _WHOLE_TYPES and _WHOLE.fullmatch(value) else value


def _read_staff(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, mark, department = text.partition("/")
    if not (user and mark and department):
        raise typer.BadParameter("staff is USER/DEPARTMENT, as u-1027/credit", param_hint="--staff")
    return user, department


def query(  # one parameter an option
    *,
    key: _Key,
    identifier: _Identifier,
    business_no: Annotated[str, typer.Option(help="Number of the application.")],
    purpose: Annotated[str, typer.Option()] = "LOAN_APPROVAL",
    items: _Items = None,
    mode: Annotated[QueryMode, typer.Option(help="verify and tags tell no values; report needs --staff.")] = (
        QueryMode.SUMMARY
    ),
    claims: _Claims = None,
    staff: Annotated[
        str | None, typer.Option(help="Who asks, as USER/DEPARTMENT in codes of the lender's own.")
    ] = None,
    pdf: Annotated[Path | None, typer.Option(help="With --mode report: write the report on paper here too.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key with the same question again takes no second use.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answer here.")] = None,
    url: _Url = None,
) -> None:
    """Ask about a subject as a lender would: over HTTP, with OAuth and DPoP."""
    stated = [read_claim(text) for text in claims or ()]
    subject = _subject_of(identifier)
    if pdf is not None and mode is not QueryMode.REPORT:
        raise typer.BadParameter("only --mode report is had on paper", param_hint="--pdf")
    with _reached(Lender(url or settings().issuer, read_key(key), scope=Scope.QUERIES.value)) as lender:
        try:
            answer = lender.query(
                subject,
                purpose=purpose,
                business_no=business_no,
                items=items,
                mode=mode.value,
                claims=stated or None,
                staff=_read_staff(staff),
                idempotency_key=idempotency_key,
            )
            if pdf is not None:
                write_private(pdf, lender.call("GET", f"/v1/queries/{answer.query_id}/report.pdf").content)
        except Refused as refused:
            console.print(f"[yellow]refused[/yellow] {escape(f'{refused.code}: {refused}')}")
            raise typer.Exit(1) from None
    text = orjson.dumps({"answer": answer.document, "signature": answer.signature}, option=orjson.OPT_INDENT_2)
    if out is not None:
        write_private(out, text)
    else:
        typer.echo(text.decode())
    console.print(f"[green]permitted[/green] query {escape(answer.query_id)}")


@contextmanager
def _reached(system: _System) -> Iterator[_System]:
    """Speak to an exchange; say what to do when nobody answers there."""
    try:
        with system:
            yield system
    except NotReached as error:
        raise OutOfService(f"nobody answers at {system.issuer}; is it served? start it with: qingqiao serve") from error


def _subject_of(identifier: str) -> Subject:
    try:
        ResidentId.parse(identifier)
    except MalformedIdentifier:
        return Subject.organisation(identifier)
    return Subject.person(identifier)


def evidence(
    key: _Key,
    query_id: Annotated[str, typer.Argument(help="From an answer.")],
    out: Annotated[Path, typer.Option(help="Where to write it.")],
    form: Annotated[str, typer.Option(help="full or redacted")] = "full",
    url: _Url = None,
) -> None:
    """Fetch the evidence for an answer, for `qingqiao verify`."""
    chosen: Literal["full", "redacted"] = "redacted" if form == "redacted" else "full"
    with _reached(Lender(url or settings().issuer, read_key(key), scope=Scope.QUERIES.value)) as lender:
        try:
            write_private(out, lender.evidence(query_id, chosen))
        except Refused as refused:
            console.print(f"[yellow]refused[/yellow] {escape(f'{refused.code}: {refused}')}")
            raise typer.Exit(1) from None
    console.print(f"[green]✓[/green] {escape(str(out))}")


def audit(
    key: _Key,
    event: Annotated[str | None, typer.Option(help="As release:query:refused, or release:*")] = None,
    reason: Annotated[str | None, typer.Option()] = None,
    lender: Annotated[str | None, typer.Option(help="Organisation.")] = None,
    since: Annotated[str | None, typer.Option(help="First day, as 2026-06-01.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    url: _Url = None,
) -> None:
    """Read the trail as a regulator would: over HTTP, with a read-only token."""
    filters = {n: v for n, v in {"event": event, "reason": reason, "lender": lender}.items() if v}
    if since:
        filters["since"] = f"{date.fromisoformat(since).isoformat()}T00:00:00+08:00"
    with _reached(Regulator(url or settings().issuer, read_key(key))) as regulator:
        page = regulator.events(limit=str(limit), **filters)
    table = Table(*_AUDIT_COLUMNS)
    for one in page["events"]:
        shown = {**one, "reason": one["fields"].get("access", {}).get("reason")}
        table.add_row(*(escape(str(shown[name] or "")) for name in _AUDIT_COLUMNS))
    console.print(table)
