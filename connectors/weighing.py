"""One portion of a sheet weighed: cleaned, checked, laid out, hashed. Pure, and what is handed to an executor.

What goes in is the rows as they came and the rules of their table; what comes out is all that must be known of them and
the frame that is put aside. No key but the salt of this
table's hashes, no connection, no consent: whose rows may be held is asked elsewhere (`bases`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from connectors import cells, checks, duplicates, expectations, frames
from connectors.chunk import Chunk, Portion
from connectors.cleaning import Integers
from connectors.duplicates import Hashes, Salt
from connectors.outcomes import FEWEST_PEOPLE
from connectors.schemes import Scheme
from connectors.sheaves import Sheaf
from connectors.verdict import Verdict
from registry.catalogue import FieldSpec

_LOOKED_AT: Final = 1_000  # rows at once, until people are many
_MANY_PROJECTS: Final = 2  # one, or not one


@dataclass(frozen=True, slots=True)
class Rules:
    """What a table's rows are weighed by: `fields` of its kind, its label, the intake date, rating schemes."""

    fields: Mapping[str, FieldSpec]
    label: str
    as_of: date
    schemes: Sequence[Scheme]
    salt: Salt


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was found of a portion.

    `laid_out` is put aside. `figures` are the columns that totals speak of, in whole units; `hashes` what the keys of
    rows hash to; `people` and `projects` what some of its people hash to and some of its projects are called, as many
    as make them many.
    """

    laid_out: Sheaf
    verdict: Verdict
    several: Mapping[int, tuple[str, ...]]
    filled: Mapping[str, int]
    figures: Mapping[str, Integers]
    hashes: Hashes
    people: frozenset[int]
    projects: frozenset[str]


def weigh(portion: Portion, rules: Rules) -> Weighed:
    """Step 3: clean a portion, check it, lay it out."""
    projects = portion.layout.source.projects
    chunk = cells.clean(portion, as_of=rules.as_of, projects=projects)
    checks.run(chunk, as_of=rules.as_of, schemes=rules.schemes)
    frame = frames.lay_out(chunk, portion, rules.fields, rules.label, rules.as_of)
    subjects = duplicates.hashed(frame[duplicates.SUBJECT], rules.salt, few=False)
    summed = expectations.summed(portion.layout)
    return Weighed(
        laid_out=Sheaf(frame),
        verdict=chunk.verdict,
        several=chunk.several,
        filled=chunk.filled,
        figures={name: chunk.figures[name].units for name in summed if name in chunk.figures},
        hashes=duplicates.hashes(frame, subjects, duplicates.rules(portion.layout.table), rules.salt),
        people=_people(chunk, frame, subjects),
        projects=_projects(frame),
    )


def _people(chunk: Chunk, frame: pd.DataFrame, subjects: Hashes) -> frozenset[int]:
    persons = chunk.person & ~chunk.verdict.rejected
    found: set[int] = set()
    for first in range(0, len(subjects), _LOOKED_AT):  # mostly the first rows say enough
        here = slice(first, first + _LOOKED_AT)
        known = persons[here] & frame[duplicates.SUBJECT].iloc[here].notna().to_numpy()
        found.update(np.unique(subjects[here][known])[:FEWEST_PEOPLE].tolist())
        if len(found) >= FEWEST_PEOPLE:
            break
    return frozenset(found)


def _projects(frame: pd.DataFrame) -> frozenset[str]:
    if "project" not in frame:
        return frozenset()
    named = [str(one) for one in frame["project"].dropna().unique() if one]
    return frozenset(named[:_MANY_PROJECTS])
