"""Signed manifests: an agency says, under its own key, which bytes it hands over and what they add up to.

A manifest is a compact JWS (`typ` qq-manifest+jws, `alg` Ed25519 or SM2) over canonical JSON:

    {"agency": …, "files": [{"amount"?, "name"?, "rows"?, "sha256", "size", "sm3"}], "key_id": …, "made_at": …, "v": 1}

Steps of `receive` (a manifest that fails one counts for nothing, and is not kept):
  1. it is of the form above, in canonical bytes, and names the agency that sends it
  2. its key is registered for that agency, and valid at the moment of receipt; `made_at` is not in the future
  3. the signature holds
  4. a file that it names and that is here already has the size and the SM3 that it says
  5. it is kept as it came, and logged by its hash and key

`amount` is in fen, over all rows of the file's tables; `rows` are data rows. Both are held to as control totals
(`hold`). A key that is revoked later does not undo what had been received under it, manifest and bytes: the
entries' moments stand. Bytes that come after the revocation are not covered by what was signed before it: whoever
stole a key could otherwise lay up manifests for files to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from connectors.errors import ManifestRefused
from connectors.events import Event
from connectors.normalise import TableOutcome
from registry import jws, log
from registry.canonical import JSON, canonical
from registry.database import Transaction
from registry.errors import CanonicalError, SignatureInvalid
from registry.jws import Public
from registry.suites import Ed25519Key, Sm2Key, sha256_hex

TYP: Final = "qq-manifest+jws"
MOST_FILES: Final = 500
MOST_CHARACTERS: Final = 200_000
CLOCK_SKEW: Final = timedelta(minutes=5)
_KEY_ID_CHARACTERS: Final = 22
_TOLERANCE_FEN: Final = 1
_BYTES_OF: Final = {"Ed25519": 32, "SM2": 65}
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]
_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)


class ManifestFile(BaseModel):
    """One file: its hashes and size, and what its sender says it adds up to."""

    model_config = _STRICT

    sha256: _Hash
    sm3: _Hash
    size: _Count
    name: Annotated[str, Field(max_length=200)] | None = None
    rows: _Count | None = None
    amount: Annotated[int, Field(gt=-(1 << 53), lt=1 << 53)] | None = None


class Manifest(BaseModel):
    """What is signed."""

    model_config = _STRICT

    v: Literal[1] = 1
    agency: Annotated[str, Field(min_length=1, max_length=120)]
    files: Annotated[list[ManifestFile], Field(min_length=1, max_length=MOST_FILES)]
    key_id: Annotated[str, Field(min_length=1, max_length=64)]
    made_at: Annotated[AwareDatetime, Field(strict=False)]


class SigningKey(Protocol):
    """An agency's private key."""

    @property
    def algorithm(self) -> str:
        """`Ed25519` or `SM2`."""

    @property
    def public(self) -> bytes:
        """The raw public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature."""


@dataclass(frozen=True, slots=True)
class AgencyKey:
    """A public key that signs for an agency, and when it does."""

    key_id: str
    agency: str
    public: Public
    valid_from: datetime
    valid_until: datetime | None
    revoked_at: datetime | None

    def counts(self, at: datetime) -> bool:
        """Say whether a signature received at this instant counts."""
        ends = [end for end in (self.valid_until, self.revoked_at) if end is not None]
        return self.valid_from <= at and all(at < end for end in ends)


