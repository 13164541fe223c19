"""Households, collectives and what each agreed to; the same seed makes the same province.

Three groups, because three kinds of agency hold them: herders (牧户) of one county, farmers (农户) of another,
and members of village collectives (农村集体经济组织) who hold contracts in a third. Households keep one head
each: agencies' rosters name the head (户主) only.

What people agreed to is decided here too, so that every file and the consent register tell of the same people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from numpy.random import Generator, default_rng

from sandbox import places
from sandbox.numbers import card_number, credit_code, resident_id
from sandbox.places import Village

LENDER: Final = "青海民和农村商业银行"
OTHER_LENDER: Final = "青海平安农村商业银行"
CLASSES: Final = ("SUBSIDY", "RATING", "SANZI_CONTRACT")

FEWEST_HOUSEHOLDS: Final = 60
MOST_HOUSEHOLDS: Final = 30_000  # a county's IDs with sequence 000 end at one a day; this leaves room
_FIRST_BIRTH: Final = date(1950, 1, 1)
_LAST_BIRTH: Final = date(2002, 12, 31)

_HAN_FAMILY: Final = "张王李马赵韩祁贺鲁保东星冶鲍"
_HAN_GIVEN: Final = ("生莲", "文清", "得福", "成录", "国庆", "秀珍", "海英", "占林", "桂芳", "永祥", "玉兰", "进财")
_TIBETAN: Final = ("扎西", "卓玛", "才让", "拉毛", "索南", "旦增", "尼玛", "更松", "仁青", "巴桑", "久美", "措毛")


class Answer(StrEnum):
    """What became of the question whether a household agrees."""

    AGREED = "agreed"
    AGREED_IN_PART = "agreed-in-part"  # fewer classes than asked
    OTHER_LENDER = "other-lender"  # agreed, to another recipient
    REQUESTED = "requested"  # asked, not answered yet
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NEVER_ASKED = "never-asked"


_ANSWERS: Final = {
    Answer.AGREED_IN_PART: 0.03,
    Answer.OTHER_LENDER: 0.03,
    Answer.REQUESTED: 0.03,
    Answer.WITHDRAWN: 0.02,
    Answer.EXPIRED: 0.02,
    Answer.NEVER_ASKED: 0.04,
}


@dataclass(frozen=True)
class Household:
    """One household by its head; whoever prints it sees the village and no more."""

    village: Village
    name: str = field(repr=False)
    resident_id: str = field(repr=False)
    card: str = field(repr=False)
    language: str
    members: int
    answer: Answer
    classes: tuple[str, ...]  # the classes that an active consent covers at the day of intake

    @property
    def unknown_prefix(self) -> bool:
        """Whether the first six digits of the ID are no division, past or present."""
        return self.resident_id.startswith(places.UNKNOWN_PREFIX)

    def agreed_to(self, class_code: str) -> bool:
        """Whether an active consent covers this class at the day of intake."""
        return class_code in self.classes


@dataclass(frozen=True)
class Collective:
    """One village collective (村级集体经济组织)."""

    village: Village
    name: str
    credit_code: str


@dataclass(frozen=True)
class Province:
    """Everybody in it, as of the day on which their files are taken in."""

    as_of: date
    herders: Sequence[Household]
    farmers: Sequence[Household]
    tenants: Sequence[Household]  # members of a collective who hold a contract with it (承包方)
    collectives: Sequence[Collective]

    @property
    def households(self) -> list[Household]:
        """All households, in the order in which the consent register lists them."""
        return [*self.herders, *self.farmers, *self.tenants]


def settle(*, seed: int, households: int, as_of: date, table: Path = places.EXTRACT) -> Province:
    """People the province: two fifths herd, two fifths farm, one fifth hold contracts of collectives.

    Raises:
        ValueError: fewer households than FEWEST_HOUSEHOLDS (a fault of each kind would not fit), or more than
            MOST_HOUSEHOLDS.
    """
    if not FEWEST_HOUSEHOLDS <= households <= MOST_HOUSEHOLDS:
        raise ValueError(f"households must be {FEWEST_HOUSEHOLDS} to {MOST_HOUSEHOLDS}, not {households}")
    rng = default_rng(seed)
    herding = farming = households * 2 // 5
    renting = households - herding - farming
    herders = _households(rng, herding, places.villages(places.GRAZING_COUNTY, table), first_card=1)
    farmers = _households(rng, farming, places.villages(places.FARMING_COUNTY, table), first_card=herding + 1)
    collective_villages = places.villages(places.COLLECTIVE_COUNTY, table)
    tenants = _households(rng, renting, collective_villages, first_card=herding + farming + 1)
    collectives = [
        Collective(village, f"{village.stem}股份经济合作社", credit_code("N2", village.county_code, serial))
        for serial, village in enumerate(collective_villages[: max(12, households // 10)], start=1)
    ]
    return Province(as_of, herders, farmers, tenants, collectives)


def _households(rng: Generator, count: int, villages: Sequence[Village], *, first_card: int) -> list[Household]:
    """Settle `count` households evenly over the villages; each head has a birth date of his own."""
    days = rng.permutation((_LAST_BIRTH - _FIRST_BIRTH).days)[:count]
    # A share of each answer rather than a chance of it: small provinces have every kind, too.
    answers = [Answer.AGREED] * count
    taken = iter(rng.permutation(count))
    for answer, share in _ANSWERS.items():
        for _ in range(max(1, round(share * count))):
            answers[int(next(taken))] = answer
    prefixes = [villages[0].county_code] * count
    if villages[0].county_code == places.FARMING_COUNTY:
        for position, prefix in zip(taken, [places.UNKNOWN_PREFIX, *[places.RETIRED_PREFIX] * 3], strict=False):
            prefixes[int(position)] = prefix
    used = villages[: max(1, min(len(villages), count // 18 + 1))]
    grazing = villages[0].county_code == places.GRAZING_COUNTY
    settled = []
    for index in range(count):
        born = _FIRST_BIRTH + timedelta(days=int(days[index]))
        settled.append(
            Household(
                village=used[index * len(used) // count],
                name=_tibetan_name(rng) if grazing else _han_name(rng),
                resident_id=resident_id(prefixes[index], born),
                card=card_number(first_card + index),
                language="bo" if grazing else "zh",
                members=int(rng.integers(1, 8)),
                answer=answers[index],
                classes=_covered(rng, answers[index]),
            )
        )
    return settled


def _covered(rng: Generator, answer: Answer) -> tuple[str, ...]:
    if answer in (Answer.AGREED, Answer.OTHER_LENDER):
        return CLASSES
    if answer is Answer.AGREED_IN_PART:
        return (CLASSES[int(rng.integers(0, 2))],)
    return ()


def _han_name(rng: Generator) -> str:
    return _HAN_FAMILY[int(rng.integers(len(_HAN_FAMILY)))] + _HAN_GIVEN[int(rng.integers(len(_HAN_GIVEN)))]


def _tibetan_name(rng: Generator) -> str:
    first, second = (_TIBETAN[int(i)] for i in rng.choice(len(_TIBETAN), 2, replace=False))
    return f"{first}·{second}" if rng.integers(4) == 0 else first + second
