"""Keys by purpose and date, in a directory that only its owner can read.

`<home>/keys/` (0700) holds `master.key` and `ring.json` (0600). The ring holds every key, current and retired; private
halves and secrets are sealed under the master key, each bound to its id, purpose and algorithm, so that two cannot be
swapped. A key is never reused for another purpose.

  LOG      Ed25519 and, where libcrypto 3 is present, SM2: sign checkpoints     RECEIPT  the same: sign consent receipts
  ANSWER   Ed25519: sign answers      TOKEN  ES256: sign tokens and events      LOOKUP   HMAC: find subjects
  MAC      HMAC: tell "the same again"                                          DATA     wraps the subjects' data keys
  MASTER   seals the ring; split among officers by `registry.custody`

What another process makes or retires counts here from its next use on: the ring is read again when its file is another.

Not done here: hardware modules, replacing the master key in place. No secret is ever part of a repr or an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import orjson

from registry.canonical import b64url, canonical, unb64url
from registry.clock import rfc3339
from registry.errors import KeyMissing, SealBroken
from registry.keyfiles import has_master, key_directory, read_master, read_private, write_master, write_private
from registry.note import NoteSigner
from registry.suites import (
    Ed25519Key,
    Es256Key,
    SigningKey,
    Sm2Key,
    Suite,
    intl,
    random_bytes,
    seal,
    sha256_hex,
    sm2_available,
    suite_named,
    unseal,
)
from registry.trust import TrustPolicy

SECRET_BYTES: Final = 32
_VERSION: Final = 1
_RING_FILE: Final = "ring.json"


class Purpose(StrEnum):
    """What a key is for."""

    LOG = "log"
    RECEIPT = "receipt"
    ANSWER = "answer"
    TOKEN = "token"  # noqa: S105  # a purpose, not a secret
    LOOKUP = "lookup"
    MAC = "mac"
    DATA = "data"
    MASTER = "master"


_SIGNING: Final = {
    Purpose.LOG: "Ed25519",
    Purpose.RECEIPT: "Ed25519",
    Purpose.ANSWER: "Ed25519",
    Purpose.TOKEN: "ES256",
}
_IN_BOTH_SUITES: Final = frozenset({Purpose.LOG, Purpose.RECEIPT})
_SYMMETRIC: Final = (Purpose.LOOKUP, Purpose.MAC, Purpose.DATA)
_SECRET: Final = "secret"  # noqa: S105  # an algorithm's name in the ring, not a secret
_LOADERS: Final[dict[str, type[Ed25519Key | Es256Key | Sm2Key]]] = {
    "Ed25519": Ed25519Key,
    "ES256": Es256Key,
    "SM2": Sm2Key,
}


@dataclass(frozen=True, slots=True, repr=False)
class RingKey:
    """A signing key of the ring. `retired_at` is None while it is in use."""

    key_id: str
    purpose: Purpose
    algorithm: str
    created_at: datetime
    retired_at: datetime | None
    key: SigningKey

    @property
    def public(self) -> bytes:
        """The raw public key."""
        return self.key.public

    @property
    def sm2(self) -> bool:
        """Whether it signs by SM2 with SM3 (国密)."""
        return self.algorithm == "SM2"

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature, 64 bytes."""
        return self.key.sign(message)

    def private_bytes(self) -> bytes:
        """The private half; only the ring and a token signer that needs a JWK ask for it."""
        return self.key.private_bytes()

    def __repr__(self) -> str:
        """Show the id, which is public."""
        return f"RingKey({self.key_id})"


@dataclass(frozen=True, slots=True, repr=False)
class SymmetricKey:
    """A secret of the ring, 32 bytes. `retired_at` is None while it is in use."""

    key_id: str
    purpose: Purpose
    created_at: datetime
    retired_at: datetime | None
    secret: bytes

    algorithm = _SECRET

    def private_bytes(self) -> bytes:
        """The secret; only the ring asks for it by this name."""
        return self.secret

    def __repr__(self) -> str:
        """Show the id, which is public."""
        return f"SymmetricKey({self.key_id})"


AnyKey: TypeAlias = RingKey | SymmetricKey


