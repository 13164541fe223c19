"""Signed notes, verifier keys, checkpoints and the trust policy, in the exact formats of C2SP."""

import base64
from collections.abc import Sequence

import orjson
import pytest

from registry import note
from registry.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from registry.errors import ProofFailed, SignatureInvalid
from registry.note import NoteSigner, NoteVerifier
from registry.suites import Ed25519Key, Es256Key, Sm2Key, sha256
from registry.trust import TrustPolicy

ORIGIN = "log.example/qinghai"
ED = NoteSigner(ORIGIN, Ed25519Key(bytes(range(32))))
SM2 = NoteSigner(ORIGIN, Sm2Key(bytes(range(1, 33))))
STRANGER = NoteSigner("witness.example", Ed25519Key(bytes(32)))
BOTH = (ED.verifier, SM2.verifier)
ROOT = sha256(b"root")
CHECKPOINT = Checkpoint(ORIGIN, 20852163, ROOT)
SIGNED = sign_checkpoint(CHECKPOINT, [ED, SM2])

# The example of C2SP signed-note, and its key as golang.org/x/mod/sumdb/note writes it.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_the_go_implementation_verifies() -> None:
    verifier = NoteVerifier.parse(PETER)
    assert verifier.vkey == PETER
    text, signed = note.verify(PETER_NOTE, [verifier])
    assert text.startswith("If you think")
    assert signed == [verifier]


def test_a_checkpoint_is_origin_size_and_root_on_three_lines() -> None:
    assert CHECKPOINT.text == f"{ORIGIN}\n20852163\n{base64.b64encode(ROOT).decode()}\n"
    assert SIGNED.startswith(f"{CHECKPOINT.text}\n— {ORIGIN} ")
    assert SIGNED.count("\n— ") == 2
    assert read_checkpoint(SIGNED) == CHECKPOINT


@pytest.mark.parametrize("verifiers", [BOTH, BOTH[:1], BOTH[1:]])
def test_either_signature_is_enough_for_who_knows_only_one_key(verifiers: Sequence[NoteVerifier]) -> None:
    assert open_checkpoint(SIGNED, verifiers, ORIGIN) == CHECKPOINT


def test_a_key_id_is_made_as_the_text_says() -> None:
    public = ED.key.public
    assert ED.verifier.key_id == sha256(ORIGIN.encode() + b"\n\x01" + public)[:4]
    assert SM2.verifier.key_id == sha256(ORIGIN.encode() + b"\n\xffqingqiao/sm2-sm3" + SM2.key.public)[:4]
    assert (ED.verifier.algorithm, SM2.verifier.algorithm) == ("Ed25519", "SM2")


@pytest.mark.parametrize("key", BOTH)
def test_a_verifier_key_is_read_as_it_is_written(key: NoteVerifier) -> None:
    assert NoteVerifier.parse(key.vkey) == key
    name, key_id, body = key.vkey.split("+", 2)
    for wrong in (
        f"{name}+00000000+{body}",
        f"other+{key_id}+{body}",
        f"{name}+{key_id}+{body[:-4]}",
        "x",
        "a+b+c",
        "++",
    ):
        with pytest.raises(ValueError, match=r"verifier key|base64|note key"):
            NoteVerifier.parse(wrong)


def test_no_changed_byte_of_a_checkpoint_passes_who_knows_every_key() -> None:
    raw = SIGNED.encode()
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(ProofFailed):
            open_checkpoint(text, BOTH, ORIGIN, every_line=True)


def test_lines_of_strangers_are_ignored_unless_every_line_must_be_known() -> None:
    cosigned = SIGNED + STRANGER.line(CHECKPOINT.text)
    assert open_checkpoint(cosigned, BOTH, ORIGIN) == CHECKPOINT
    with pytest.raises(SignatureInvalid, match="not trusted"):
        open_checkpoint(cosigned, BOTH, ORIGIN, every_line=True)


def test_a_known_key_whose_line_does_not_verify_spoils_the_note() -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, 1, ROOT), [SM2])
    mixed = sign_checkpoint(CHECKPOINT, [ED]) + other.splitlines(keepends=True)[-1]
    with pytest.raises(SignatureInvalid, match="SM2"):
        open_checkpoint(mixed, BOTH, ORIGIN)


def test_a_note_that_nobody_trusted_signed_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="no key that is trusted"):
        open_checkpoint(SIGNED, [STRANGER.verifier], ORIGIN)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(ProofFailed, match="another log"):
        open_checkpoint(SIGNED, BOTH, "log.example/other")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a\n1\n",
        "a\n01\nAA==\n",
        "a\n-1\nAA==\n",
        "a\n1\nAA==\n",
        "a\n1\n!\n",
        f"a\n1\n{'A' * 43}=\n\n",
        "\n\n\n\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofFailed, match="not a checkpoint"):
        Checkpoint.parse(text)


def test_extension_lines_are_read_over() -> None:
    assert Checkpoint.parse(CHECKPOINT.text + "extension\n") == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\nno dash\n",
        "text\n\n— a b\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAAB",
        "text\n\n— a+b AAAAAAAA\n",
        "te\txt\n\n— a AAAAAAAA\n",
        "text\n\n" + "— a AAAAAAAA\n" * 65,
    ],
)
def test_what_is_no_signed_note_is_refused(text: str) -> None:
    with pytest.raises(ProofFailed):
        note.verify(text, BOTH)


@pytest.mark.parametrize("text", ["no newline", "tab\t\n"])
def test_a_text_that_is_no_note_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="a note is text"):
        note.sign(text, [ED])
    with pytest.raises(ValueError, match="a note is text"):
        note.sign("text\n", [])


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "with\u3000wide"])
def test_a_key_name_has_neither_spaces_nor_plus(name: str) -> None:
    with pytest.raises(ValueError, match="key name"):
        NoteSigner(name, ED.key).line("x\n")


def test_only_keys_that_sign_notes_are_note_keys() -> None:
    with pytest.raises(KeyError):
        NoteSigner(ORIGIN, Es256Key(bytes(range(32)))).line("x\n")


POLICY = TrustPolicy(ORIGIN, BOTH, {"receipt-1": ED.key.public}, {"answer-1": ED.key.public})


def test_a_trust_policy_is_read_as_it_is_written() -> None:
    assert TrustPolicy.parse(POLICY.as_json()) == POLICY
    assert TrustPolicy.parse(orjson.dumps(POLICY.as_json())) == POLICY


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        "[]",
        "x",
        POLICY.as_json() | {"v": 2},
        POLICY.as_json() | {"log": {"origin": ORIGIN, "vkeys": []}},
        POLICY.as_json() | {"log": {"origin": "other", "vkeys": [ED.verifier.vkey]}},
        POLICY.as_json() | {"log": {"origin": ORIGIN, "vkeys": ["x"]}},
        POLICY.as_json() | {"answer": {"kid": "not base64url!"}},
        POLICY.as_json() | {"answer": None},
    ],
)
def test_what_is_no_trust_policy_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"policy|verifier key|base64url|unexpected|expected|literal"):
        TrustPolicy.parse(document)
