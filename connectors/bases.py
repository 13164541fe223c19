"""Step 4 for a chunk of rows: on which basis each may be held, and which fields it covers. Pure but for who is asked.

Organisations' data needs no consent. What may not be held is marked last (NO_CONSENT, by whoever gathers the chunks),
so that what becomes of the other rows, and what the sender may be told of all of them, rests on the file alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from connectors import cleaning, frames
from connectors.source import Source
from connectors.verdict import Mask
from registry.basis import Basis, BasisKind, BasisOf
from registry.catalogue import Kind

_AT_ONCE: Final = 100_000  # people asked about
_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked for bases, for which day, and of what table."""

    kind: Kind
    declared: Source
    as_of: date
    basis_of: BasisOf


def given(
    subjects: pd.DataFrame, rejected: Mask, several: Mapping[int, Sequence[str]], asking: Asking
) -> tuple[pd.DataFrame, Mask]:
    """Ask, once for each person, whether rows may be held; give `basis` and `covered`, and say which rows may not.

    Args:
        subjects: `subject_kind` and `subject_id` of each row.
        rejected: the rows that are no records; nobody is asked about them.
        several: the identifiers of rows that name more than one person: each must have agreed.
        asking: who is asked.
    """
    kind = asking.kind
    person = (subjects["subject_kind"] == "person").to_numpy(dtype=bool)
    asked = person & ~rejected
    covers = frames.Covers(len(subjects))
    texts = [Basis(BasisKind.ORGANISATION, asking.declared.legal_basis).text]
    numbers = np.where(person, _NONE, 0)
    if kind.basis in {BasisKind.PUBLIC, BasisKind.STATUTE}:
        texts, numbers = [Basis(kind.basis, kind.legal_basis).text], np.zeros(len(subjects), dtype=np.intp)
        asked &= False
    elif asked.any():
        wanted = subjects["subject_id"]
        own, people = pd.factorize(wanted if asked.all() else wanted[asked])
        which, bases = _asked(people.to_numpy(dtype=object), asking)
        own = which[own]
        numbers[asked] = np.where(np.array([one is None for one in bases], dtype=bool)[own], _NONE, own + len(texts))
        texts += [one.text if one is not None else "" for one in bases]
        covers.give(asked, own, [one.fields if one is not None else None for one in bases])
        others = sorted({one for row, named in several.items() if asked[row] for one in named})
        known = dict(zip(others, asking.basis_of(kind.code, others, asking.as_of), strict=True)) if others else {}
        for row, named in several.items():
            agreed = [known.get(one) for one in named]
            numbers[row] = _NONE if None in agreed else numbers[row]
            for one in agreed:
                covers.narrow(row, one.fields if one else None)
    basis = cleaning.spread(numbers, [*texts, None])  # the last stands for none
    without: Mask = asked & (numbers == _NONE)
    return pd.DataFrame({"basis": basis, "covered": covers.column()}, copy=False), without


def _asked(people: npt.NDArray[np.object_], asking: Asking) -> tuple[npt.NDArray[np.intp], list[Basis | None]]:
    """Give for each person the number of a basis, and each basis once; many people may share one."""
    found: list[Basis | None] = []
    for first in range(0, len(people), _AT_ONCE):
        found += asking.basis_of(asking.kind.code, people[first : first + _AT_ONCE].tolist(), asking.as_of)
    numbers, _ = pd.factorize(np.fromiter(map(id, found), dtype=np.uint64, count=len(found)))
    return numbers, [found[at] for at in cleaning.firsts(numbers).tolist()]
