"""What a lender's receiver checks of a webhook: HTTP Message Signatures (RFC 9421), Content-Digest (RFC 9530), moment.

Steps, each of which refuses:
  1. one Signature-Input and one Signature; among their members exactly one with the tag of the exchange's webhooks
  2. it covers method, target address, digest and type, by a key of the exchange's published set, by the key's own
     algorithm
  3. it was made within some minutes of now
  4. the signature holds over what was covered, as it arrived
  5. the digest is that of the body

A challenge (`event["type"] == "webhook.challenge"`) is answered with its nonce, if it is for the receiver's own client:
`answer_challenge`; whoever answered any would have another lender's events sent to itself. The same event may
come twice, under the same `id`; keep what was taken up.
"""

import base64
import binascii
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from exchange.client.answers import signing_keys
from exchange.client.errors import NotGenuine
from exchange.client.keys import Json
from registry.suites import constant_time_equal, sha256, verify_es256

TAG: Final = "qingqiao-webhook"
WITHIN_SECONDS: Final = 300.0
_NEEDED: Final = frozenset({"@method", "@target-uri", "content-digest", "content-type"})
_ALGORITHM: Final = "ecdsa-p256-sha256"
_LONGEST: Final = 4096
_MEMBER: Final = re.compile(
    r'([a-z*][a-z0-9_.*-]*)=(\(((?:"[a-z@][a-z0-9@-]*" ?)*)\)((?:;[a-z]+=(?:[0-9]{1,15}|"[^"\\]*"))*))(?:, *|$)'
)
_PARAMETER: Final = re.compile(r';([a-z]+)=(?:([0-9]+)|"([^"\\]*)")')
_SIGNATURE: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:, *|$)")
_DIGEST: Final = re.compile(r"(?:^|, *)sha-256=:([A-Za-z0-9+/=]{44}):(?:, *|$)")


def verify_webhook(  # what a request is made of
    headers: Mapping[str, str],
    body: bytes,
    jwks: Json,
    *,
    url: str,
    method: str = "POST",
    now: float | None = None,
    within_seconds: float = WITHIN_SECONDS,
) -> dict[str, Any]:
    """Check a request that came to the registered address, and give the event in it.

    Args:
        headers: as they arrived; names in any case.
        body: exactly as it arrived.
        jwks: what the exchange publishes at `/oauth/jwks`; fetched anew when a key is not in it.
        url: the address as it was registered.
        method: with which it came.
        now: seconds since 1970, by default this machine's.
        within_seconds: how far the moment of signing may lie from now.

    Raises:
        NotGenuine: it does not hold; answer 401 and use nothing of it.
    """
    named = {name.lower(): value.strip() for name, value in headers.items()}
    label, covered, params, written = _input(named.get("signature-input", ""))  # 1
    if not covered >= _NEEDED or params.get("alg", _ALGORITHM) != _ALGORITHM:  # 2
        raise NotGenuine("a webhook whose signature covers too little, or is of another kind")
    key = signing_keys(jwks).get(params.get("keyid", ""))
    if key is None:
        raise NotGenuine("a webhook signed by a key that the exchange does not publish")
    created = params.get("created", "")
    moment = time.time() if now is None else now
    if not created.isdigit() or abs(moment - int(created)) > within_seconds:  # 3
        raise NotGenuine("a webhook of another time")
    values = {**named, "@method": method, "@target-uri": url}
    inner = re.findall(r'"([^"]+)"', written.partition(")")[0])
    if any(name not in values for name in inner):
        raise NotGenuine("a webhook whose signature covers what did not come")
    base = "\n".join([*(f'"{name}": {values[name]}' for name in inner), f'"@signature-params": {written}'])
    if not verify_es256(key.raw, _signature(named.get("signature", ""), label), base.encode("latin-1", "replace")):  # 4
        raise NotGenuine("a webhook whose signature does not hold")
    digest = _DIGEST.search(named["content-digest"])
    if digest is None or not constant_time_equal(_raw(digest[1]), sha256(body)):  # 5
        raise NotGenuine("a webhook whose body was changed")
    return _event(body)


def answer_challenge(event: Json, client_id: str) -> bytes:
    """Give what is to be answered, with status 200, to what was verified: the nonce of a challenge, else nothing.

    Args:
        event: what `verify_webhook` gave.
        client_id: the receiver's own system; a challenge for another's events is not answered.
    """
    said = event.get("data")
    if event.get("type") != "webhook.challenge" or not isinstance(said, dict) or said.get("client_id") != client_id:
        return b""
    return str(said.get("challenge", "")).encode()


def _event(body: bytes) -> dict[str, Any]:
    try:
        event: dict[str, Any] = orjson.loads(body)
        if not isinstance(event["id"], str) or not isinstance(event["data"], dict):
            raise NotGenuine("a webhook that holds no event")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise NotGenuine("a webhook that holds no event") from None
    return event


def _input(text: str) -> tuple[str, set[str], dict[str, str], str]:
    """Give the one signature with our tag: its label, what it covers, its parameters, and both as they were written."""
    found, at = [], 0
    while at < min(len(text), _LONGEST):
        member = _MEMBER.match(text, at)
        if member is None:
            raise NotGenuine("a webhook whose Signature-Input cannot be read")
        params = {name: number or said for name, number, said in _PARAMETER.findall(member[4])}
        if params.get("tag") == TAG:
            found.append((member[1], set(re.findall(r'"([^"]+)"', member[3])), params, member[2]))
        at = member.end()
    if len(found) != 1 or len(text) > _LONGEST:
        raise NotGenuine("a webhook that the exchange did not sign")
    return found[0]


def _signature(text: str, label: str) -> bytes:
    found = [raw for name, raw in _SIGNATURE.findall(text[:_LONGEST]) if name == label]
    if len(found) != 1:
        raise NotGenuine("a webhook that the exchange did not sign")
    return _raw(found[0])


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotGenuine("a webhook whose signature or digest cannot be read") from None
