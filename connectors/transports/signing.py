"""How a request to an agency is signed by a shared secret. Pure: the time is handed in.

  rfc9421             HTTP Message Signatures: @method, @authority, @path, @query, content-digest; hmac-sha256
  hmac-sha256, -sm3   as Chinese platforms do: METHOD, path with query, time, digest of the body, a line each;
                      X-Access-Key, X-Date, X-Digest, X-Signature (lower-case hexadecimal)

Not here: which secret it is; checking signatures, which is the other side's business.
"""

from base64 import b64encode
from datetime import datetime
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from registry.clock import rfc3339
from registry.suites import hmac_sha256, hmac_sm3, sha256, sm3

Scheme = Literal["rfc9421", "hmac-sha256", "hmac-sm3"]
_LABEL = "qq"


def signed_headers(
    scheme: Scheme, key_id: str, secret: bytes, *, method: str, url: str, body: bytes, at: datetime
) -> dict[str, str]:
    """Give the headers that sign a request."""
    parts = urlsplit(url)
    if scheme == "rfc9421":
        return _rfc9421(key_id, secret, method, parts, body, at)
    digest, mac = (sha256, hmac_sha256) if scheme == "hmac-sha256" else (sm3, hmac_sm3)
    date, body_digest = rfc3339(at), digest(body).hex()
    base = "\n".join((method, _target(parts), date, body_digest))
    return {
        "X-Access-Key": key_id,
        "X-Date": date,
        "X-Digest": body_digest,
        "X-Signature": mac(secret, base.encode()).hex(),
    }


def _rfc9421(key_id: str, secret: bytes, method: str, parts: SplitResult, body: bytes, at: datetime) -> dict[str, str]:
    content_digest = f"sha-256=:{b64encode(sha256(body)).decode()}:"
    values = {
        "@method": method,
        "@authority": _authority(parts),
        "@path": parts.path or "/",
        "@query": f"?{parts.query}",
        "content-digest": content_digest,
    }
    names = " ".join(f'"{name}"' for name in values)
    created = int(at.timestamp())
    params = f'({names});created={created};keyid="{key_id}";alg="hmac-sha256"'
    lines = [f'"{name}": {value}' for name, value in values.items()]
    base = "\n".join([*lines, f'"@signature-params": {params}'])
    return {
        "Content-Digest": content_digest,
        "Signature-Input": f"{_LABEL}={params}",
        "Signature": f"{_LABEL}=:{b64encode(hmac_sha256(secret, base.encode())).decode()}:",
    }


def _authority(parts: SplitResult) -> str:
    """Give host and port, the port left out where the scheme says it (RFC 9421, 2.2.3)."""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    host = (parts.hostname or "").lower()
    return host if parts.port in {None, usual} else f"{host}:{parts.port}"


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
