"""HPKE as RFC 9180 has it, by the CFRG's own test vectors, and by an implementation that is not ours."""

from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519  # noqa: TID251  # another opinion than ours
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite  # noqa: TID251  # the same
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import SealBroken
from registry.suites.hpke import HpkeKey, hpke_curve, hpke_seal

Curve = Literal["P-256", "X25519"]
CURVES: tuple[Curve, ...] = ("P-256", "X25519")
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
AAD = b"Count-0"
PLAINTEXT = b"Beauty is truth, truth beauty"
# base mode, HKDF-SHA256, AES-256-GCM, first message, of the file of vectors that RFC 9180 (appendix A) refers to
VECTORS: tuple[tuple[Curve, str, str, str, str], ...] = (
    (
        "X25519",
        "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
        "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c",
        "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256",
        "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
    ),
    (
        "P-256",
        "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
        (
            "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f853148544876de76c0f2ef99cdc3a05ccf5ded7860"
            "c7c021238f9e2073d2356c"
        ),
        (
            "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39"
            "ff5370d331a4f1f7d5a4e0"
        ),
        "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f",
    ),
)


@pytest.mark.parametrize(("curve", "private", "public", "enc", "ciphertext"), VECTORS)
def test_the_vectors_of_the_rfc_open(curve: Curve, private: str, public: str, enc: str, ciphertext: str) -> None:
    key = HpkeKey(curve, bytes.fromhex(private))
    assert key.public.hex() == public
    assert key.open(bytes.fromhex(enc + ciphertext), info=INFO, aad=AAD) == PLAINTEXT


@pytest.mark.parametrize(("curve", "private", "public", "enc", "ciphertext"), VECTORS)
def test_a_vector_with_one_bit_changed_does_not_open(
    curve: Curve, private: str, public: str, enc: str, ciphertext: str
) -> None:
    key, sealed = HpkeKey(curve, bytes.fromhex(private)), bytes.fromhex(enc + ciphertext)
    for place in range(len(sealed)):
        bent = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealBroken):
            key.open(bent, info=INFO, aad=AAD)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            key.open(sealed[:length], info=INFO, aad=AAD)


@pytest.mark.parametrize("curve", CURVES)
def test_another_key_or_another_place_opens_nothing(curve: Curve) -> None:
    key = HpkeKey.generate(curve)
    sealed = hpke_seal(key.public, PLAINTEXT, info=INFO, aad=AAD)
    assert key.open(sealed, info=INFO, aad=AAD) == PLAINTEXT
    for other, info, aad in (
        (HpkeKey.generate(curve), INFO, AAD), (key, b"", AAD), (key, INFO, b"Count-1"), (key, AAD, INFO),
    ):  # fmt: skip
        with pytest.raises(SealBroken):
            other.open(sealed, info=info, aad=aad)


@given(plaintext=st.binary(max_size=2000), info=st.binary(max_size=64), curve=st.sampled_from(CURVES))
def test_what_others_seal_we_open_and_they_open_what_we_seal(plaintext: bytes, info: bytes, curve: Curve) -> None:
    key = HpkeKey.generate(curve)
    theirs: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey = (
        ec.derive_private_key(int.from_bytes(key.private_bytes()), ec.SECP256R1())
        if curve == "P-256"
        else x25519.X25519PrivateKey.from_private_bytes(key.private_bytes())
    )
    suite = Suite(KEM.P256 if curve == "P-256" else KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    assert suite.decrypt(hpke_seal(key.public, plaintext, info=info, aad=b""), theirs, info) == plaintext
    assert key.open(suite.encrypt(plaintext, theirs.public_key(), info), info=info, aad=b"") == plaintext


def test_the_same_bytes_are_never_sealed_alike() -> None:
    key = HpkeKey.generate("P-256")
    assert len({hpke_seal(key.public, PLAINTEXT, info=INFO, aad=AAD) for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "public",
    [
        b"",
        bytes(32),  # of small order: every secret would be zero
        (1).to_bytes(32, "little"),
        b"\x04" + b"\x01" * 64,  # beside the curve
        b"\x02" + b"\x01" * 64,
        b"\x04" * 33,
    ],
)
def test_what_is_no_public_key_is_not_sealed_to(public: bytes) -> None:
    with pytest.raises(ValueError, match=r"[Kk]ey|curve|point"):
        hpke_curve(public)


def test_no_private_key_stands_in_a_repr() -> None:
    key = HpkeKey.generate("X25519")
    assert key.private_bytes().hex() not in repr(key)
    assert hpke_curve(key.public) == "X25519"


def test_a_private_key_is_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        HpkeKey("X25519", b"\x01" * 31)
    with pytest.raises(ValueError, match=r".*"):
        HpkeKey("P-256", bytes(32))
