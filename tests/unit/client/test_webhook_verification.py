"""A receiver takes what the exchange signed for it, now; and nothing that was bent in any place."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from exchange.client import NotGenuine, answer_challenge, verify_webhook
from exchange.http_signatures import signed_headers
from registry import jws
from registry.suites import Es256Key, sha256

KEY = Es256Key.generate()
JWKS = {"keys": [jws.public_jwk(KEY.public, "k1")]}
URL = "https://bank.example/qingqiao"
BODY = b'{"id":"e-1","type":"record.new","data":{"kind":"RATING"}}'
NOW = 1_781_496_306.0
Headers = dict[str, str]


def headers(body: bytes = BODY, key: Es256Key = KEY, key_id: str = "k1", url: str = URL) -> Headers:
    now = datetime.fromtimestamp(NOW, UTC)
    return signed_headers(key, key_id, url, body, "application/cloudevents+json", now=now)


def taken(given: Headers, body: bytes = BODY, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"url": URL, "now": NOW} | more
    return verify_webhook(given, body, JWKS, **asked)


def test_what_was_signed_is_taken_whatever_the_case_of_names_and_whoever_signed_beside() -> None:
    assert taken(headers())["id"] == "e-1"
    assert taken({name.upper(): value for name, value in headers().items()})["id"] == "e-1"
    beside = headers()
    beside["Signature-Input"] += ', proxy=("@method");created=1;keyid="p";tag="proxy"'
    beside["Signature"] += ", proxy=:AAAA:"
    assert taken(beside)["id"] == "e-1"
    assert taken(headers(), now=NOW + 299)["id"] == "e-1"


def bent(name: str, before: str, after: str) -> Callable[[Headers], Headers]:
    def bend(given: Headers) -> Headers:
        assert before in given[name]
        return given | {name: given[name].replace(before, after, 1)}

    return bend


def without(name: str) -> Callable[[Headers], Headers]:
    return lambda given: {key: value for key, value in given.items() if key != name}


OTHER_DIGEST = base64.b64encode(sha256(b"other")).decode()


@pytest.mark.parametrize(
    "bend",
    [
        without("Signature"),
        without("Signature-Input"),
        without("Content-Digest"),
        without("Content-Type"),
        bent("Content-Type", "cloudevents+json", "json"),
        bent("Content-Digest", base64.b64encode(sha256(BODY)).decode(), OTHER_DIGEST),
        bent("Content-Digest", "sha-256", "sha-512"),
        bent("Signature-Input", '"content-digest" ', ""),
        bent("Signature-Input", '"@target-uri" ', ""),
        bent("Signature-Input", "created=1", "created=2"),
        bent("Signature-Input", 'keyid="k1"', 'keyid="k2"'),
        bent("Signature-Input", 'alg="ecdsa-p256-sha256"', 'alg="hmac-sha256"'),
        bent("Signature-Input", 'tag="qingqiao-webhook"', 'tag="other"'),
        bent("Signature-Input", ';tag="qingqiao-webhook"', ""),
        bent("Signature-Input", '"@method"', '"@method";req'),
        bent("Signature-Input", '"@method"', '"@method" "x-not-there"'),
        bent("Signature-Input", "sig1=", "sig2="),
        bent("Signature", ":", ""),
        bent("Signature", "sig1=:", "sig1=:AAAA"),
        lambda given: given | {"Signature-Input": given["Signature-Input"] + ", " + given["Signature-Input"]},
        lambda given: given | {"Signature-Input": "sig1=(" + '"@method" ' * 5000 + ")"},
        lambda given: given | {"Signature": "sig1=:" + base64.b64encode(bytes(64)).decode() + ":"},
    ],
)
def test_what_was_bent_is_refused(bend: Callable[[Headers], Headers]) -> None:
    with pytest.raises(NotGenuine):
        taken(bend(headers()))


@pytest.mark.parametrize(
    "more",
    [
        {"body": BODY + b" "},
        {"url": "https://bank.example/other"},
        {"method": "PUT"},
        {"now": NOW + 301},
        {"now": NOW - 301},
    ],
)
def test_another_body_address_method_or_time_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(NotGenuine):
        taken(headers(), **more)


def test_another_key_under_a_known_name_is_refused() -> None:
    with pytest.raises(NotGenuine):
        taken(headers(key=Es256Key.generate()))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1, "data": {}}', b'{"id": "x"}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(NotGenuine):
        taken(headers(body), body)


def test_a_challenge_is_answered_and_nothing_else_is() -> None:
    asked = {"challenge": "abc", "client_id": "bank"}
    assert answer_challenge({"type": "webhook.challenge", "data": asked}, "bank") == b"abc"
    assert answer_challenge({"type": "record.new", "data": asked}, "bank") == b""


def test_a_challenge_for_the_events_of_another_lender_is_not_answered() -> None:
    for data in ({"challenge": "abc", "client_id": "other-bank"}, {"challenge": "abc"}, None):
        assert answer_challenge({"type": "webhook.challenge", "data": data}, "bank") == b""