@dataclass(frozen=True, slots=True)
class Received:
    """A manifest that was kept."""

    manifest_id: str
    key_id: str
    files: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What a manifest says that a file adds up to; None where it does not say."""

    rows: int | None
    amount_fen: int | None


def key_id_of(public: Public) -> str:
    """Name a public key after itself: the beginning of the SHA-256 of algorithm and bytes, in hex."""
    return sha256_hex(public.algorithm.encode() + b"|" + public.raw)[:_KEY_ID_CHARACTERS]


def sign(key: SigningKey, agency: str, files: Sequence[Mapping[str, JSON]], *, made_at: str) -> str:
    """Make a manifest; needs no installation. `made_at` is RFC 3339.

    Raises:
        ManifestRefused: a file is described otherwise than `ManifestFile` says.
    """
    key_id = key_id_of(Public(key.algorithm, key.public))
    payload = canonical({"agency": agency, "files": list(files), "key_id": key_id, "made_at": made_at, "v": 1})
    _read(payload)
    return jws.sign(key, key_id, payload, TYP)


def receive(tx: Transaction, text: str, *, agency: str, client_id: str, now: datetime) -> Received:
    """Check and keep a manifest that an agency sent; the same again changes nothing.

    Raises:
        ManifestRefused: the step that failed.
    """
    keys = {one.key_id: one for one in keys_of(tx, agency) if one.counts(now)}  # 2
    if len(text) > MOST_CHARACTERS or not text.isascii():
        raise ManifestRefused("the manifest is too long, or is no compact JWS")
    try:
        header, payload = jws.verify(text, {name: key.public for name, key in keys.items()}, typ=TYP)  # 3
    except SignatureInvalid as error:
        raise ManifestRefused(f"the signature does not count: {error}") from error
    said = _read(payload)  # 1
    if said.agency != agency:
        raise ManifestRefused("the manifest names another agency than the one that sends it")
    if said.key_id != header["kid"]:
        raise ManifestRefused("the manifest names another key than the one that signed it")
    if said.made_at > now + CLOCK_SKEW:
        raise ManifestRefused("the manifest was made in the future; set the clock")
    _agree_with_known(tx, said, agency)  # 4
    manifest_id = sha256_hex(text.encode())
    if not _keep(tx, manifest_id, text, said, now):  # 5
        return Received(manifest_id, said.key_id, len(said.files))
    hashes = sorted(one.sha256 for one in said.files)
    facts: dict[str, JSON] = {"manifest_sha256": manifest_id, "key_id": said.key_id, "agency": agency}
    facts["files_sha256"] = sha256_hex(canonical(hashes))
    log.append(tx, [log.Entry(event=Event.MANIFEST_RECEIVED.value, at=now, actor=client_id, fields=facts)])
    return Received(manifest_id, said.key_id, len(said.files))


def covering(
    tx: Transaction, *, agency: str, sha256: bytes, sm3: bytes, size: int, arrived: datetime, only: str = ""
) -> str:
    """Give the id of the agency's first manifest that covers exactly these bytes, "" if there is none.

    `arrived` is when the bytes were all there; `only` asks of one manifest.
    """
    row = tx.execute(
        "SELECT m.manifest_id FROM manifest m JOIN manifest_file f USING (manifest_id) JOIN agency_key k USING (key_id)"
        " WHERE m.agency = %s AND f.sha256 = %s AND f.sm3 = %s AND f.size_bytes = %s"
        " AND (k.revoked_at IS NULL OR k.revoked_at > %s)"
        " AND (%s = '' OR m.manifest_id = %s) ORDER BY m.received_at, m.manifest_id LIMIT 1",
        (agency, sha256, sm3, size, arrived, only, only),
    ).fetchone()
    return "" if row is None else str(row[0])


def lists(tx: Transaction, manifest_id: str, *, size: int, sha256: bytes | None) -> bool:
    """Say whether a manifest has a file of this size and, where it is known, this hash."""
    row = tx.execute(
        "SELECT FROM manifest_file WHERE manifest_id = %s AND size_bytes = %s AND (%s::bytea IS NULL OR sha256 = %s)"
        " LIMIT 1",
        (manifest_id, size, sha256, sha256),
    ).fetchone()
    return row is not None


def declared(tx: Transaction, manifest_id: str, sha256: bytes) -> Declared:
    """Say what a manifest says of a file."""
    row = tx.execute(
        "SELECT rows, amount_fen FROM manifest_file WHERE manifest_id = %s AND sha256 = %s", (manifest_id, sha256)
    ).fetchone()
    return Declared(None, None) if row is None else Declared(*row)


def apply(tx: Transaction, raw_id: UUID, manifest_id: str, *, now: datetime) -> bool:
    """Put a raw file of the manifest's agency under the manifest, if none covers it yet, and log it."""
    row = tx.execute(
        "UPDATE raw_file r SET manifest = m.manifest_id FROM manifest m JOIN agency_key k USING (key_id)"
        " WHERE r.raw_id = %s AND m.manifest_id = %s AND r.agency = m.agency AND r.manifest = ''"
        " AND (k.revoked_at IS NULL OR k.revoked_at > r.received_at) RETURNING r.sha256, m.key_id",
        (raw_id, manifest_id),
    ).fetchone()
    if row is None:
        return False
    facts = {"manifest_sha256": manifest_id, "key_id": row[1], "raw_sha256": row[0].hex()}
    log.append(tx, [log.Entry(event=Event.MANIFEST_APPLIED.value, at=now, actor="system", fields=facts)])
    return True


