"""The texts that people agree to: `<PURPOSE>/<version>.<language>.md`, plain words, never changed once used.

A consent keeps purpose, version and language; its receipt keeps the SHA-256 of the text's bytes, so that it can be
shown later which words were agreed to. A text marked "needs native review" was not yet read by a named native reviewer.

Beside the texts of a version stands `<version>.yml`: the classes and kinds that they name, each with the words that
name it, which have to be found in the text. Nobody agrees to what the text does not name: consent.record holds a
consent to it. The list of recipients and items is the law's (R-25, 网络数据安全管理条例 §21).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import yaml

from consent.errors import DeclarationInvalid
from consent.evidence import Language
from registry.catalogue import Catalogue
from registry.suites import sha256

REVIEW_MARK: Final = "needs native review"
_PURPOSE: Final = re.compile(r"[A-Z][A-Z_]{1,31}")
_VERSION: Final = re.compile(r"\d{4}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notice:
    """One text in one language. `names` are codes of classes and kinds; `sha256` is over the file's bytes, 32 bytes."""

    purpose: str
    version: str
    language: Language
    text: str
    names: frozenset[str]
    sha256: bytes

    @property
    def needs_review(self) -> bool:
        """Whether a native reviewer still has to sign it off."""
        return REVIEW_MARK in self.text

    def unnamed(self, items: Collection[str], catalogue: Catalogue) -> frozenset[str]:
        """Give the items that the text does not name."""
        return frozenset(items) - catalogue.expand(self.names)


def published(purpose: str) -> bool:
    """Whether we hold any text for a purpose."""
    return bool(_PURPOSE.fullmatch(purpose)) and (resources.files("consent.notices") / purpose).is_dir()


@cache
def find(purpose: str, version: str, language: Language) -> Notice | None:
    """Look a text up; None if we do not hold it (an agency may have used a text of its own).

    Raises:
        DeclarationInvalid: the file is not UTF-8, or empty, or what it names is not said or not found in it.
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
    return Notice(purpose, version, language, text, _names(purpose, version, language, text), sha256(data))


def _names(purpose: str, version: str, language: Language, text: str) -> frozenset[str]:
    file = resources.files("consent.notices") / purpose / f"{version}.yml"
    stated = yaml.safe_load(file.read_bytes()) if file.is_file() else None
    if not isinstance(stated, dict) or not stated:
        raise DeclarationInvalid(f"notice {purpose} {version}: what it names is not said")
    for code, words in stated.items():
        named = words.get(language.value) if isinstance(words, dict) else None
        if not isinstance(named, str) or not named.strip() or named not in text:
            raise DeclarationInvalid(f"notice {purpose} {version} {language.value}: does not name {code}")
    return frozenset(map(str, stated))
