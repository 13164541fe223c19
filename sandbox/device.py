"""A device that takes consents without signal (离线采集设备), as an integrator would build it; speaks protocol only.

    device = new_device()                                  # its key never leaves it; register `device.public`
    device.take(content, at=now)                           # sign one more record onto the chain, as often as needed
    device.head(at=now)                                    # announce how far it has come, over any line
    for segment in device.segments(received): upload …     # POST /v1/consents/offline, again after a cut

The chain, in full (docs/capture.md): a record is JSON in RFC 8785 form, `{"v", "kind", "device", "counter", "prev",
"at", "content"}`; its link is SHA-256 over "qq-offline-link/v1", a zero byte and the record; `prev` is the link of the
record before, for the first one that of the device's name in place of a record. It is signed (ES256: r‖s) over
"qq-offline-record/v1", a zero byte and the record. Numbers are whole and texts plain, so that Python's own writer of
JSON, keys sorted and without blanks, gives the very bytes of RFC 8785.

Records live in memory here; a real device keeps each on disk before it shows "done" to the person.
"""

import hashlib  # noqa: TID251  # an outside party: it has no cipher room of the product
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey

SEGMENT_RECORDS: Final = 32
_LINK: Final = "qq-offline-link/v1\x00"
_RECORD: Final = "qq-offline-record/v1\x00"
_HEAD: Final = "qq-offline-head/v1\x00"
_NAME_CHARACTERS: Final = 16

Json = Mapping[str, Any]


@dataclass
class Device:
    """A device with its key and its chain."""

    key: ECKey = field(repr=False)
    records: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @property
    def public(self) -> bytes:
        """The public key: an uncompressed point of P-256, 65 bytes."""
        jwk = self.key.as_dict(private=False)
        return b"\x04" + _unb64(str(jwk["x"])) + _unb64(str(jwk["y"]))

    @property
    def name(self) -> str:
        """What the exchange will call it: after its key."""
        return "dev-" + _sha256(b"ES256|" + self.public).hex()[:_NAME_CHARACTERS]

    @property
    def link(self) -> bytes:
        """The link of its last record."""
        return link_of(self.records[-1]["record"]) if self.records else _sha256((_LINK + self.name).encode())

    def take(self, content: Json, *, at: datetime) -> dict[str, Any]:
        """Sign a consent onto the chain; give the record with its signature, as it is uploaded."""
        record = {
            "v": 1,
            "kind": "consent",
            "device": self.name,
            "counter": len(self.records) + 1,
            "prev": self.link.hex(),
            "at": at.isoformat(timespec="seconds"),
            "content": dict(content),
        }
        signed = {"record": record, "signature": self.sign((_RECORD + written(record)).encode())}
        self.records.append(signed)
        return signed

    def head(self, *, at: datetime) -> dict[str, Any]:
        """Sign how far the chain has come, to be announced (POST /v1/capture-devices/heads)."""
        said = {
            "v": 1,
            "kind": "head",
            "device": self.name,
            "counter": len(self.records),
            "head": self.link.hex(),
            "at": at.isoformat(timespec="seconds"),
        }
        return {"device": self.name, "head": said, "signature": self.sign((_HEAD + written(said)).encode())}

    def segments(self, received: int = 0, *, most: int = SEGMENT_RECORDS) -> Iterator[dict[str, Any]]:
        """Give uploads of what lies behind the record that was received last."""
        for first in range(received, len(self.records), most):
            yield {"device": self.name, "records": self.records[first : first + most]}

    def sign(self, message: bytes) -> str:
        """Sign bytes (ES256); base64url of r‖s."""
        # a detached JWS signs its own header too; the bare signature is what the key's own operation gives
        algorithm = jws.JWSRegistry(algorithms=["ES256"]).get_alg("ES256")
        return _b64(algorithm.sign(message, self.key))


def new_device() -> Device:
    """Make a device with a fresh key."""
    return Device(ECKey.generate_key("P-256"))


def written(value: Json) -> str:
    """Write JSON in RFC 8785 form; what a record holds are codes, dates and hashes, in ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def link_of(record: Json) -> bytes:
    """Give a record's link."""
    return _sha256((_LINK + written(record)).encode())


def _sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
