"""The texts that people agree to: `<PURPOSE>/<version>.<language>.md`, plain words, never changed once used.

A consent keeps purpose, version and language; its receipt keeps the SHA-256 of the text's bytes, so that it can be
shown later which words were agreed to. Beside each text from 2026-03 on stands the same for the ear,
`<version>.<language>.aloud.md`: the same points in sentences that a person or a speech engine can read out.

A text marked "needs native review" was written by somebody whose language it is not. The mark stays in the file, since
the file does not change; whether a named reviewer has signed these bytes off, `consent.reviews` says.

Beside the texts of a version stands `<version>.yml`: the classes and kinds that they name, each with the words that
name it, which have to be found in the text. Nobody agrees to what the text does not name: consent.record holds a
consent to it. The list of recipients and items is the law's (R-25, 网络数据安全管理条例 §21).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import yaml

from consent.errors import DeclarationInvalid
from consent.evidence import Language
from registry.catalogue import Catalogue
from registry.suites import sha256

REVIEW_MARK: Final = "needs native review"
_COMMENT: Final = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_PURPOSE: Final = re.compile(r"[A-Z][A-Z_]{1,31}")
_VERSION: Final = re.compile(r"\d{4}-\d{2}", re.ASCII)


class Form(StrEnum):
    """Whether a text is for the eye or for the ear. The values stand in a table; never reuse one."""

    READ = "read"
    ALOUD = "aloud"


@dataclass(frozen=True, slots=True)
class Notice:
    """One text in one language. `names` are codes of classes and kinds; `sha256` is over the file's bytes, 32 bytes."""

    purpose: str
    version: str
    language: Language
    text: str
    names: frozenset[str]
    sha256: bytes
    form: Form = Form.READ

    @property
    def needs_review(self) -> bool:
        """Whether a native reviewer has to sign it off; whether one has, `consent.reviews` says."""
        return REVIEW_MARK in self.text

    @property
    def shown(self) -> str:
        """The text as people see or hear it: without the mark, which is for its keepers."""
        return _COMMENT.sub("", self.text)

    def unnamed(self, items: Collection[str], catalogue: Catalogue) -> frozenset[str]:
        """Give the items that the text does not name."""
        return frozenset(items) - catalogue.expand(self.names)


def published(purpose: str) -> bool:
    """Whether we hold any text for a purpose."""
    return bool(_PURPOSE.fullmatch(purpose)) and (resources.files("consent.notices") / purpose).is_dir()


@cache
def every() -> tuple[Notice, ...]:
    """Give all texts of this release, by purpose, version, language and form.

    Raises:
        DeclarationInvalid: one of them is not of the declared shape.
    """
    folders = sorted(one.name for one in resources.files("consent.notices").iterdir() if published(one.name))
    found = (
        find(purpose, version, language, form)
        for purpose in folders
        for version in versions(purpose)
        for language in Language
        for form in Form
    )
    return tuple(one for one in found if one is not None)


@cache
def versions(purpose: str) -> tuple[str, ...]:
    """Name the versions of a purpose's texts, the oldest first; none if we hold no text for it."""
    if not published(purpose):
        return ()
    names = (one.name.partition(".")[0] for one in (resources.files("consent.notices") / purpose).iterdir())
    return tuple(sorted({name for name in names if _VERSION.fullmatch(name)}))


@cache
def find(purpose: str, version: str, language: Language, form: Form = Form.READ) -> Notice | None:
    """Look a text up; None if we do not hold it (an agency may have used a text of its own).

    Raises:
        DeclarationInvalid: the file is not UTF-8, or empty, or what it names is not said or not found in it.
    """
    if not _PURPOSE.fullmatch(purpose) or not _VERSION.fullmatch(version):
        return None  # both come from outside: nothing else may become part of a path
    ending = "md" if form is Form.READ else f"{form.value}.md"
    path = resources.files("consent.notices") / purpose / f"{version}.{language.value}.{ending}"
    if not path.is_file():
        return None
    place, data = f"notice {purpose} {version} {language.value} {form.value}", path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DeclarationInvalid(f"{place}: not UTF-8") from error
    if not text.strip():
        raise DeclarationInvalid(f"{place}: empty")
    names = _names(place, resources.files("consent.notices") / purpose / f"{version}.yml", language, text)
    return Notice(purpose, version, language, text, names, sha256(data), form)


def _names(place: str, file: Traversable, language: Language, text: str) -> frozenset[str]:
    stated = yaml.safe_load(file.read_bytes()) if file.is_file() else None
    if not isinstance(stated, dict) or not stated:
        raise DeclarationInvalid(f"{place}: what it names is not said")
    for code, words in stated.items():
        named = words.get(language.value) if isinstance(words, dict) else None
        if not isinstance(named, str) or not named.strip() or named not in text:
            raise DeclarationInvalid(f"{place}: does not name {code}")
    return frozenset(map(str, stated))
