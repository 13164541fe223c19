"""The texts that people agree to: `<PURPOSE>/<version>.<language>.md`, plain words, never changed once used.

A consent keeps purpose, version and language; its receipt keeps the SHA-256 of the text's bytes, so that it can be
shown later which words were agreed to. A text marked "needs native review" was not yet read by a named native reviewer.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from consent.errors import DeclarationInvalid
from consent.evidence import Language
from registry.suites import sha256

REVIEW_MARK: Final = "needs native review"
_PURPOSE: Final = re.compile(r"[A-Z][A-Z_]{1,31}")
_VERSION: Final = re.compile(r"\d{4}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notice:
    """One text in one language. `sha256` is over the file's bytes, 32 bytes."""

    purpose: str
    version: str
    language: Language
    text: str
    sha256: bytes

    @property
    def needs_review(self) -> bool:
        """Whether a native reviewer still has to sign it off."""
        return REVIEW_MARK in self.text


@cache
def find(purpose: str, version: str, language: Language) -> Notice | None:
    """Look a text up; None if we do not hold it (an agency may have used a text of its own).

    Raises:
        DeclarationInvalid: the file is not UTF-8, or empty.
    """
    if not _PURPOSE.fullmatch(purpose) or not _VERSION.fullmatch(version):
        return None  # both come from outside: nothing else may become part of a path
    path = resources.files("consent.notices") / purpose / f"{version}.{language.value}.md"
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DeclarationInvalid(f"notice {purpose} {version} {language.value}: not UTF-8") from error
    if not text.strip():
        raise DeclarationInvalid(f"notice {purpose} {version} {language.value}: empty")
    return Notice(purpose, version, language, text, sha256(data))
