"""Signed manifests as an outside party makes them: hashes of files, stated and signed as a compact JWS.

Ed25519 (RFC 9864) with a key that is made here, or SM2 by a device. Hashes are made here a second time, by nothing of
the product. The arithmetic of SM2 is not done here: an agency's SM2 key lies in a device of its own (UKey, 签章系统),
which is handed in.
"""

import hashlib  # noqa: TID251  # an outside party: it has no cipher room of the product
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from joserfc import jws
from joserfc.jwk import OKPKey

Json = Mapping[str, object]

_TYP: Final = "qq-manifest+jws"
_KEY_ID_CHARACTERS: Final = 22


@dataclass(frozen=True)
class Hashes:
    """What names bytes in a manifest, in hex."""

    sha256: str
    sm3: str
    size: int


def hashes_of(content: bytes) -> Hashes:
    """Take SHA-256 and SM3 of a file's bytes."""
    return Hashes(hashlib.sha256(content).hexdigest(), hashlib.new("sm3", content).hexdigest(), len(content))


@dataclass(frozen=True)
class Seal:
    """An agency's signing key (电子签章): Ed25519."""

    key: OKPKey = field(repr=False)

    @property
    def public(self) -> str:
        """The public key to register: base64url of its 32 bytes."""
        return str(self.key.as_dict(private=False)["x"])

    @property
    def key_id(self) -> str:
        """What the exchange calls it: the beginning of the SHA-256 of algorithm and bytes."""
        raw = self.key.public_key.public_bytes_raw()
        return hashlib.sha256(b"Ed25519|" + raw).hexdigest()[:_KEY_ID_CHARACTERS]

    def sign(self, agency: str, files: Sequence[Json], *, made_at: datetime) -> str:
        """Sign a manifest.

        Args:
            agency: the organisation's full name.
            files: of each its `sha256`, `sm3`, `size`, and if wanted `name`, `rows` and `amount` (fen).
            made_at: when it is signed.
        """
        header = {"alg": "Ed25519", "kid": self.key_id, "typ": _TYP}
        payload = _stated(agency, files, self.key_id, made_at)
        return jws.serialize_compact(header, payload, self.key, algorithms=["Ed25519"])


def new_seal() -> Seal:
    """Make a signing key."""
    return Seal(OKPKey.generate_key("Ed25519"))


@dataclass(frozen=True)
class Device:
    """An SM2 key in a device (UKey, 签章系统), which never leaves it.

    Args:
        point: the public key, 04‖x‖y, 65 bytes.
        signs: has the device sign bytes by GB/T 32918.2 with SM3 and the signer's id 1234567812345678; gives r‖s.
    """

    point: bytes
    signs: Callable[[bytes], bytes] = field(repr=False)

    @property
    def public(self) -> str:
        """The public key to register: base64url of its 65 bytes."""
        return _base64url(self.point)

    @property
    def key_id(self) -> str:
        """What the exchange calls it: the beginning of the SHA-256 of algorithm and bytes."""
        return hashlib.sha256(b"SM2|" + self.point).hexdigest()[:_KEY_ID_CHARACTERS]

    def sign(self, agency: str, files: Sequence[Json], *, made_at: datetime) -> str:
        """Sign a manifest; the arguments are those of `Seal.sign`."""
        header = _json({"alg": "SM2", "kid": self.key_id, "typ": _TYP})
        signed = f"{_base64url(header)}.{_base64url(_stated(agency, files, self.key_id, made_at))}"
        return f"{signed}.{_base64url(self.signs(signed.encode()))}"


def _stated(agency: str, files: Sequence[Json], key_id: str, made_at: datetime) -> bytes:
    moment = made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _json({"agency": agency, "files": list(files), "key_id": key_id, "made_at": moment, "v": 1})


def _json(said: Json) -> bytes:
    return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
