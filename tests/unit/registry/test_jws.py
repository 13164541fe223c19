"""Compact and detached signatures, with joserfc as the independent reader."""

import json

import pytest
from joserfc import jws as oracle
from joserfc.jwk import ECKey, OKPKey

from registry import jws
from registry.canonical import b64url
from registry.errors import SignatureInvalid
from registry.suites import Ed25519Key, Es256Key, Sm2Key

KEY = Ed25519Key(bytes(range(32)))
KEYS = {"answer-1": KEY.public}
PAYLOAD = b'{"amount":1}'
TYP = "qq-answer+jws"


def test_what_is_signed_verifies() -> None:
    header, payload = jws.verify(jws.sign(KEY, "answer-1", PAYLOAD, TYP), KEYS, typ=TYP)
    assert header == {"alg": "Ed25519", "kid": "answer-1", "typ": TYP}
    assert payload == PAYLOAD


def test_a_detached_payload_is_needed_again_to_verify() -> None:
    signed = jws.sign_detached(KEY, "answer-1", PAYLOAD, TYP)
    assert ".." in signed
    assert jws.verify(signed, KEYS, PAYLOAD)[1] == PAYLOAD
    for wrong in (None, b"", PAYLOAD + b" "):
        with pytest.raises(SignatureInvalid):
            jws.verify(signed, KEYS, wrong)
    with pytest.raises(SignatureInvalid, match="payload inside"):
        jws.verify(jws.sign(KEY, "answer-1", PAYLOAD, TYP), KEYS, PAYLOAD)


def test_an_independent_library_accepts_our_signatures() -> None:
    public = OKPKey.import_key(dict(jws.public_jwk(KEY.public, "answer-1")))
    found = oracle.deserialize_compact(jws.sign(KEY, "answer-1", PAYLOAD, TYP), public, algorithms=["Ed25519"])
    assert found.payload == PAYLOAD
    key = Es256Key(bytes(range(32)))
    found = oracle.deserialize_compact(
        jws.sign(key, "token-1", PAYLOAD, "at+jwt"),
        ECKey.import_key(dict(jws.public_jwk(key.public, "token-1"))),
        algorithms=["ES256"],
    )
    assert found.payload == PAYLOAD
    assert jws.verify(jws.sign(key, "token-1", PAYLOAD, "at+jwt"), {"token-1": key.public})[1] == PAYLOAD


def test_no_changed_character_verifies() -> None:
    signed = jws.sign(KEY, "answer-1", PAYLOAD, TYP)
    for position in range(len(signed)):
        changed = signed[:position] + ("A" if signed[position] != "A" else "B") + signed[position + 1 :]
        with pytest.raises(SignatureInvalid):
            jws.verify(changed, KEYS)


def forged(**header: object) -> str:
    head = b64url(json.dumps(header).encode())
    body = b64url(PAYLOAD)
    return f"{head}.{body}.{b64url(KEY.sign(f'{head}.{body}'.encode()))}"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "answer-1"},
        {"alg": "EdDSA", "kid": "answer-1"},
        {"alg": "HS256", "kid": "answer-1"},
        {"alg": "Ed25519", "kid": "another"},
        {"alg": "Ed25519"},
        {"alg": "Ed25519", "kid": ["answer-1"]},
        {"alg": "Ed25519", "kid": "answer-1", "crit": ["exp"]},
        {"alg": "Ed25519", "kid": "answer-1", "jwk": {}},
        {"alg": "Ed25519", "kid": "answer-1", "b64": False},
        {"alg": "Ed25519", "kid": "answer-1", "pad": "x" * 3000},
    ],
)
def test_the_header_chooses_neither_algorithm_nor_key(header: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalid):
        jws.verify(forged(**header), KEYS)


def test_a_signature_for_one_use_does_not_pass_for_another() -> None:
    with pytest.raises(SignatureInvalid, match="something else"):
        jws.verify(jws.sign(KEY, "answer-1", PAYLOAD, TYP), KEYS, typ="qq-receipt+jws")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é", "bnVsbA..AA", "W10.e30.AA"])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        jws.verify(text, KEYS)


def test_an_sm2_key_signs_and_passes_only_as_what_it_is() -> None:
    key = Sm2Key.generate()
    signed = jws.sign(key, "k", b"{}", "t+jws")
    header, payload = jws.verify(signed, {"k": jws.Public("SM2", key.public)}, typ="t+jws")
    assert (header["alg"], payload) == ("SM2", b"{}")
    for trusted in ({"k": key.public}, {"k": jws.Public("ES256", key.public)}):
        with pytest.raises(SignatureInvalid):
            jws.verify(signed, trusted)
