"""Checkpoints: the log's size and root in a signed note, after C2SP tlog-checkpoint. Pure.

Text: origin, tree size in decimal, base64 of the root, each on a line; further lines (extensions) are read over and
never written. Signed by the log's Ed25519 key and, beside it, its SM2 key (`registry.note`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from registry import note
from registry.canonical import b64, unb64
from registry.errors import ProofFailed
from registry.merkle import HASH_BYTES

_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}")
_MANDATORY_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says it holds: so many entries, with this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text, three lines."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a note's text, which says nothing until its signature was verified.

        Raises:
            ProofFailed: not a checkpoint.
        """
        lines = text.split("\n")
        if len(lines) <= _MANDATORY_LINES or lines[-1] or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
            raise ProofFailed("not a checkpoint")
        try:
            root = unb64(lines[2])
        except ValueError as error:
            raise ProofFailed("not a checkpoint: its root is not base64") from error
        if len(root) != HASH_BYTES:
            raise ProofFailed("not a checkpoint: its root is not a SHA-256")
        return cls(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[note.NoteSigner]) -> str:
    """Return the checkpoint as a note signed by every signer, in the order given."""
    return note.sign(checkpoint.text, signers)


def read_checkpoint(signed: str) -> Checkpoint:
    """Read a note without verifying it; for what this log itself stored.

    Raises:
        ProofFailed: not a signed checkpoint.
    """
    return Checkpoint.parse(note.split(signed)[0])


def open_checkpoint(
    signed: str,
    verifiers: Sequence[note.NoteVerifier],
    origin: str,
    *,
    every_line: bool = False,
) -> Checkpoint:
    """Verify a note and return the checkpoint in it.

    With `every_line`, lines under unknown keys are refused instead of ignored (see `note.verify`).

    Raises:
        SignatureInvalid: no trusted key signed it, or a trusted key's line does not verify.
        ProofFailed: not a checkpoint, or another log's.
    """
    text, _ = note.verify(signed, verifiers, every_line=every_line)
    checkpoint = Checkpoint.parse(text)
    if checkpoint.origin != origin:
        raise ProofFailed("a checkpoint of another log")
    return checkpoint
