"""`qingqiao lender collector` and `lender device`: who collects consents for a lender, and with which devices."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from consent.record import midnight
from exchange.capture import collectors, devices
from exchange.cli.context import console, opened
from registry import clock
from registry.canonical import b64url, unb64url
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId
from registry.keyfiles import write_private
from registry.suites import Ed25519Key, Es256Key, SigningKey, Sm2Key

_COLLECTOR: Final = typer.Typer(help="采集人：为贷款机构采集授权的人员 / who collects consents.", no_args_is_help=True)
_DEVICE: Final = typer.Typer(help="采集设备：离线签署授权的设备 / devices without signal.", no_args_is_help=True)
_Organisation = Annotated[str, typer.Option("--organisation", help="Full name of the lender, as consents name it.")]
_Which = Annotated[str | None, typer.Option("--organisation", help="Only those of this lender.")]


class Algorithm(StrEnum):
    """What a device signs with."""

    ED25519 = "Ed25519"
    ES256 = "ES256"
    SM2 = "SM2"


_MAKERS: Final[dict[Algorithm, Callable[[], SigningKey]]] = {
    Algorithm.ED25519: Ed25519Key.generate,
    Algorithm.ES256: Es256Key.generate,
    Algorithm.SM2: Sm2Key.generate,
}


def add_to(lender: typer.Typer) -> None:
    """Add the commands to `qingqiao lender`."""
    lender.add_typer(_COLLECTOR, name="collector")
    lender.add_typer(_DEVICE, name="device")


@_COLLECTOR.command("add")
def add_collector(
    code: Annotated[str, typer.Argument(help="A code of the lender's own; never given to somebody else.")],
    organisation: _Organisation,
    identifier: Annotated[
        str,
        typer.Option(prompt="Resident id", hide_input=True, help="Who it is; only a keyed hash is kept."),
    ],
    last: Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day, included.")] = None,
) -> None:
    """Register somebody who collects consents for a lender, from now on."""
    try:
        who = ResidentId.parse(identifier)
    except MalformedIdentifier:
        raise typer.BadParameter("not a resident id", param_hint="--identifier") from None
    until = None if last is None else midnight(last.date() + timedelta(days=1))
    with opened() as home, home.database.transaction() as tx:
        collectors.add(tx, home, organisation, code, who, until=until, now=clock.now())
    console.print(f"[green]✓[/green] {escape(code)}")


@_COLLECTOR.command("end")
def end_collector(
    code: Annotated[str, typer.Argument(help="Whose time is over.")], organisation: _Organisation
) -> None:
    """End a collector's time: nothing that is taken later counts."""
    with opened() as home, home.database.transaction() as tx:
        if not collectors.end(tx, organisation, code, now=clock.now()):
            raise typer.BadParameter("no collector of this code whose time is not over")
    console.print(f"[green]✓[/green] {escape(code)}")


@_COLLECTOR.command("list")
def list_collectors(organisation: _Which = None) -> None:
    """List collectors."""
    table = Table("organisation", "code", "since", "until")
    with opened() as home, home.database.transaction() as tx:
        for one in collectors.listing(tx, organisation):
            until = "" if one.valid_until is None else f"{one.valid_until:%Y-%m-%d %H:%M}"
            table.add_row(escape(one.organisation), escape(one.code), f"{one.valid_from:%Y-%m-%d}", until)
    console.print(table)


@_DEVICE.command("key")
def make_key(
    out: Annotated[Path, typer.Option("--out", help="Where to write the private key; it stays on the device.")],
    algorithm: Annotated[Algorithm, typer.Option()] = Algorithm.ES256,
) -> None:
    """Make a device's key pair; needs no installation. Prints the public half, which is registered."""
    key = _MAKERS[algorithm]()
    document = {"algorithm": algorithm.value, "public": b64url(key.public), "private": b64url(key.private_bytes())}
    write_private(out, orjson.dumps(document))
    typer.echo(f"{algorithm.value} {b64url(key.public)}")


@_DEVICE.command("add")
def add_device(
    public: Annotated[str, typer.Argument(help="The public key, base64url; or a file of a JWK.")],
    organisation: _Organisation,
    algorithm: Annotated[Algorithm, typer.Option()] = Algorithm.ES256,
) -> None:
    """Register a device by its public key; prints the device's id."""
    raw, kind = _public(public, algorithm)
    with opened() as home, home.database.transaction() as tx:
        device_id = devices.add(tx, organisation, kind.value, raw, now=clock.now())
    console.print(f"[green]✓[/green] {device_id}")


@_DEVICE.command("end")
def end_device(device: Annotated[str, typer.Argument(help="Which device.")]) -> None:
    """End a device: nothing that it signs is taken any more, whenever it says that it signed."""
    with opened() as home, home.database.transaction() as tx:
        if not devices.end(tx, device, now=clock.now()):
            raise typer.BadParameter("no device of this id that is not ended")
    console.print(f"[green]✓[/green] {escape(device)}")


@_DEVICE.command("list")
def list_devices(organisation: _Which = None) -> None:
    """List devices, how far their chains came, and what they announced beyond."""
    table = Table("device", "organisation", "algorithm", "state", "received", "pending")
    with opened() as home, home.database.transaction() as tx:
        for one in devices.listing(tx, organisation):
            table.add_row(
                one.device_id,
                escape(one.organisation),
                one.algorithm,
                one.state.value,
                str(one.stands.counter),
                str(one.pending),
            )
    console.print(table)


def _public(text: str, algorithm: Algorithm) -> tuple[bytes, Algorithm]:
    try:
        if text.endswith(".json"):
            return _of_jwk(orjson.loads(Path(text).read_bytes()))
        return unb64url(text), algorithm
    except (ValueError, KeyError) as error:
        raise typer.BadParameter("neither base64url nor a JWK (EC P-256 or OKP Ed25519)") from error


def _of_jwk(jwk: dict[str, Any]) -> tuple[bytes, Algorithm]:
    if jwk["kty"] == "OKP":
        return unb64url(jwk["x"]), Algorithm.ED25519
    return b"\x04" + unb64url(jwk["x"]) + unb64url(jwk["y"]), Algorithm.ES256
