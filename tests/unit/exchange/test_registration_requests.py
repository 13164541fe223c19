"""What a lender's registration request must be before it is kept: its form, and the proof that its keys are its own."""

import time
from typing import Any

import orjson
import pytest
from joserfc.jwk import OKPKey

from exchange.admission import registration
from exchange.admission.registration import Asked
from exchange.errors import KeyRefused, RequestRefused
from registry import clock
from registry.canonical import b64url
from tests.attacks.bent_client import ISSUER
from tests.registering import PROOF_TYPE, REQUEST_TYPE, Applicant, fresh_key, key_proof

LENDER = Applicant()
ELSEWHERE = "https://bank.example/jwks.json"


def read(text: str, *proofs: str, sandbox: bool = False) -> Asked:
    return registration.read(text, proofs, issuer=ISSUER, sandbox=sandbox, now=clock.now())


def refused(text: str, *proofs: str) -> RequestRefused:
    with pytest.raises(RequestRefused) as raised:
        read(text, *proofs)
    return raised.value


def test_a_sound_request_is_kept_as_two_officers_will_see_it() -> None:
    asked = read(LENDER.signed(organisation="青海 测试农商银行", service_regions=["630222", "63", "630222"][::2]))
    assert asked.organisation == "青海测试农商银行"
    assert asked.thumbprints == (LENDER.keys[0].thumbprint(),)
    assert asked.content["signed_by"] == LENDER.keys[0].thumbprint()
    assert asked.content["service_regions"] == ["630222"]
    assert asked.content["trial"] is None
    assert len(asked.spends) == 1


def test_each_further_key_signs_too() -> None:
    two = Applicant(keys=[fresh_key("a"), OKPKey.generate_key("Ed25519", {"kid": "b"})])
    proof = key_proof(two.keys[1], two.keys)
    assert len(read(two.signed(), proof).spends) == 2
    assert refused(two.signed()).code == "possession-unproven"
    assert refused(two.signed(), proof, proof).code == "possession-unproven"
    stranger = fresh_key("b")
    assert refused(two.signed(), key_proof(stranger, two.keys)).code == "possession-unproven"
    other_set = key_proof(two.keys[1], [two.keys[1], stranger])
    assert refused(two.signed(), other_set).code == "possession-unproven"
    for bent in ({"aud": "https://elsewhere.example"}, {"jti": None}, {"iat": int(time.time()) - 400}):
        assert refused(two.signed(), key_proof(two.keys[1], two.keys, **bent)).code == "possession-unproven"
    other_use = key_proof(two.keys[1], two.keys, header={"typ": "dpop+jwt"})
    assert refused(two.signed(), other_use).code == "possession-unproven"


@pytest.mark.parametrize(
    "bent",
    [
        {"key": fresh_key()},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": PROOF_TYPE}},
        {"aud": "https://elsewhere.example"},
        {"aud": [ISSUER]},
        {"iat": None},
        {"iat": int(time.time()) + 3600},
        {"iat": int(time.time()) - 3600},
        {"jti": None},
    ],
    ids=["key", "typ", "typ of a proof", "aud", "aud as a list", "no iat", "to come", "long ago", "no jti"],
)
def test_who_does_not_hold_the_key_registers_nothing(bent: dict[str, Any]) -> None:
    assert refused(LENDER.signed(**bent)).code == "possession-unproven"


def test_an_unsigned_request_registers_nothing() -> None:
    head = b64url(orjson.dumps({"alg": "none", "typ": REQUEST_TYPE, "kid": "k1"}))
    assert refused(f"{head}.{LENDER.signed().split('.')[1]}.").code == "possession-unproven"
    assert refused("x").code == "possession-unproven"


@pytest.mark.parametrize(
    "bent",
    [
        {"client_name": None},
        {"organisation": "甲银行、乙银行"},
        {"organisation": "甲银\u200b行"},
        {"client_name": "信贷\u202e统系"},
        {"security_contact": {"office": "科技\u200b部", "phone": "0971-0000003", "email": "a@bank.example"}},
        {"uscc": "91630000MA00000072"},
        {"jwks": None},
        {"jwks_uri": ELSEWHERE},
        {"contacts": []},
        {"contacts": ["nobody"]},
        {"scope": "queries audit:read"},
        {"scope": ""},
        {"service_regions": []},
        {"service_regions": ["999999"]},
        {"service_regions": ["63022"]},
        {"service_regions": ["630222 "]},
        {"caps": {"daily": 10, "monthly": 9}},
        {"caps": {"daily": 0, "monthly": 9}},
        {"caps": {"daily": 1}},
        {"contact": {"office": "部", "phone": "0971-0000002", "address": "路2号"}},
        {"security_contact": {"office": "科技部", "phone": "13900000000", "email": "a@bank.example"}},
        {"technical_contact": {"office": "科技部", "phone": "0971-0000003", "email": "nobody"}},
        {"client_secret": "x"},
    ],
    ids=str,
)
def test_what_a_registration_may_not_state_is_refused_by_the_name_of_the_member(bent: dict[str, Any]) -> None:
    found = refused(LENDER.signed(**bent))
    assert found.code == "registration-malformed"
    name, value = next(iter(bent.items()))
    assert name in str(found) or name == "client_secret"
    assert "13900000000" not in str(found)
    assert not isinstance(value, str) or not value or value not in str(found)


def test_a_redirect_elsewhere_than_https_is_refused() -> None:
    assert refused(LENDER.signed(redirect_uris=["http://bank.example/back"])).code == "client-unregistrable"


def test_keys_that_nobody_may_register_are_refused() -> None:
    private = Applicant(keys=[fresh_key()])
    with pytest.raises(KeyRefused):
        read(private.signed(jwks={"keys": [private.keys[0].as_dict(private=True)]}))
    with pytest.raises(KeyRefused):
        read(private.signed(jwks={"keys": []}))


def test_keys_at_an_address_are_not_known_yet_and_the_request_is_signed_by_one_that_must_lie_there() -> None:
    asked = read(LENDER.by_url(ELSEWHERE))
    assert asked.content["jwks"] is None
    assert asked.thumbprints == ()
    assert asked.content["signed_by"] == LENDER.keys[0].thumbprint()


@pytest.mark.parametrize(
    "uri",
    [
        "http://bank.example/jwks.json",
        "https://127.0.0.1/jwks.json",
        "https://10.0.0.8/jwks.json",
        "https://[::1]/jwks.json",
        "https://169.254.169.254/latest",
        "https://[::ffff:192.168.0.1]/x",
        "https://localhost/jwks.json",
        "https://user@bank.example/jwks.json",
        "https://bank.example/jwks.json?x=1",
        "file:///etc/passwd",
        "https://bank.example/jwks.json#x",
    ],
)
def test_an_address_within_is_refused_before_anything_is_fetched(uri: str) -> None:
    found = refused(LENDER.by_url(uri))
    assert found.code == "registration-malformed"
    assert uri not in str(found)
