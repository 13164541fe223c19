"""Whatever is sent in place of a token, proof, assertion or key: refused, never a crash, never believed."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import AssertionRefused, KeyRefused, ProofRefused, RequestRefused
from exchange.oauth import assertion, compact, dpop, form, jwks
from registry.canonical import b64url
from registry.suites import Es256Key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "https://exchange.example/v1/queries"
KEY = Es256Key(b"\x01" * 32)
JWK = {"kty": "EC", "crv": "P-256", "x": b64url(KEY.public[1:33]), "y": b64url(KEY.public[33:])}

texts = st.text("aZ09-_.=+/ é青\U0001f600", max_size=8)  # few characters: drawing from all of Unicode takes seconds
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
NAMES = ["alg", "typ", "kid", "jwk", "crit", "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "htm", "htu", "ath"]
members = st.dictionaries(st.sampled_from(NAMES), anything, max_size=10)
jwk_members = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "d"]), anything
)


def written(header: object, claims: object, key: Es256Key = KEY) -> str:
    text = f"{b64url(orjson.dumps(header))}.{b64url(orjson.dumps(claims))}"
    return f"{text}.{b64url(key.sign(text.encode()))}"


def proof(header: dict[str, Any] | None = None, **claims: Any) -> str:
    stated = {"htm": "POST", "htu": URL, "iat": NOON.timestamp(), "jti": "1"} | claims
    return written({"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK} | (header or {}), stated)


def test_a_good_proof_is_believed_and_names_its_key() -> None:
    believed = dpop.verify(proof(), method="POST", url=URL, now=NOON)
    assert believed.thumbprint == jwks.read_jwk(JWK).thumbprint
    assert len(believed.spend.digest) == 32


def test_the_same_jti_by_the_same_key_is_the_same_spend_whatever_else_differs() -> None:
    one = dpop.verify(proof(), method="POST", url=URL, now=NOON)
    other = dpop.verify(proof(iat=NOON.timestamp() - 5), method="POST", url=URL, now=NOON)
    assert one.spend.digest == other.spend.digest


@given(members, members)
def test_no_proof_of_random_members_is_believed_or_crashes(header: dict[str, Any], claims: dict[str, Any]) -> None:
    with pytest.raises(ProofRefused):
        dpop.verify(written(header, claims), method="POST", url=URL, now=NOON)


@given(st.sampled_from(["typ", "alg", "jwk"]), anything)
def test_a_good_proof_with_one_header_changed_is_not_believed(name: str, value: object) -> None:
    with pytest.raises(ProofRefused):
        dpop.verify(proof({name: value}), method="POST", url=URL, now=NOON)


@given(st.sampled_from(["htm", "htu", "iat", "jti", "ath"]), anything)
def test_a_good_proof_with_one_claim_changed_is_refused_or_means_the_same(name: str, value: Any) -> None:
    try:
        believed = dpop.verify(proof(**{name: value}), method="POST", url=URL, now=NOON)
    except ProofRefused:
        return
    assert (name == "jti" and isinstance(value, str)) or (name == "ath" and value is None)
    assert believed.thumbprint == jwks.read_jwk(JWK).thumbprint


@given(jwk_members)
def test_no_random_key_is_read_or_crashes(jwk: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        jwks.read_jwk(jwk)


@given(anything)
def test_no_random_value_is_a_key_set(value: object) -> None:
    with pytest.raises(KeyRefused):
        jwks.read_jwks(value)


@given(members, members)
def test_no_random_assertion_crashes(header: dict[str, Any], claims: dict[str, Any]) -> None:
    try:
        read = assertion.read(written(header, claims))
    except AssertionRefused:
        return
    assert read.client_id == claims["iss"] == claims["sub"]


@given(st.text("aZ09-_.=+/ é青", max_size=200))
def test_no_random_text_is_a_jws(text: str) -> None:
    with pytest.raises(compact.MalformedJws):
        compact.read(text)


@pytest.mark.parametrize("change", ["=", "+", "/", " ", "\n", "é"])
def test_base64url_has_one_spelling(change: str) -> None:
    header, claims, signature = proof().split(".")
    for text in (f"{header}{change}.{claims}.{signature}", f"{header}.{claims}.{signature}{change}"):
        with pytest.raises(compact.MalformedJws):
            compact.read(text)


def test_critical_headers_and_unencoded_payloads_are_refused() -> None:
    for name in ("crit", "b64"):
        with pytest.raises(compact.MalformedJws, match="critical"):
            compact.read(written({"alg": "ES256", name: ["exp"]}, {}))


def test_a_jws_that_is_too_long_is_not_taken_apart() -> None:
    with pytest.raises(compact.MalformedJws, match="long"):
        compact.read(written({"alg": "ES256"}, {"x": "y" * 9000}))


@pytest.mark.parametrize(
    "jwk",
    [
        JWK | {"d": "AAAA"},
        JWK | {"alg": "ES384"},
        JWK | {"use": "enc"},
        JWK | {"key_ops": ["sign"]},
        JWK | {"x": JWK["x"][:-2]},
        {"kty": "RSA", "n": b64url(b"\x80" + b"\x01" * 127), "e": "AQAB"},  # 1024 bits
        {"kty": "RSA", "n": b64url(b"\x80" + b"\x01" * 255), "e": "Aw"},  # exponent 3
        {"kty": "RSA", "n": b64url(b"\x80" + b"\x01" * 255), "e": "AQAB", "alg": "RS256"},
        {"kty": "OKP", "crv": "X25519", "x": JWK["x"]},
        {"kty": "oct", "k": "AAAA"},
    ],
)
def test_a_key_of_another_kind_size_or_use_is_refused(jwk: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        jwks.read_jwk(jwk)


def test_a_point_that_is_not_on_the_curve_verifies_nothing() -> None:
    off = JWK | {"y": b64url(b"\x07" * 32)}
    with pytest.raises(ProofRefused, match="not signed"):
        dpop.verify(proof({"jwk": off}), method="POST", url=URL, now=NOON)


def test_the_thumbprint_is_that_of_rfc_7638_example() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"
        "KnqDKgw"
    )
    assert (
        jwks.read_jwk({"kty": "RSA", "n": modulus, "e": "AQAB"}).thumbprint
        == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    )


def test_several_keys_need_names_that_differ() -> None:
    with pytest.raises(KeyRefused, match="kid"):
        jwks.read_jwks({"keys": [JWK, JWK | {"kid": "b"}]})
    with pytest.raises(KeyRefused, match="kid"):
        jwks.read_jwks({"keys": [JWK | {"kid": "b"}, JWK | {"kid": "b"}]})
    assert len(jwks.read_jwks({"keys": [JWK | {"kid": "a"}, JWK | {"kid": "b"}]})) == 2


def test_a_form_is_read_once_each_and_empty_counts_as_absent() -> None:
    kind = "application/x-www-form-urlencoded; charset=UTF-8"
    assert form.read(kind, b"a=1&b=&c=%E9%9D%92") == {"a": "1", "c": "\u9752"}
    for body in (
        b"a=1&a=2",
        b"a",
        b"a=%FF",
        b"\xff=1",
        b"&".join(b"p%d=1" % n for n in range(20)),
        b"a=" + b"x" * 20_000,
    ):
        with pytest.raises(RequestRefused):
            form.read(kind, body)


def test_headers_that_are_longer_than_those_with_keys_fill_no_memory() -> None:
    def read(width: int) -> compact.Compact:
        header = b64url(orjson.dumps({"alg": "ES256", "kid": "k" * width}))
        return compact.read(f"{header}.{b64url(orjson.dumps({'width': width}))}.{b64url(b'signature')}")

    before = compact._header.cache_info().currsize
    assert read(2001).header["kid"] == "k" * 2001
    assert compact._header.cache_info().currsize == before
    compact._header.cache_clear()
    assert read(200).header == read(200).header
    assert compact._header.cache_info().hits == 1
