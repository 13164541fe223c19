"""Requests of ours, signed by HTTP Message Signatures (RFC 9421) with a Content-Digest (RFC 9530). Pure.

Covered are method, target address, digest of the body and its type; of the signature its moment, key, algorithm and
`tag`, which keeps one use from passing as another. The key is the one that signs access tokens (ES256, in RFC 9421
`ecdsa-p256-sha256`), public at `/oauth/jwks`; a signature base begins with a quoted name and cannot pass for the
signing input of a JWS, nor that for it.

Not here: verifying. Receivers do that by any library, or by `exchange.client.verify_webhook`.
"""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from registry.jws import Signer
from registry.suites import sha256

TAG: Final = "qingqiao-webhook"
LABEL: Final = "sig1"
ALGORITHM: Final = "ecdsa-p256-sha256"
_COVERED: Final = ("@method", "@target-uri", "content-digest", "content-type")


def signed_headers(  # the parts of a request
    key: Signer, key_id: str, url: str, body: bytes, media_type: str, *, now: datetime
) -> dict[str, str]:
    """Give the headers of a POST of `body` to `url`: type, digest, and the signature over them.

    Args:
        key: signs by ES256.
        key_id: its id in the published set.
        url: the address as it was registered: what the receiver knows itself by.
        body: exactly what is sent.
        media_type: of the body.
        now: this instant.
    """
    if key.algorithm != "ES256":
        raise ValueError(f"a request is signed by {ALGORITHM}")
    covered = {
        "@method": "POST",
        "@target-uri": url,
        "content-digest": f"sha-256=:{_base64(sha256(body))}:",
        "content-type": media_type,
    }
    inner = " ".join(f'"{name}"' for name in _COVERED)
    params = f'({inner});created={int(now.timestamp())};keyid="{key_id}";alg="{ALGORITHM}";tag="{TAG}"'
    signature = key.sign(base(covered, params))
    return {
        "Content-Type": media_type,
        "Content-Digest": covered["content-digest"],
        "Signature-Input": f"{LABEL}={params}",
        "Signature": f"{LABEL}=:{_base64(signature)}:",
    }


def base(covered: Mapping[str, str], params: str) -> bytes:
    """Write what is signed (RFC 9421 §2.5)."""
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode("ascii")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
