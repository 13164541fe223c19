"""`qingqiao agency`: systems and staff of agencies, the keys they sign with, and signing itself.

`agency key new` and `agency sign` need no installation and no network: an agency runs them on a machine of its own,
where its private key stays. Everything else is the operator's.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from connectors import manifests, mending, permits, source
from connectors.manifests import SigningKey
from consent.scope import recipient_name
from exchange.cli.context import console, opened
from exchange.cli.lender import register, save_key
from exchange.client import new_client
from exchange.oauth import clients
from exchange.oauth.scopes import OF_AN_AGENCY_SYSTEM, Role
from registry import clock
from registry.canonical import JSON, b64url, unb64url
from registry.jws import Public
from registry.keyfiles import read_private, write_private
from registry.suites import Digests, Ed25519Key, Sm2Key

_AGENCY: Final = typer.Typer(help="Agencies: their systems and staff, their signatures.", no_args_is_help=True)
_KEY: Final = typer.Typer(help="Keys that agencies sign their manifests with.", no_args_is_help=True)
_PIECE_BYTES: Final = 1 << 20
_FEN_PER_YUAN: Final = 100


class Algorithm(StrEnum):
    """What a manifest may be signed with."""

    ED25519 = "Ed25519"
    SM2 = "SM2"


_Organisation = Annotated[str, typer.Option("--organisation", help="Full name of the agency.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    _AGENCY.add_typer(_KEY, name="key")
    app.add_typer(_AGENCY, name="agency")


@_AGENCY.command()
def add(
    client_id: Annotated[str, typer.Argument(help="Short id of one system or one person, as finance-pingan-wang.")],
    organisation: _Organisation,
    jwks: Annotated[Path | None, typer.Option(help="Its public keys (JWK set).")] = None,
    make_key: Annotated[Path | None, typer.Option(help="Make a key pair and write the private key here.")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="可报送的数据来源，可多次给出；不给出则不能报送 / a source that the agency may deliver, as"
            " subsidy_roster; may be given several times. Without any, it may deliver nothing (see: agency sources).",
        ),
    ] = None,
    *,
    staff: Annotated[bool, typer.Option("--staff", help="A person, who may also decide of rows.")] = False,
) -> None:
    """Register a system of an agency, or a member of its staff; of one organisation there may be several."""
    if (jwks is None) == (make_key is None):
        raise typer.BadParameter("give either --jwks FILE or --make-key FILE")
    scopes, granted = None if staff else OF_AN_AGENCY_SYSTEM, _declared(sources or (), "--source")
    with opened() as home:
        if make_key is not None:
            client = new_client(client_id)
            register(home, client_id, organisation, Role.AGENCY, client.jwks, scopes=scopes, sources=granted)
            save_key(make_key, client)
        elif jwks is not None:
            keys = orjson.loads(jwks.read_bytes())
            register(home, client_id, organisation, Role.AGENCY, keys, scopes=scopes, sources=granted)
        with home.database.transaction() as tx:
            held = permits.permitted(tx, recipient_name(organisation))
    console.print(f"[green]✓[/green] {escape(client_id)} is registered as {'staff' if staff else 'a system'}")
    _tell_sources(recipient_name(organisation), held)


@_AGENCY.command("sources")
def sources_of(
    organisation: Annotated[str, typer.Argument(help="机构全称 / full name of the agency")],
    permit: Annotated[list[str] | None, typer.Option(help="准予报送的来源 / a source that it may deliver")] = None,
    refuse: Annotated[list[str] | None, typer.Option(help="不再准予的来源 / a source that it may not deliver")] = None,
) -> None:
    """查看或设置一个机构可报送的数据来源 / show or set which sources an agency may deliver by upload."""
    granted, ended = _declared(permit or (), "--permit"), refuse or []
    now = clock.now()
    with opened() as home, home.database.transaction() as tx:
        name = recipient_name(organisation)
        before = permits.permitted(tx, name)
        if not clients.knows(tx, name, Role.AGENCY) and not before:
            raise typer.BadParameter(
                "没有登记这个机构 / no agency of this name is registered", param_hint="ORGANISATION"
            )
        if strange := sorted({*ended} - before):
            raise typer.BadParameter(f"原本未获准 / it was not permitted: {', '.join(strange)}", param_hint="--refuse")
        permits.permit(tx, name, granted, now=now)
        permits.refuse(tx, name, ended, now=now)
        held = permits.permitted(tx, name)
    _tell_sources(name, held)


def _declared(codes: Sequence[str], option: str) -> list[str]:
    known = {one.source for one in source.current().sources}
    if strange := sorted({*codes} - known):
        said = f"没有这个来源 / no such source: {', '.join(strange)}; 可用 / there are: {', '.join(sorted(known))}"
        raise typer.BadParameter(said, param_hint=option)
    return list(codes)


def _tell_sources(agency: str, held: Collection[str]) -> None:
    if held:
        said = f"{agency} 可报送 / may deliver: {', '.join(sorted(held))}"
    else:
        said = f"{agency} 尚不能报送任何来源 / may deliver nothing yet: qingqiao agency sources {agency} --permit CODE"
    console.print(escape(said))


class Switch(StrEnum):
    """Whether something is wanted."""

    ON = "on"
    OFF = "off"


@_AGENCY.command("four-eyes")
def four_eyes(
    organisation: Annotated[str, typer.Argument(help="机构全称 / full name of the agency")],
    wanted: Annotated[Switch, typer.Argument(help="on：每项决定须两人办理；off：一人即可")],
) -> None:
    """设置一个机构的决定是否须两人办理 / have each decision of an agency made by two persons, or by one again."""
    now = clock.now()
    with opened() as home, home.database.transaction() as tx:
        name = recipient_name(organisation)
        if not clients.knows(tx, name, Role.AGENCY):
            raise typer.BadParameter(
                "没有登记这个机构 / no agency of this name is registered", param_hint="ORGANISATION"
            )
        mending.set_four_eyes(tx, name, wanted=wanted is Switch.ON, by="operator", now=now)
    said = "每项决定须两人办理 / two persons for each decision" if wanted is Switch.ON else "一人即可 / one person"
    console.print(f"[green]✓[/green] {escape(name)}：{said}")


@_KEY.command("new")
def new_key(
    out: Annotated[Path, typer.Argument(help="Where to write the private key.")],
    algorithm: Annotated[Algorithm, typer.Option()] = Algorithm.ED25519,
) -> None:
    """Make a signing key; needs no installation. The public half is printed, for the operator to register."""
    if out.exists():
        raise typer.BadParameter("there is a file of this name already", param_hint="OUT")
    key: Ed25519Key | Sm2Key = Ed25519Key.generate() if algorithm is Algorithm.ED25519 else Sm2Key.generate()
    public = Public(key.algorithm, key.public)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_private(out, orjson.dumps({"algorithm": key.algorithm, "private": b64url(key.private_bytes())}))
    console.print(f"key {manifests.key_id_of(public)}, {key.algorithm}, public:")
    typer.echo(b64url(key.public))


@_KEY.command("add")
def add_key(
    organisation: _Organisation,
    public: Annotated[str, typer.Option(help="The public key, base64url, as `agency key new` printed it.")],
    algorithm: Annotated[Algorithm, typer.Option()] = Algorithm.ED25519,
    until: Annotated[str | None, typer.Option(help="Last day on which it counts, as 2027-12-31.")] = None,
) -> None:
    """Register a key for an agency; earlier ones go on counting until they are revoked."""
    try:
        raw = unb64url(public)
        last = None if until is None else datetime.combine(date.fromisoformat(until), time.max, tzinfo=clock.BEIJING)
    except ValueError as error:
        raise typer.BadParameter("a key is base64url, a day is written 2027-12-31") from error
    with opened() as home, home.database.transaction() as tx:
        name = recipient_name(organisation)
        key = manifests.add_key(tx, name, Public(algorithm.value, raw), now=clock.now(), valid_until=last)
    console.print(f"[green]✓[/green] {escape(key.key_id)} signs for {escape(name)}")


@_KEY.command("list")
def list_keys() -> None:
    """List agencies' keys and when they count."""
    with opened() as home, home.database.transaction() as tx:
        table = Table("agency", "key", "algorithm", "since", "until", "revoked")
        for key in manifests.keys_of(tx):
            ends = [f"{end:%Y-%m-%d}" if end else "" for end in (key.valid_until, key.revoked_at)]
            row = (key.agency, key.key_id, key.public.algorithm, f"{key.valid_from:%Y-%m-%d}", *ends)
            table.add_row(*map(escape, row))
    console.print(table)


