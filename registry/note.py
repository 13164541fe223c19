"""Signed notes and the keys that sign them, after C2SP signed-note.

A note is text ending in a newline, a blank line, then signature lines `— <name> <base64(key id ‖ signature)>`.
Two signature types are used, both by keys named after the log's origin:
  * Ed25519, type byte 0x01
  * SM2 with SM3, which C2SP has not assigned: type byte 0xff and the name `qingqiao/sm2-sm3`; signature r‖s of the text
The key id is SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4]; a verifier key (vkey) is written
`<name>+<key id, hex>+<base64(type ‖ public key)>`.

Lines under unknown keys are ignored, as the text demands. A line under a known key that does not verify spoils the
whole note. Not done here: witness cosignatures (type 0x04), ECDSA (type 0x02).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from registry.canonical import b64, unb64
from registry.errors import ProofFailed, SignatureInvalid
from registry.suites import SigningKey, sha256, sm2_available, verify_ed25519, verify_sm2

_ED25519: Final = b"\x01"
_SM2: Final = b"\xffqingqiao/sm2-sm3"
_TYPE_OF: Final = {"Ed25519": _ED25519, "SM2": _SM2}
_PUBLIC_BYTES: Final = {_ED25519: 32, _SM2: 65}
_KEY_ID_BYTES: Final = 4
_MAX_SIGNATURES: Final = 64  # signed-note asks verifiers to accept at least 16
_NAME: Final = re.compile(r"[^\s+]+")
_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A public key that signs notes under a name."""

    name: str
    kind: bytes
    public: bytes

    def __post_init__(self) -> None:
        """Refuse a name or a key that signed-note does not allow."""
        if not _NAME.fullmatch(self.name):
            raise ValueError("a key name is not empty and has neither spaces nor a plus sign")
        if len(self.public) != _PUBLIC_BYTES.get(self.kind):
            raise ValueError("a note key of unknown type or wrong length")

    @property
    def key_id(self) -> bytes:
        """The four bytes that signature lines begin with."""
        return sha256(self.name.encode() + b"\n" + self.kind + self.public)[:_KEY_ID_BYTES]

    @property
    def algorithm(self) -> str:
        """`Ed25519` or `SM2`."""
        return next(algorithm for algorithm, kind in _TYPE_OF.items() if kind == self.kind)

    @property
    def checkable(self) -> bool:
        """Whether this machine has the cipher; SM2 needs libcrypto 3."""
        return self.kind == _ED25519 or sm2_available()

    @property
    def vkey(self) -> str:
        """The written form, as `golang.org/x/mod/sumdb/note` reads it."""
        return f"{self.name}+{self.key_id.hex()}+{b64(self.kind + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read the written form.

        Raises:
            ValueError: not of that form, of unknown type, or its id does not belong to its key.
        """
        name, _, rest = vkey.partition("+")
        key_id, _, encoded = rest.partition("+")
        body = unb64(encoded)
        for kind in _TYPE_OF.values():
            if body.startswith(kind) and len(body) == len(kind) + _PUBLIC_BYTES[kind]:
                key = cls(name, kind, body[len(kind) :])
                if key.key_id.hex() != key_id:
                    raise ValueError("the verifier key's id does not belong to it")
                return key
        raise ValueError("a verifier key of unknown type")

    def verifies(self, text: str, signature: bytes) -> bool:
        """Say whether the signature over the note's text is this key's."""
        if self.kind == _ED25519:
            return verify_ed25519(self.public, signature, text.encode())
        return verify_sm2(self.public, signature, text.encode())


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A private key that signs notes under a name."""

    name: str
    key: SigningKey

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        return NoteVerifier(self.name, _TYPE_OF[self.key.algorithm], self.key.public)

    def line(self, text: str) -> str:
        """Sign a note's text and return the signature line with its newline."""
        return f"— {self.name} {b64(self.verifier.key_id + self.key.sign(text.encode()))}\n"


def sign(text: str, signers: Sequence[NoteSigner]) -> str:
    """Return the note: text, blank line, one line for each signer in the order given.

    Raises:
        ValueError: the text does not end in a newline, has control characters, or nobody signs.
    """
    if not text.endswith("\n") or _CONTROL.search(text) or not signers:
        raise ValueError("a note is text ending in a newline, without control characters, signed by somebody")
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Take a note apart, checking nothing but its form: (text, [(name, key id, signature)]).

    Raises:
        ProofFailed: not a signed note.
    """
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or _CONTROL.search(note):
        raise ProofFailed("not a signed note")
    signatures = []
    for line in lines[:-1].split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProofFailed("a signature line of the note is malformed")
        try:
            body = unb64(match[2])
        except ValueError as error:
            raise ProofFailed("a signature line of the note is malformed") from error
        if len(body) <= _KEY_ID_BYTES:
            raise ProofFailed("a signature line of the note is malformed")
        signatures.append((match[1], body[:_KEY_ID_BYTES], body[_KEY_ID_BYTES:]))
    if len(signatures) > _MAX_SIGNATURES:
        raise ProofFailed(f"a note with {len(signatures)} signatures; {_MAX_SIGNATURES} is the limit")
    return text + "\n", signatures


def verify(
    note: str,
    verifiers: Sequence[NoteVerifier],
    *,
    every_line: bool = False,
) -> tuple[str, list[NoteVerifier]]:
    """Check every line whose key is known and can be checked here: (text, the keys that signed it).

    Args:
        note: the signed note.
        verifiers: the keys that are trusted.
        every_line: refuse lines under unknown keys too, so that no byte of the note can be changed unnoticed.

    Raises:
        SignatureInvalid: no known key signed, or a known key's line does not verify.
        ProofFailed: not a signed note.
    """
    text, signatures = split(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed = []
    for name, key_id, signature in signatures:
        verifier = known.get((name, key_id))
        if verifier is None and every_line:
            raise SignatureInvalid("a line of the note is signed by a key that is not trusted")
        if verifier is None or not verifier.checkable:
            continue
        if not verifier.verifies(text, signature):
            raise SignatureInvalid(f"the {verifier.algorithm} signature of the note does not verify")
        if verifier not in signed:
            signed.append(verifier)
    if not signed:
        raise SignatureInvalid("no key that is trusted signed the note")
    return text, signed
