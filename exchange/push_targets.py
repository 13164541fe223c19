"""Where events may be sent: what an address may look like, and which machines it may lead to.

An operator registers addresses, a lender chooses them, and a name server answers for them: so each time anew the name
is resolved here, every answer must be a public address, and the connection goes to the one that was looked at (a name
that is answered otherwise a moment later leads nowhere). Outside a sandbox `https` only. In a sandbox loopback may be
named too, over `http`; other private networks never.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from exchange.errors import RequestRefused

_LONGEST: Final = 300
_FORBIDDEN: Final = frozenset(' "<>\\^`{|}#?*@')
_LONGEST_NAME: Final = 253  # RFC 1035
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PORTS: Final = {"https": 443, "http": 80}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unreachable(Exception):
    """The name leads nowhere, or to where nothing may be sent. `fault` is fit for a delivery log."""

    def __init__(self, fault: str) -> None:
        """Keep the fault."""
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes: the address that is connected to, and the name that it must prove to have."""

    url: str
    host: str
    authority: str


def check(url: str, *, sandbox: bool) -> str:
    """Return an address that may be registered.

    Raises:
        RequestRefused: `events-url`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RequestRefused("events-url") from error
    plain = url.isascii() and url.isprintable() and _FORBIDDEN.isdisjoint(url) and len(url) <= _LONGEST
    secure = parts.scheme == "https" or (parts.scheme == "http" and sandbox)
    if not (plain and secure and host):
        raise RequestRefused("events-url")
    literal = _literal(host)
    if literal is not None and not allowed(literal, sandbox=sandbox):
        raise RequestRefused("events-url")
    if parts.scheme == "http" and (literal is None or not literal.is_loopback):
        raise RequestRefused("events-url")
    if literal is None and not _is_name(host):
        raise RequestRefused("events-url")
    if literal is None and not sandbox and (host == "localhost" or "." not in host):
        raise RequestRefused("events-url")
    return url


def allowed(address: Address, *, sandbox: bool) -> bool:
    """Say whether something may be sent to an address: a public one, or in a sandbox this machine."""
    inner = _inner(address)
    if inner != address:
        return allowed(inner, sandbox=sandbox)
    if address.is_loopback:
        return sandbox
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:  # fec0::/10: called global, routed nowhere
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(url: str, *, sandbox: bool) -> Target:
    """Look the name up, and give where to connect.

    Raises:
        Unreachable: `name-unknown`, or `address-refused`: one of its addresses is not a public one.
        RequestRefused: the address may not be registered any more.
    """
    parts = urlsplit(check(url, sandbox=sandbox))
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the second of a name that cannot be one; `check` may learn less than it
        raise Unreachable("name-unknown") from error
    return choose(parts, [str(answer[4][0]) for answer in answers], sandbox=sandbox)


def choose(parts: SplitResult, addresses: Sequence[str], *, sandbox: bool) -> Target:
    """Choose the first of the addresses that a name was answered with, if all of them may be sent to.

    Raises:
        Unreachable: as `resolve`.
    """
    found = [ipaddress.ip_address(text.partition("%")[0]) for text in addresses]
    if not found or not all(allowed(one, sandbox=sandbox) for one in found):
        raise Unreachable("address-refused")
    at = f"[{found[0]}]" if found[0].version == 6 else str(found[0])  # noqa: PLR2004  # IPv6
    port = parts.port or _PORTS[parts.scheme]
    return Target(f"{parts.scheme}://{at}:{port}{parts.path or '/'}", parts.hostname or "", parts.netloc)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    """Say whether a text can be asked of a name server: what cannot be is refused when it is registered."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in labels)


def _inner(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
