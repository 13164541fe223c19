"""What proves that somebody agreed: through which channel, on which text, and the hash of what was kept.

A consent has the SHA-256 only; the original (paper, signature, minutes) stays with whoever collected it. What the
exchange keeps beside it (`exchange.capture`) is a page's document, which names nobody, and, sealed, redacted scans and
offline records. For paper it is the hash of the original, whose fingerprint area is blacked out before any copy leaves
the collector (R-75).
Checked here: the form. That a scan is legible, or a signature reliable under 电子签名法 §13 (R-74), a person checks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from consent.errors import Fault, TermsRefused

_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
_OF_NOTHING: Final = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")  # SHA-256 of ""


class Channel(StrEnum):
    """Where a consent was taken."""

    APP = "app"
    H5 = "h5"  # a page on a phone
    COUNTER = "counter"  # 柜面
    VILLAGE = "village"  # 村点
    OFFLINE = "offline"  # on a device without signal, uploaded later
    API = "api"  # withdrawn or changed through an interface
    OFFICE = "office"  # by the operator's own staff, on the subject's word
    LENDER = "lender"  # given up by the lender, of its own accord; nothing is ever taken so


class Language(StrEnum):
    """The language of the text that was agreed to."""

    CHINESE = "zh"
    TIBETAN = "bo"
    MONGOLIAN = "mn"
    ENGLISH = "en"


class AskedBy(StrEnum):
    """Who began: a person who comes of its own will is not held to a "no" of before; a lender that asks is (R-26)."""

    SUBJECT = "subject"
    LENDER = "lender"


class EvidenceKind(StrEnum):
    """What was kept (docs/requirements.md)."""

    RELIABLE_ESIGN = "reliable_esign"
    PAPER_SCAN = "paper_scan"
    VIDEO_STATEMENT = "video_statement"
    COUNTER_POS = "counter_pos"
    RESOLUTION = "resolution"  # minutes of a collective's meeting (成员大会、代表会议)


WRITTEN: Final = frozenset({EvidenceKind.RELIABLE_ESIGN, EvidenceKind.PAPER_SCAN, EvidenceKind.RESOLUTION})
USUAL: Final[Mapping[Channel, EvidenceKind]] = MappingProxyType(  # what a register's hash is of, channel by channel
    {
        Channel.APP: EvidenceKind.RELIABLE_ESIGN,
        Channel.H5: EvidenceKind.RELIABLE_ESIGN,
        Channel.COUNTER: EvidenceKind.PAPER_SCAN,
        Channel.VILLAGE: EvidenceKind.PAPER_SCAN,
        Channel.OFFLINE: EvidenceKind.RELIABLE_ESIGN,
        Channel.API: EvidenceKind.RELIABLE_ESIGN,
        Channel.OFFICE: EvidenceKind.PAPER_SCAN,
    }
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was kept. `sha256` is 32 bytes, or None while nothing was handed in yet (a request only).

    `sm3` is the same file's SM3 (32 bytes) where the collector gave it. `redacted` says that the fingerprint area of a
    scan was blacked out before any copy left the collector (R-75).
    """

    kind: EvidenceKind
    sha256: bytes | None
    sm3: bytes | None = None
    redacted: bool = False

    @classmethod
    def of(cls, kind: EvidenceKind, sha256_hex: str) -> Self:
        """Read a hash as 64 hexadecimal digits; a blank one means that nothing was handed in.

        Raises:
            TermsRefused: EVIDENCE_INVALID: not a SHA-256, all zeros, or the hash of an empty file.
        """
        text = sha256_hex.strip().lower()
        if not text:
            return cls(kind, None)
        if not _SHA256_HEX.fullmatch(text):
            raise TermsRefused(Fault.EVIDENCE_INVALID, "the evidence hash is not 64 hexadecimal digits")
        digest = bytes.fromhex(text)
        if digest == _OF_NOTHING or not any(digest):
            raise TermsRefused(Fault.EVIDENCE_INVALID, "the evidence hash is that of an empty file, or all zeros")
        return cls(kind, digest)

    @property
    def written(self) -> bool:
        """Whether it has the form that 征信业管理条例 §14 ¶2 wants: written, or a reliable electronic signature."""
        return self.kind in WRITTEN and self.sha256 is not None


@dataclass(frozen=True, slots=True)
class Capture:
    """How the agreement was taken.

    `witness` is a keyed token, never a name; `collector` and `device` are ids; `place` is a division code. `asked_by`
    is None where nobody says who began: in registers, and in consents of before.
    """

    channel: Channel
    text_version: str
    text_language: Language
    evidence: Evidence
    witness: str | None = field(default=None, repr=False)
    collector: str | None = None
    device: str | None = None
    place: str | None = None
    asked_by: AskedBy | None = None

    def __post_init__(self) -> None:
        """Refuse what no person did.

        Raises:
            TermsRefused: EVIDENCE_INVALID.
        """
        if self.channel is Channel.LENDER:
            raise TermsRefused(Fault.EVIDENCE_INVALID, "a lender gives a consent up, and takes none from itself")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a consent was confirmed again: what proves it, when the person did it, who took it, or which phone."""

    channel: Channel
    evidence: Evidence
    captured_at: datetime
    collector: str | None = None
    device: str | None = None