@_KEY.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Which key.")]) -> None:
    """Let a key count no more; what was received under it stays as it is."""
    with opened() as home, home.database.transaction() as tx:
        if not manifests.revoke_key(tx, key_id, now=clock.now()):
            raise typer.BadParameter("no key of this id counts")
    console.print(f"[green]✓[/green] {escape(key_id)} counts no more")


@_AGENCY.command()
def sign(  # one parameter an option
    files: Annotated[list[Path], typer.Argument(help="The files to be handed over.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option("--key", help="Private key, from `agency key new`.")],
    organisation: _Organisation,
    out: Annotated[Path, typer.Option(help="Write the signed manifest here.")],
    rows: Annotated[int | None, typer.Option(help="Data rows of the one file, to be held to.")] = None,
    amount: Annotated[str | None, typer.Option(help="Its total in yuan, as 12345.67, to be held to.")] = None,
) -> None:
    """Sign a manifest of files; needs no installation and no network."""
    if (rows is not None or amount is not None) and len(files) > 1:
        raise typer.BadParameter("--rows and --amount speak of one file")
    stated: dict[str, JSON] = {} if rows is None else {"rows": rows}
    if amount is not None:
        stated["amount"] = _fen(amount)
    said = [{**described(path), **stated} for path in files]
    text = manifests.sign(read_signing_key(key), recipient_name(organisation), said, made_at=clock.rfc3339(clock.now()))
    out.write_text(text, encoding="ascii")
    console.print(f"[green]✓[/green] {len(files)} files, {escape(str(out))}")


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key back from what `agency key new` wrote."""
    held: dict[str, Any] = orjson.loads(read_private(path))
    return manifests.key_of(held["algorithm"], unb64url(held["private"]))


def described(path: Path) -> dict[str, JSON]:
    """Name a file as a manifest lists it: its hashes, its length, what it is called."""
    digests = Digests()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digests.update(piece)
    return {"name": path.name, "sha256": digests.sha256.hex(), "sm3": digests.sm3.hex(), "size": digests.size}


def _fen(text: str) -> int:
    whole, _, part = text.partition(".")
    if not (whole.removeprefix("-").isdigit() and len(part) <= len("00") and (not part or part.isdigit())):
        raise typer.BadParameter("an amount is written 12345.67", param_hint="--amount")
    fen = abs(int(whole)) * _FEN_PER_YUAN + int(part.ljust(2, "0"))
    return -fen if whole.startswith("-") else fen
