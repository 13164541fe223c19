"""The cipher room: published vectors, an independent implementation of the Chinese ciphers, and what must not open."""

import hashlib  # noqa: TID251  # the independent side of the comparison
import hmac  # noqa: TID251  # the independent side of the comparison

import gmalg
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: TID251  # the independent side of the comparison

from registry.errors import CipherUnavailable, SealBroken
from registry.suites import (
    Ed25519Key,
    Es256Key,
    Sm2Key,
    Suite,
    constant_time_equal,
    gm,
    hmac_sha256,
    hmac_sha256_each,
    hmac_sm3,
    intl,
    random_bytes,
    seal,
    seal_each,
    sha256,
    sha256_each,
    sha256_hex,
    sha256_pairs,
    sm2_available,
    sm3,
    streaming_digests,
    suite_named,
    unseal,
    unseal_each,
    verify_ed25519,
    verify_es256,
    verify_sm2,
)
from registry.suites import sm2 as sm2_room

KEY = bytes(range(32))
SM2_PRIVATE = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
SM2_PUBLIC = bytes.fromhex(
    "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13",
)
SM2_SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
)  # GB/T 32918.5 appendix A.2, message "message digest", default id


def test_sm3_gives_the_published_digest() -> None:
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_sm4_gives_the_published_block() -> None:
    block = bytes.fromhex("0123456789abcdeffedcba9876543210")
    encryptor = Cipher(algorithms.SM4(block), modes.ECB()).encryptor()  # noqa: S305  # the vector is of one block
    assert encryptor.update(block).hex() == "681edf34d206965e86b3e94f536e4246"


def test_sm4_gcm_gives_the_published_ciphertext() -> None:
    sealed = b"\x02" + bytes.fromhex("00001234567800000000ABCD")
    assert sealed[0] == gm.mark[0]
    nonce, aad = sealed[1:], bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    plain = bytes.fromhex(
        "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD"
        "EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA",
    )
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    encryptor.update(plain)
    encryptor.finalize()
    assert encryptor.tag.hex().upper() == "83DE3541E4C2B58177E065A9BF7B62EC"  # RFC 8998 appendix A.1


def test_the_published_sm2_signature_verifies() -> None:
    assert verify_sm2(SM2_PUBLIC, SM2_SIGNATURE, b"message digest")
    assert not verify_sm2(SM2_PUBLIC, SM2_SIGNATURE, b"message digesT")
    assert Sm2Key(SM2_PRIVATE).public == SM2_PUBLIC


def test_sm2_agrees_with_an_independent_implementation() -> None:
    key = Sm2Key.generate()
    oracle = gmalg.SM2(key.private_bytes(), b"1234567812345678", key.public)
    signature = key.sign(b"checkpoint")
    assert oracle.verify(b"checkpoint", signature[:32], signature[32:])
    theirs = b"".join(number.rjust(32, b"\0") for number in oracle.sign(b"checkpoint"))  # it leaves out leading zeros
    assert verify_sm2(key.public, theirs, b"checkpoint")


def test_sm3_agrees_with_an_independent_implementation() -> None:
    for length in (0, 1, 55, 56, 64, 1000):
        oracle = gmalg.SM3()
        oracle.update(b"q" * length)
        assert sm3(b"q" * length) == oracle.value()


def test_a_machine_without_sm2_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise CipherUnavailable("SM2 needs the system's libcrypto 3")

    assert sm2_available()
    monkeypatch.setattr(sm2_room, "_libcrypto", absent)
    assert not sm2_available()
    with pytest.raises(CipherUnavailable):
        verify_sm2(SM2_PUBLIC, SM2_SIGNATURE, b"message digest")


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"\x01"])
def test_an_impossible_sm2_key_is_refused(private: bytes) -> None:
    with pytest.raises(ValueError, match="scalar"):
        Sm2Key(private)


@pytest.mark.parametrize(
    ("kind", "verifies"),
    [(Ed25519Key, verify_ed25519), (Es256Key, verify_es256), (Sm2Key, verify_sm2)],
)
def test_a_signature_holds_for_its_key_and_message_only(
    kind: type[Ed25519Key | Es256Key | Sm2Key], verifies: object
) -> None:
    assert callable(verifies)
    key, other = kind.generate(), kind.generate()
    signature = key.sign(b"message")
    assert len(signature) == 64
    assert verifies(key.public, signature, b"message")
    assert verifies(kind(key.private_bytes()).public, signature, b"message")
    assert not verifies(other.public, signature, b"message")
    assert not verifies(key.public, signature, b"messagE")
    assert not verifies(key.public, signature[:-1], b"message")
    assert not verifies(key.public[:-1], signature, b"message")
    assert not verifies(key.public, bytes(64), b"message")
    assert key.private_bytes().hex() not in repr(key)


def test_es256_signs_the_same_message_the_same_way() -> None:
    key = Es256Key(KEY)
    assert key.sign(b"x") == key.sign(b"x")


