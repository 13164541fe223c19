"""Villages on real division codes: an extract of four counties, and the county codes of the province.

Source: National Bureau of Statistics, cut-off 2022-10-31. `places.csv` holds only villages whose name occurs
once in its county, so that a name which an agency writes is never ambiguous by accident. Another table of the
same columns may be given. It does not resolve names or retired codes: agencies do not, they write what they have.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EXTRACT: Final = Path(__file__).with_name("places.csv")

FARMING_COUNTY: Final = "630222"  # 民和回族土族自治县
COLLECTIVE_COUNTY: Final = "630203"  # 平安区
GRAZING_COUNTY: Final = "632701"  # 玉树市
RETIRED_PREFIX: Final = "632122"  # 民和 until 2013; older people's IDs keep it
UNKNOWN_PREFIX: Final = "639999"  # given to no county, ever

_COUNTIES: Final = (
    "630102 630103 630104 630105 630106 630121 630123 630202 630203 630222 630223 630224 630225 632221 632222 "
    "632223 632224 632301 632322 632323 632324 632521 632522 632523 632524 632525 632621 632622 632623 632624 "
    "632625 632626 632701 632722 632723 632724 632725 632726 632801 632802 632803 632821 632822 632823 632857"
)
COUNTY_CODES: Final = tuple(_COUNTIES.split())


@dataclass(frozen=True)
class Village:
    """One village with the town and county it lies in; codes of 12, 9 and 6 digits."""

    county_code: str
    county: str
    town_code: str
    town: str
    village_code: str
    village: str

    @property
    def stem(self) -> str:
        """The bare name, without 村委会, 村民委员会 or 牧委会."""
        for ending in ("村民委员会", "村委会", "牧委会", "委员会"):
            if self.village.endswith(ending):
                return self.village.removesuffix(ending)
        return self.village


def villages(county_code: str, table: Path = EXTRACT) -> list[Village]:
    """Read the villages of one county, in the order of the table.

    Raises:
        LookupError: the table has none of that county.
    """
    with table.open(encoding="utf-8-sig", newline="") as file:
        found = [Village(**row) for row in csv.DictReader(file) if row["county_code"] == county_code]
    if not found:
        raise LookupError(f"no villages of county {county_code} in {table.name}")
    return found