def to_apply(tx: Transaction, *, limit: int = 20) -> list[tuple[UUID, str]]:
    """Give raw files (id, manifest) that a manifest speaks of and that were not weighed under it yet."""
    rows = tx.execute(
        "SELECT r.raw_id, m.manifest_id FROM manifest_file f JOIN manifest m USING (manifest_id)"
        " JOIN raw_file r ON r.sm3 = f.sm3 AND r.sha256 = f.sha256 AND r.agency = m.agency"
        " WHERE f.applied_at IS NULL AND r.destroyed_at IS NULL"
        " ORDER BY m.received_at, m.manifest_id, r.raw_id LIMIT %s",
        (limit,),
    )
    return [(raw_id, manifest_id) for raw_id, manifest_id in rows.fetchall()]


def applied(tx: Transaction, manifest_id: str, sha256: bytes, *, now: datetime) -> None:
    """Note that a file's rows are weighed under a manifest."""
    tx.execute(
        "UPDATE manifest_file SET applied_at = %s WHERE manifest_id = %s AND sha256 = %s", (now, manifest_id, sha256)
    )


def hold(outcomes: Sequence[TableOutcome], stated: Declared) -> list[TableOutcome]:
    """Hold a file's tables to what its manifest says of all of them together; what misses it is blocked whole. Pure.

    An amount is held to where a table has a column for it; 0.01 元 either way is let pass, as in the file's own totals.
    """
    read = [one for one in outcomes if one.kind is not None]
    rows = sum(one.rows for one in read)
    amounts = [one.stated_fen for one in read if one.stated_fen is not None]
    misses = (stated.rows is not None and stated.rows != rows) or (
        stated.amount_fen is not None and abs(sum(amounts) - stated.amount_fen) > _TOLERANCE_FEN
    )
    return [_blocked(one) for one in outcomes] if misses else list(outcomes)


def _blocked(outcome: TableOutcome) -> TableOutcome:
    if outcome.blocked:
        return outcome
    bare: dict[str, Any] = {"counts": {}, "codes": {}, "amount_fen": None, "held": None}
    return replace(outcome, blocked="TOTAL_MISMATCH", **bare)


# ---- keys -----------------------------------------------------------------------------------------------------------


def add_key(
    tx: Transaction, agency: str, public: Public, *, now: datetime, valid_until: datetime | None = None
) -> AgencyKey:
    """Register a public key for an agency, from now on.

    Raises:
        ManifestRefused: it is no Ed25519 or SM2 public key, or it is registered already.
    """
    if _BYTES_OF.get(public.algorithm) != len(public.raw):
        raise ManifestRefused("a public key is 32 bytes of Ed25519 or an SM2 point of 65 bytes")
    key_id = key_id_of(public)
    made = tx.execute(
        "INSERT INTO agency_key (key_id, agency, algorithm, public, valid_from, valid_until)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (key_id, agency, public.algorithm, public.raw, now, valid_until),
    ).rowcount
    if not made:
        raise ManifestRefused("this key is registered already; make another")
    facts: dict[str, JSON] = {"agency": agency, "key_id": key_id, "algorithm": public.algorithm}
    log.append(tx, [log.Entry(event=Event.AGENCY_KEY_ADDED.value, at=now, actor="operator", fields=facts)])
    return AgencyKey(key_id, agency, public, now, valid_until, None)


