"""A lender's system that hands in files of questions, fetches what came of them and opens it, as an outsider would.

Sealed parts are opened by `cryptography`, not by the code that sealed them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: TID251  # another opinion than ours
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite  # noqa: TID251  # the same

from exchange.bulk import keys, working
from exchange.home import Home
from registry import clock, encryption
from registry.canonical import canonical, unb64url
from registry.identifiers import ResidentId
from registry.suites import sha256
from registry.suites.hpke import HpkeKey
from registry.trust import TrustPolicy
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.people import BANK, ZHANG

TUS = {"Tus-Resumable": "1.0.0"}


def asked(who: ResidentId = ZHANG, **changes: Any) -> bytes:
    """One line."""
    said = {
        "subject": {"type": "resident_id", "identifier": who.text},
        "purpose": "LOAN_APPROVAL",
        "business_no": "LA-1",
        **changes,
    }
    return orjson.dumps(said)


def file_of(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@dataclass
class Batcher:
    """A lender's system over a door in process."""

    home: Home
    door: Door
    caller: Caller
    key: HpkeKey = field(default_factory=lambda: HpkeKey.generate("P-256"))

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = path if path.startswith("http") else ISSUER + path
        token = more.pop("token", None) or self.caller.token(self.door)
        headers = self.caller.headers(method, url.partition("?")[0], token) | more.pop("headers", {})
        return self.door.call(method, url, headers=headers, **more)

    def announce(self, content: bytes, key: str | None = None, **headers: str) -> httpx.Response:
        digest = base64.b64encode(sha256(content).hex().encode()).decode()
        said = TUS | {
            "Idempotency-Key": key or uuid4().hex,
            "Upload-Length": str(len(content)),
            "Upload-Metadata": f"sha256 {digest}",
        }
        return self.call("POST", "/v1/batches", headers=said | headers)

    def send(
        self, where: str, content: bytes, offset: int = 0, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        said = TUS | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        return self.call("PATCH", where, headers=said | dict(headers or {}), content=content)

    def handed_in(self, content: bytes, key: str | None = None) -> str:
        """Hand in a file whole, or fail the test; give the batch's id."""
        announced = self.announce(content, key)
        assert announced.status_code == 201, announced.text
        sent = self.send(announced.headers["location"], content)
        assert sent.status_code == 204, sent.text
        return str(announced.json()["batch_id"])

    def state(self, batch_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/v1/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def fetch(self, batch_id: str, part: int = 1) -> httpx.Response:
        return self.call("GET", f"/v1/batches/{batch_id}/results/{part}")

    def fetched(self, batch_id: str, part: int = 1) -> list[dict[str, Any]]:
        """Fetch a part and open it, or fail the test."""
        answer = self.fetch(batch_id, part)
        assert answer.status_code == 200, answer.text
        return opened(self.key, answer.content)

    def manifest(self, batch_id: str) -> bytes:
        answer = self.call("GET", f"/v1/batches/{batch_id}/manifest")
        assert answer.status_code == 200, answer.text
        return answer.content


def batcher(home: Home, door: Door, client_id: str = "bank", organisation: str = BANK) -> Batcher:
    """Register a lender's system with a key that results are sealed to."""
    made = Batcher(home, door, registered(home, Caller(client_id), organisation=organisation))
    with home.database.transaction() as tx:
        keys.register(tx, client_id, encryption.read(encryption.jwk_of(made.key)), now=clock.now())
    return made


def worked(home: Home) -> int:
    """Do what the job does until nothing is left, without its rests."""
    return working.work_due(home, run_seconds=60, rest=0)


def opened(key: HpkeKey, part: bytes) -> list[dict[str, Any]]:
    """Open a part as docs/lenders.md says, by another implementation."""
    said = orjson.loads(part)
    info = canonical({name: value for name, value in said.items() if name != "sealed"})
    private = ec.derive_private_key(int.from_bytes(key.private_bytes()), ec.SECP256R1())
    suite = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    return [orjson.loads(line) for line in suite.decrypt(unb64url(said["sealed"]), private, info).splitlines()]


def trust(home: Home) -> TrustPolicy:
    return TrustPolicy.parse(home.keyring.trust_policy())


def outcomes(lines: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Number and outcome of each line."""
    return [(line["line"], line.get("refusal", "permitted")) for line in lines]
