"""Client certificates behind a proxy that ends TLS (RFC 8705, RFC 9440): taken from that proxy alone.

The proxy asks for a certificate, sees that the connection holds its key (and, for `tls_client_auth`, that an authority
of its own stands behind it), and hands it over as `Client-Cert`, a byte sequence of RFC 8941. Anybody can write such a
header. So:

  * without `QINGQIAO_TLS_PROXY` it is never read
  * with it, the header counts if the connection comes from that address or network, and occurs once; from anywhere
    else, twice, or not readable, there is no certificate
  * the proxy has to remove the header that a client sent itself; docs/fapi.md says so

What a client registered is a certificate (`self_signed_tls_client_auth`: thumbprints) or a subject under an authority
that the proxy trusts (`tls_client_auth`). Days are compared at every use.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from registry.canonical import b64url
from registry.suites.certificates import MAX_DER_BYTES, Certificate, read_certificate

SHOWN: Final = "qingqiao.certificate"
BY_SUBJECT: Final = "tls_client_auth"
BY_THUMBPRINT: Final = "self_signed_tls_client_auth"
THUMBPRINTS: Final = "x5t#S256"
SUBJECT: Final = "tls_client_auth_subject_dn"
NOT_AFTER: Final = "not_after"  # of each thumbprint: to warn in time; what counts is what is shown
MOST_THUMBPRINTS: Final = 4  # of one client: the one in use, and those that follow it
_HEADER: Final = b"client-cert"
_LONGEST: Final = MAX_DER_BYTES * 4 // 3 + 8
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Registered:
    """What a client registered: how it is recognised, and by what."""

    method: str
    subject: str | None
    thumbprints: frozenset[str]

    def accepts(self, shown: Certificate, *, now: datetime) -> bool:
        """Say whether a certificate is this client's, and its days hold `now`."""
        if not shown.valid_at(now):
            return False
        if self.method == BY_SUBJECT:
            return self.subject is not None and shown.subject == self.subject
        return thumbprint(shown) in self.thumbprints


def thumbprint(shown: Certificate) -> str:
    """Give `x5t#S256` (RFC 8705 §3.1)."""
    return b64url(shown.sha256)


def registered(row: Mapping[str, Any] | None) -> Registered | None:
    """Read what stands in a client's row."""
    if row is None:
        return None
    return Registered(str(row["method"]), row.get(SUBJECT), frozenset(row.get(THUMBPRINTS, ())))


def as_row(certificates: Iterable[Certificate], *, by_subject: bool) -> dict[str, Any]:
    """Write what is registered.

    Raises:
        ValueError: no certificate, too many, or several subjects, or one without a subject.
    """
    given = list(certificates)
    if not 0 < len(given) <= MOST_THUMBPRINTS:
        raise ValueError(f"one to {MOST_THUMBPRINTS} certificates are registered")
    if not by_subject:
        ends = {thumbprint(one): one.not_after.isoformat() for one in given}
        return {"method": BY_THUMBPRINT, THUMBPRINTS: sorted(ends), NOT_AFTER: ends}
    subjects = {one.subject for one in given}
    if len(subjects) != 1 or "" in subjects:
        raise ValueError("a client is known by one subject, and that is not empty")
    return {"method": BY_SUBJECT, SUBJECT: subjects.pop()}


def read_header(headers: Iterable[tuple[bytes, bytes]]) -> Certificate | None:
    """Read the one `Client-Cert` of a request; None if there is none, several, or none that can be read."""
    found = [value.strip(b" \t") for name, value in headers if name == _HEADER]
    if len(found) != 1 or len(found[0]) > _LONGEST or not (found[0].startswith(b":") and found[0].endswith(b":")):
        return None
    try:
        return read_certificate(base64.b64decode(found[0][1:-1], validate=True))
    except (ValueError, binascii.Error):
        return None


class FromProxy:
    """ASGI: leaves the certificate that a trusted proxy hands over in the request's scope; see the module's header."""

    def __init__(self, app: ASGIApp, *, proxy: Network) -> None:
        self._app = app
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, and pass on."""
        if scope["type"] == "http" and self._trusts(scope.get("client")):
            shown = read_header(scope["headers"])
            if shown is not None:
                scope[SHOWN] = shown
        await self._app(scope, receive, send)

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        try:
            return client is not None and ip_address(client[0]) in self._proxy
        except ValueError:
            return False


def shown_in(scope: Scope) -> Certificate | None:
    """Give the certificate that a request was sent with, if a trusted proxy said so."""
    found = scope.get(SHOWN)
    return found if isinstance(found, Certificate) else None
