"""Why a record may be held: the basis (依据) that every row of the registry carries.

A connector knows only this value, never a consent itself. Written form: `consent:<uuid>`, `statute:<reference>`,
`public:<reference>`, `organisation:<reference>`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self

_REFERENCE_MAX_CHARACTERS = 200


class BasisKind(StrEnum):
    """The kinds of ground on which a record is held."""

    CONSENT = "consent"
    STATUTE = "statute"
    PUBLIC = "public"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Basis:
    """One ground: its kind and what it refers to (a consent id, an article, a publication).

    `fields` are the catalogue fields of the kind asked about that may be held on it; None is all of them. It is told
    to intake and not part of the written form: what a record lacks says it.

    Raises:
        ValueError: the reference is empty, too long or has control characters.
    """

    kind: BasisKind
    reference: str
    fields: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Refuse a ground that points to nothing."""
        if not self.reference or len(self.reference) > _REFERENCE_MAX_CHARACTERS or not self.reference.isprintable():
            raise ValueError("a basis needs a printable reference of 1 to 200 characters")

    @property
    def text(self) -> str:
        """The written form, `kind:reference`."""
        return f"{self.kind.value}:{self.reference}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form.

        Raises:
            ValueError: no colon, an unknown kind, or an unusable reference.
        """
        kind, colon, reference = text.partition(":")
        if not colon:
            raise ValueError("a basis is written kind:reference")
        return cls(BasisKind(kind), reference)


BasisOf = Callable[[str, Sequence[str], date], Sequence[Basis | None]]
"""(kind code, normalised identifiers, intake date) → for each identifier its basis, or None when there is none."""