class Keyring:
    """The keys of one home."""

    def __init__(self, home: Path, origin: str, master: bytes, suite: Suite, keys: Sequence[AnyKey]) -> None:
        """Hold what `create` made or `open` read; use those."""
        self._home = home
        self.origin = origin
        self._master = master
        self._suite = suite
        self._keys = list(keys)
        self._file = home / "keys" / _RING_FILE  # put together once: it is looked at with every use of a key
        self._stamp = _stamp(self._file)

    @classmethod
    def create(cls, home: Path, *, origin: str, now: datetime, suite: Suite = intl) -> Self:
        """Make the directory, a master key and one key for every purpose.

        Args:
            home: the installation's directory; `keys` is made in it.
            origin: the log's name (C2SP origin, for instance `example.gov.cn/log`).
            now: aware instant that the keys are dated with.
            suite: cipher suite that seals the ring.

        Raises:
            FileExistsError: there are keys already; they are never overwritten.
        """
        if (key_directory(home) / _RING_FILE).exists() or has_master(home):
            raise FileExistsError("this home has keys already")
        master = random_bytes(SECRET_BYTES)
        keys = [key for purpose in (*_SIGNING, *_SYMMETRIC) for key in _new_keys(purpose, now)]
        ring = cls(home, origin, master, suite, keys)
        write_master(home, master)
        ring._write()
        return ring

    @classmethod
    def open(cls, home: Path) -> Self:
        """Read the ring of a home.

        Raises:
            KeyMissing: no ring or master key, readable by others, or the master key does not open it.
        """
        master = read_master(home)
        origin, suite, keys = _read_ring(home, master)
        return cls(home, origin, master, suite, keys)

    def signing(self, purpose: Purpose) -> RingKey:
        """Return the signing key in use for a purpose; where there is one of SM2 beside it, the other one.

        Raises:
            KeyMissing: the purpose has no signing key.
        """
        for key in self._current():
            if isinstance(key, RingKey) and key.purpose is purpose and key.retired_at is None and not key.sm2:
                return key
        raise KeyMissing(f"no signing key in use for {purpose.value}")

    def sm2(self, purpose: Purpose) -> RingKey | None:
        """Return the SM2 key in use for a purpose; None where none was made (no libcrypto 3, or a ring of before)."""
        found = (key for key in self.signing_all(purpose) if key.sm2 and key.retired_at is None)
        return next(found, None)

    def symmetric(self, purpose: Purpose) -> SymmetricKey:
        """Return the secret in use for a purpose.

        Raises:
            KeyMissing: the purpose has no secret.
        """
        for key in self._current():
            if isinstance(key, SymmetricKey) and key.purpose is purpose and key.retired_at is None:
                return key
        raise KeyMissing(f"no secret in use for {purpose.value}")

    def symmetric_all(self, purpose: Purpose) -> list[SymmetricKey]:
        """Return every secret of a purpose, the one in use first, then retired ones, newest first."""
        found = [key for key in self._current() if isinstance(key, SymmetricKey) and key.purpose is purpose]
        return sorted(found, key=lambda key: (key.retired_at is None, key.created_at), reverse=True)

    def signing_all(self, purpose: Purpose) -> list[RingKey]:
        """Return every signing key of a purpose, those in use first."""
        found = [key for key in self._current() if isinstance(key, RingKey) and key.purpose is purpose]
        return sorted(found, key=lambda key: key.retired_at is not None)

    def by_id(self, key_id: str) -> AnyKey:
        """Return any key, in use or retired; a key that another process made since is read from the ring.

        Raises:
            KeyMissing: no key has this id.
        """
        for again in (False, True):
            for key in self._current() if again else self._keys:
                if key.key_id == key_id:
                    return key
        raise KeyMissing("no key of that id is in the ring")

    @property
    def keys(self) -> tuple[AnyKey, ...]:
        """Every key of the ring, in use or retired, by purpose and date."""
        return tuple(sorted(self._current(), key=lambda key: (key.purpose.value, key.created_at)))

    def log_signers(self) -> tuple[NoteSigner, ...]:
        """Return the keys that sign checkpoints, Ed25519 first."""
        keys = (key for key in self.signing_all(Purpose.LOG) if key.retired_at is None)
        return tuple(NoteSigner(self.origin, key.key) for key in sorted(keys, key=lambda key: key.algorithm))

    def rotate(self, purpose: Purpose, now: datetime) -> list[AnyKey]:
        """Retire the keys in use for a purpose and make new ones; what the old ones signed or keyed stays readable.

        Raises:
            ValueError: the master key; or the MAC key, by which "the same again" is told.
        """
        if purpose in {Purpose.MASTER, Purpose.MAC}:
            raise ValueError(f"the {purpose.value} key is not replaced in place: what rests on it would fall apart")
        made = _new_keys(purpose, now)
        retired = [
            replace(key, retired_at=now) if key.purpose is purpose and key.retired_at is None else key
            for key in self._current()
        ]
        self._keys = [*retired, *made]
        self._write()
        return made

    def policy(self) -> TrustPolicy:
        """Return the public keys that outside verifiers need."""
        log_keys = self.signing_all(Purpose.LOG)
        return TrustPolicy(
            origin=self.origin,
            log_keys=tuple(NoteSigner(self.origin, key.key).verifier for key in log_keys),
            receipt_keys={key.key_id: key.public for key in self.signing_all(Purpose.RECEIPT) if not key.sm2},
            receipt_sm2_keys={key.key_id: key.public for key in self.signing_all(Purpose.RECEIPT) if key.sm2},
            answer_keys={key.key_id: key.public for key in self.signing_all(Purpose.ANSWER)},
        )

    def trust_policy(self) -> dict[str, Any]:
        """Return `policy()` as JSON values, ready to be handed out."""
        return self.policy().as_json()

    def __repr__(self) -> str:
        """Show the origin and how many keys there are."""
        return f"Keyring({self.origin}, {len(self._keys)} keys)"

    def _current(self) -> list[AnyKey]:
        """The keys as the ring holds them now: what another process has made or retired counts from then on."""
        stamp = _stamp(self._file)
        if stamp not in (self._stamp, None):
            self._keys, self._stamp = _read_ring(self._home, self._master)[2], stamp
        return self._keys

    def _write(self) -> None:
        document = {
            "v": _VERSION,
            "origin": self.origin,
            "suite": self._suite.name,
            "keys": [_sealed(self._suite, self._master, key) for key in self._keys],
        }
        write_private(self._file, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        self._stamp = _stamp(self._file)


def _stamp(ring: Path) -> tuple[int, int] | None:
    """Tell one writing of the ring from another: each is a file of its own. None while there is none."""
    try:
        seen = ring.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns


def _read_ring(home: Path, master: bytes) -> tuple[str, Suite, list[AnyKey]]:
    values = orjson.loads(read_private(home / "keys" / _RING_FILE))
    return values["origin"], suite_named(values["suite"]), [_opened(master, entry) for entry in values["keys"]]


def _new_keys(purpose: Purpose, now: datetime) -> list[AnyKey]:
    """Make the keys of one purpose: a secret, a signing key, or one of each suite that this machine has."""
    if purpose in _SYMMETRIC:
        secret = random_bytes(SECRET_BYTES)
        mark = sha256_hex(b"qq-key-id\x00" + secret)
        return [SymmetricKey(_key_id(purpose, now, mark), purpose, now, None, secret)]
    made: list[SigningKey] = [_LOADERS[_SIGNING[purpose]].generate()]
    if purpose in _IN_BOTH_SUITES and sm2_available():
        made.append(Sm2Key.generate())
    return [
        RingKey(_key_id(purpose, now, sha256_hex(key.public)), purpose, key.algorithm, now, None, key) for key in made
    ]


def _key_id(purpose: Purpose, now: datetime, mark: str) -> str:
    return f"{purpose.value}-{now.astimezone(UTC).date().isoformat()}-{mark[:8]}"


def _place(entry: Mapping[str, Any]) -> bytes:
    """What a sealed key is bound to."""
    return canonical({name: entry[name] for name in ("key_id", "purpose", "algorithm", "created_at", "retired_at")})


def _sealed(suite: Suite, master: bytes, key: AnyKey) -> dict[str, Any]:
    entry = {
        "key_id": key.key_id,
        "purpose": key.purpose.value,
        "algorithm": key.algorithm,
        "created_at": rfc3339(key.created_at),
        "retired_at": None if key.retired_at is None else rfc3339(key.retired_at),
    }
    if isinstance(key, RingKey):
        entry["public"] = b64url(key.public)
    return entry | {"sealed": b64url(seal(suite, master, key.private_bytes(), _place(entry)))}


def _opened(master: bytes, entry: Mapping[str, Any]) -> AnyKey:
    try:
        private = unseal(master, unb64url(entry["sealed"]), _place(entry))
    except SealBroken as error:
        raise KeyMissing(f"the master key does not open {entry['key_id']}") from error
    purpose, created_at = Purpose(entry["purpose"]), datetime.fromisoformat(entry["created_at"])
    retired_at = None if entry["retired_at"] is None else datetime.fromisoformat(entry["retired_at"])
    if entry["algorithm"] == _SECRET:
        return SymmetricKey(entry["key_id"], purpose, created_at, retired_at, private)
    key = _LOADERS[entry["algorithm"]](private)
    if b64url(key.public) != entry["public"]:
        raise KeyMissing(f"the public half of {entry['key_id']} was changed")
    return RingKey(entry["key_id"], purpose, entry["algorithm"], created_at, retired_at, key)
