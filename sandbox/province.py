"""A whole province into a folder: the agencies' files, the consent register, and what must become of them.

    planted = province.write(folder, as_of=date(2026, 6, 15), seed=7, households=300)

`planted.expected` has the shape of an intake report, so that a demo can hold the two side by side. The same
arguments give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from sandbox import offices, places
from sandbox.people import LENDER, OTHER_LENDER, Answer, Household, settle
from sandbox.rating import rating
from sandbox.register import register
from sandbox.sanzi import ledger
from sandbox.subsidy import farmland, grassland, to_be_blocked


@dataclass(frozen=True)
class Planted:
    """What was written, and what is in it.

    `expected` is `{"as_of", "lender", "consents", "files": {name or name#sheet: {...}}}`. The resident IDs are
    of people to ask about; they are left out of the representation.
    """

    folder: Path
    files: Sequence[Path]
    consents_file: Path
    expected: Mapping[str, object]
    lenders: Sequence[str]
    agreed: Sequence[str] = field(repr=False)  # farmers whose rows are without fault and who agreed to all classes
    never_asked: Sequence[str] = field(repr=False)  # farmers with rows in the files, and no consent
    to_another_lender: Sequence[str] = field(repr=False)
    collectives: Sequence[str]  # credit codes


def write(
    folder: Path,
    *,
    as_of: date,
    seed: int = 7,
    households: int = 300,
    table: Path = places.EXTRACT,
    other_offices: bool = False,
) -> Planted:
    """Write a province's files into the folder, which is made if need be.

    With `other_offices` the files of registrar, tax office, power company and the rest (`sandbox.offices`) come too,
    and consents name their classes; the other files stay as they are.

    Raises:
        ValueError: too few or too many households; see `people.settle`.
        LookupError: the table of places lacks a county that the sandbox uses.
    """
    province = settle(seed=seed, households=households, as_of=as_of, table=table)
    day = province.as_of
    consents = register(province.households, as_of=day, seed=seed, offices=other_offices)
    subsidised = farmland(province.farmers, as_of=day, seed=seed)
    rated = rating(province.farmers, as_of=day, seed=seed)
    files = [
        grassland(province.herders, as_of=day, seed=seed),
        subsidised,
        rated,
        rating(province.herders, as_of=day, seed=seed),
        ledger(province.collectives, province.tenants, as_of=day, seed=seed),
        *to_be_blocked(province.farmers, as_of=day),
        *(offices.files(province, seed=seed) if other_offices else ()),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    expected = {
        "as_of": day.isoformat(),
        "lender": LENDER,
        "consents": len(consents.sheets[0].rows) - 1,
        "files": {name: outcome for file in files for name, outcome in file.expected.items()},
    }
    return Planted(
        folder=folder,
        files=[file.write(folder) for file in files],
        consents_file=consents.write(folder),
        expected=expected,
        lenders=(LENDER, OTHER_LENDER),
        agreed=[
            number
            for number in _who(province.farmers, Answer.AGREED)
            if number in subsidised.accepted_people and number in rated.accepted_people
        ],
        never_asked=_who(province.farmers, Answer.NEVER_ASKED),
        to_another_lender=_who(province.farmers, Answer.OTHER_LENDER),
        collectives=[collective.credit_code for collective in province.collectives],
    )


def _who(households: Sequence[Household], answer: Answer) -> list[str]:
    return [household.resident_id for household in households if household.answer is answer]