def test_ed25519_gives_the_published_signature() -> None:
    key = Ed25519Key(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")  # RFC 8032 §7.1, test 1


@pytest.mark.parametrize("suite", [intl, gm])
@pytest.mark.parametrize("plain", [b"", b"x", b"payload" * 1000])
def test_what_is_sealed_opens_with_its_key_and_place(suite: Suite, plain: bytes) -> None:
    sealed = seal(suite, KEY, plain, b"place")
    assert sealed[:1] == suite.mark
    assert len(sealed) == 1 + 12 + len(plain) + 16
    assert unseal(KEY, sealed, b"place") == plain
    assert seal(suite, KEY, plain, b"place") != sealed


@pytest.mark.parametrize("suite", [intl, gm])
def test_no_changed_byte_opens(suite: Suite) -> None:
    sealed = seal(suite, KEY, b"payload", b"place")
    for position in range(len(sealed)):
        for bit in (1, 2, 0x80):
            changed = bytearray(sealed)
            changed[position] ^= bit
            with pytest.raises(SealBroken):
                unseal(KEY, bytes(changed), b"place")


@pytest.mark.parametrize("suite", [intl, gm])
def test_nothing_opens_in_another_place_or_under_another_key_or_cut_short(suite: Suite) -> None:
    sealed = seal(suite, KEY, b"payload", b"place")
    for key, given, place in (
        (KEY, sealed, b"elsewhere"),
        (bytes(32), sealed, b"place"),
        (KEY, sealed[:20], b"place"),
        (KEY, b"", b"place"),
    ):
        with pytest.raises(SealBroken):
            unseal(key, given, place)


def test_one_suite_does_not_open_what_the_other_sealed() -> None:
    with pytest.raises(SealBroken):
        gm.unseal(KEY, intl.seal(KEY, b"x", b""), b"")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    for suite in (intl, gm):
        with pytest.raises(ValueError, match="32 bytes"):
            suite.seal(bytes(length), b"x", b"")


def test_suites_are_found_by_the_names_that_configuration_uses() -> None:
    assert (suite_named("intl"), suite_named("gm")) == (intl, gm)
    with pytest.raises(ValueError, match="intl and gm"):
        suite_named("rot13")


def test_hashes_are_those_of_the_standard_library() -> None:
    assert sha256(b"abc") == hashlib.sha256(b"abc").digest()
    assert sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_each(b"\x00", [b"a", b"b"]) == [hashlib.sha256(b"\x00a").digest(), hashlib.sha256(b"\x00b").digest()]
    assert sha256_pairs(b"\x01", bytes(128)) == hashlib.sha256(b"\x01" + bytes(64)).digest() * 2
    assert streaming_digests([b"a", b"bc"]) == (sha256(b"abc"), sm3(b"abc"), 3)


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 64, b"k" * 65, b"k" * 200])
def test_keyed_hashes_are_those_of_the_standard_library(key: bytes) -> None:
    assert [hmac_sha256(key, message) for message in (b"", b"abc", b"x" * 100)] == [
        hmac.digest(key, message, "sha256") for message in (b"", b"abc", b"x" * 100)
    ]
    assert len(hmac_sm3(key, b"abc")) == 32


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 64, b"k" * 65, b"k" * 200])
def test_many_keyed_hashes_at_once_are_those_one_by_one(key: bytes) -> None:
    messages = [b"", b"abc", b"x" * 63, b"x" * 64, b"x" * 1000]
    assert hmac_sha256_each(key, messages) == [hmac_sha256(key, message) for message in messages]


def test_randomness_does_not_repeat_and_comparison_compares() -> None:
    assert random_bytes(32) != random_bytes(32)
    assert constant_time_equal(b"a", b"a")
    assert not constant_time_equal(b"a", b"b")


@pytest.mark.parametrize("suite", [intl, gm], ids=lambda suite: str(suite.name))
def test_what_is_sealed_by_the_hundred_opens_one_by_one_and_the_other_way_round(suite: Suite) -> None:
    keys = [KEY, KEY, random_bytes(32), KEY]
    texts, places = [b"a", b"", b"ccc", b"a"], [b"1", b"2", b"3", b"1"]
    sealed = seal_each(suite, keys, texts, places)
    assert [unseal(*one) for one in zip(keys, sealed, places, strict=True)] == texts
    assert len({one[1:13] for one in sealed}) == 4  # a nonce of its own for each
    alone = [seal(suite, *one) for one in zip(keys, texts, places, strict=True)]
    assert unseal_each(keys, alone, places) == texts


@pytest.mark.parametrize("suite", [intl, gm], ids=lambda suite: str(suite.name))
def test_of_a_hundred_none_opens_under_another_key_or_in_another_place(suite: Suite) -> None:
    sealed = seal_each(suite, [KEY, KEY], [b"a", b"b"], [b"1", b"2"])
    for keys, places in (([KEY, random_bytes(32)], [b"1", b"2"]), ([KEY, KEY], [b"1", b"1"])):
        with pytest.raises(SealBroken):
            unseal_each(keys, sealed, places)
    with pytest.raises(ValueError, match="32 bytes"):
        seal_each(suite, [b"short"], [b"a"], [b"1"])