def revoke_key(tx: Transaction, key_id: str, *, now: datetime) -> bool:
    """Let a key count no more from now on; False if there is none that counts."""
    row = tx.execute(
        "UPDATE agency_key SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL RETURNING agency",
        (now, key_id),
    ).fetchone()
    if row is not None:
        facts: dict[str, JSON] = {"agency": row[0], "key_id": key_id}
        log.append(tx, [log.Entry(event=Event.AGENCY_KEY_REVOKED.value, at=now, actor="operator", fields=facts)])
    return row is not None


def keys_of(tx: Transaction, agency: str = "") -> list[AgencyKey]:
    """Give an agency's keys, or all, oldest first."""
    rows = tx.execute(
        "SELECT key_id, agency, algorithm, public, valid_from, valid_until, revoked_at FROM agency_key"
        " WHERE %s = '' OR agency = %s ORDER BY agency, valid_from, key_id",
        (agency, agency),
    )
    return [AgencyKey(row[0], row[1], Public(row[2], row[3]), *row[4:]) for row in rows.fetchall()]


def key_of(algorithm: str, private: bytes) -> Ed25519Key | Sm2Key:
    """Load a private key.

    Raises:
        ManifestRefused: no such algorithm.
    """
    if algorithm == "Ed25519":
        return Ed25519Key(private)
    if algorithm == "SM2":
        return Sm2Key(private)
    raise ManifestRefused("a manifest is signed by Ed25519 or SM2")


def _read(payload: bytes) -> Manifest:
    try:
        said = Manifest.model_validate_json(payload)
        written = {**said.model_dump(exclude_none=True, exclude={"made_at"}), "made_at": _made_at(payload)}
        if canonical(written) != payload:
            raise ManifestRefused("the manifest is not in canonical bytes (RFC 8785)")
    except (ValidationError, CanonicalError) as error:
        raise ManifestRefused("the manifest does not hold what a manifest holds; see docs/agencies.md") from error
    if len({one.sha256 for one in said.files}) < len(said.files):
        raise ManifestRefused("the manifest lists a file twice")
    return said


class _MadeAt(BaseModel):
    made_at: str


def _made_at(payload: bytes) -> str:
    """Give the moment in the sender's own spelling, which is what was signed."""
    return _MadeAt.model_validate_json(payload).made_at


def _agree_with_known(tx: Transaction, said: Manifest, agency: str) -> None:
    """Step 4."""
    given = {bytes.fromhex(one.sha256): one for one in said.files}
    known = tx.execute(
        "SELECT sha256, sm3, size_bytes FROM raw_file WHERE sha256 = ANY(%s) AND agency = %s", (list(given), agency)
    ).fetchall()
    for sha256, sm3, size in known:
        if (given[sha256].sm3, given[sha256].size) != (sm3.hex(), size):
            raise ManifestRefused("the manifest's SM3 or size of a file that is here is not that file's")


def _keep(tx: Transaction, manifest_id: str, text: str, said: Manifest, now: datetime) -> bool:
    made = tx.execute(
        "INSERT INTO manifest (manifest_id, agency, key_id, jws, made_at, received_at) VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (manifest_id, said.agency, said.key_id, text, said.made_at, now),
    ).rowcount
    if not made:
        return False
    with tx.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO manifest_file (manifest_id, sha256, sm3, size_bytes, rows, amount_fen)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (manifest_id, bytes.fromhex(one.sha256), bytes.fromhex(one.sm3), one.size, one.rows, one.amount)
                for one in said.files
            ],
        )
    return True
