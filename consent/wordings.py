"""The Tibetan names of kinds and items as one text that a reviewer reads and signs off, like any other text.

They stand in the catalogue, one by one, where nobody can read them as a whole. `names` writes them below one another
with the Chinese beside them: a text of the purpose ITEM_NAMES, of the catalogue's version. Its SHA-256 is over that
writing, so that a name which is changed, added or taken away has to be read again. Pure.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

from consent import notices
from consent.evidence import Language
from consent.notices import REVIEW_MARK, Notice
from registry import catalogue
from registry.catalogue import Catalogue
from registry.suites import sha256

ITEM_NAMES: Final = "ITEM_NAMES"


@cache
def names() -> Notice:
    """Give the Tibetan names of the catalogue of this release."""
    known = catalogue.current()
    text = "".join(_lines(known))
    return Notice(ITEM_NAMES, known.version, Language.TIBETAN, text, frozenset(), sha256(text.encode()))


@cache
def reviewable() -> tuple[Notice, ...]:
    """Give everything that reviewers sign off: the texts that people agree to, and the names that go with them."""
    return (*notices.every(), names())


def _lines(known: Catalogue) -> Iterator[str]:
    yield f"<!-- {REVIEW_MARK}: no named native reviewer has signed these names off yet -->\n"
    for one in known.classes.values():
        yield f"\n# {one.titles['bo']} {one.titles['zh']}\n"
        for kind in known.kinds_of(one.code):
            yield f"\n**{kind.titles['bo']}** {kind.titles['zh']}\n\n"
            yield from (f"- {spec.bo} {spec.zh}\n" for spec in kind.fields.values() if spec.lender_visible)
