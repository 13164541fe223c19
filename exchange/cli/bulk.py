"""`qingqiao lender encryption-key` and `batch-verify`: the key that batches are sealed to, and their check.

`encryption-key` is the operator's. `batch-verify` is the lender's: it needs no home, no database and no network.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.markup import escape

from exchange.bulk import keys
from exchange.cli.context import console, opened
from exchange.errors import RequestRefused
from registry import clock, encryption, verify_batch
from registry.errors import EncryptionKeyRefused
from registry.keyfiles import write_private
from registry.suites.hpke import HpkeKey
from registry.trust import TrustPolicy
from registry.verify_batch import BatchRefused

_REFUSED = 1
_MANIFEST = "manifest.json"
_PART = "part-*.json"


def add_to(lender: typer.Typer) -> None:
    """Add the commands to `qingqiao lender`."""
    lender.command("encryption-key")(encryption_key)
    lender.command("batch-verify")(batch_verify)


def encryption_key(
    client_id: Annotated[str, typer.Argument(help="Which system of the lender.")],
    *,
    jwk: Annotated[Path | None, typer.Option(help='Its public key: a JWK with "use": "enc".', exists=True)] = None,
    make_key: Annotated[Path | None, typer.Option(help="Make a key and write the private half here.")] = None,
    curve: Annotated[Literal["P-256", "X25519"], typer.Option(help="Of a key that is made.")] = "P-256",
) -> None:
    """Seal a lender's results of batches to this key from now on; what stood before is replaced."""
    if (jwk is None) == (make_key is None):
        raise typer.BadParameter("give either --jwk FILE or --make-key FILE")
    made = HpkeKey.generate(curve) if make_key is not None else None
    try:
        public = encryption.read(
            encryption.jwk_of(made) if made is not None else orjson.loads((jwk or Path()).read_bytes())
        )
        with opened() as home, home.database.transaction() as tx:
            keys.register(tx, client_id, public, now=clock.now())
            if make_key is not None and made is not None:
                write_private(make_key, orjson.dumps(encryption.private_jwk(made)))
    except (EncryptionKeyRefused, RequestRefused, orjson.JSONDecodeError) as error:
        raise typer.BadParameter(str(error)) from None
    console.print(f"[green]✓[/green] {escape(client_id)}: {public.curve}, {public.thumbprint}")


def batch_verify(
    folder: Annotated[
        Path, typer.Argument(help="With manifest.json and part-1.json, part-2.json … as they came.", exists=True)
    ],
    key: Annotated[Path, typer.Option("--key", help="Private key file, from `encryption-key`.", exists=True)],
    trust: Annotated[Path, typer.Option("--trust", help="The trust policy.", exists=True)],
    *,
    questions: Annotated[
        Path | None, typer.Option("--questions", help="The file that was handed in, to check answers against.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Some of the parts are enough.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the lines here; mode 0600.")] = None,
) -> None:
    """验证批量查询的清单和分片，并解封 / check a batch's manifest and parts offline, and open them."""
    lines: list[bytes] = []
    try:
        verdict = verify_batch.verify(
            (folder / _MANIFEST).read_bytes(),
            dict(_parts(folder)),
            TrustPolicy.parse(trust.read_bytes()),
            encryption.read_private(orjson.loads(key.read_bytes())),
            questions=None if questions is None else questions.read_bytes(),
            partial=partial,
            give=lines.append if out is not None else lambda _: None,
        )
    except (BatchRefused, EncryptionKeyRefused) as error:
        console.print(f"[red]✗[/red] 验证未通过 / does not hold: {escape(str(error))}")
        raise typer.Exit(_REFUSED) from None
    if out is not None:
        write_private(out, b"".join(lines))
    console.print(
        f"[green]✓[/green] {verdict.batch_id} {escape(verdict.lender)}: {verdict.parts} parts, {verdict.lines} lines,"
        f" {verdict.answers} answers"
    )
    for code, number in sorted(verdict.refusals.items()):
        console.print(f"  {code}: {number}")


def _parts(folder: Path) -> Iterable[tuple[int, bytes]]:
    for path in folder.glob(_PART):
        body = path.read_bytes()
        yield int(path.stem.removeprefix("part-")), body
