"""Who acted for the subject: a guardian, a proxy with a power of attorney, a collective's meeting. Pure.

Nobody stands here by name: `by` is a keyed token of the representative, documents are SHA-256 values. Whether the
representative exists, is of age and alive is asked where identifiers may be seen (exchange.consenting).

  guardian    for a child, or for an adult whom a court placed under guardianship; with proof of it
  proxy       for an adult, with a power of attorney and its last day; never for sensitive items, which are the person's
              own to give (R-17, R-70): the head of a household is no proxy of its other adults without one
  resolution  for a collective: the meeting's kind, quorum, votes, number, minutes, publicity and term, after
              农村集体经济组织法 §26-28 as declared in resolutions.yml

What is declared is checked (`faults_of`), in whole numbers: shares are never divided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Self

import yaml

from consent.declared import Table
from consent.errors import DeclarationInvalid, Fault, TermsRefused

_HASH_BYTES: Final = 32


class Kind(StrEnum):
    """On which ground somebody acts for the subject."""

    GUARDIAN = "guardian"  # 监护人
    PROXY = "proxy"  # 受托人
    RESOLUTION = "resolution"  # 集体决议


class Relation(StrEnum):
    """What the representative is to the subject (民法典 §27-28)."""

    PARENT = "parent"
    GRANDPARENT = "grandparent"
    SIBLING = "sibling"
    SPOUSE = "spouse"
    CHILD = "child"
    RELATIVE = "relative"
    APPOINTED = "appointed"  # by a court, a village committee or the civil affairs office
    AGENT = "agent"  # somebody else whom the subject named
    BOARD = "board"  # the collective's board, which carries a resolution out


GUARDIANS: Final = frozenset(
    {Relation.PARENT, Relation.GRANDPARENT, Relation.SIBLING, Relation.APPOINTED, Relation.SPOUSE, Relation.CHILD,
     Relation.RELATIVE}
)  # fmt: skip
OF_A_MINOR: Final = frozenset(
    {Relation.PARENT, Relation.GRANDPARENT, Relation.SIBLING, Relation.RELATIVE, Relation.APPOINTED}
)


class Meeting(StrEnum):
    """Which meeting decided."""

    MEMBERS = "members"  # 成员大会
    REPRESENTATIVES = "representatives"  # 成员代表大会


@dataclass(frozen=True, slots=True)
class Resolution:
    """A collective's resolution. `members` are all who were entitled to vote, `present` those who took part.

    The publicity's first and last day both count. `term_until` is the last day for which the meeting decided.
    """

    meeting: Meeting
    number: str
    members: int
    present: int
    votes_for: int
    votes_against: int
    votes_abstained: int
    held_on: date
    publicity_from: date
    publicity_to: date
    term_until: date
    minutes_sha256: bytes


@dataclass(frozen=True, slots=True)
class Representation:
    """Who acted for the subject, on which document, and until which day (included) that document reaches."""

    kind: Kind
    relation: Relation
    by: str | None = field(default=None, repr=False)
    document_sha256: bytes | None = None
    until: date | None = None
    resolution: Resolution | None = None

    def as_json(self) -> dict[str, Any]:
        """Write it as it is kept, and as it stands in the receipt (there without `by`)."""
        decided = self.resolution
        return {
            "kind": self.kind.value,
            "relation": self.relation.value,
            "by": self.by,
            "document_sha256": None if self.document_sha256 is None else self.document_sha256.hex(),
            "until": None if self.until is None else self.until.isoformat(),
            "resolution": None
            if decided is None
            else {
                "meeting": decided.meeting.value,
                "number": decided.number,
                "members": decided.members,
                "present": decided.present,
                "votes_for": decided.votes_for,
                "votes_against": decided.votes_against,
                "votes_abstained": decided.votes_abstained,
                "held_on": decided.held_on.isoformat(),
                "publicity_from": decided.publicity_from.isoformat(),
                "publicity_to": decided.publicity_to.isoformat(),
                "term_until": decided.term_until.isoformat(),
                "minutes_sha256": decided.minutes_sha256.hex(),
            },
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        decided, document, until = kept["resolution"], kept["document_sha256"], kept["until"]
        return cls(
            kind=Kind(kept["kind"]),
            relation=Relation(kept["relation"]),
            by=kept["by"],
            document_sha256=None if document is None else bytes.fromhex(document),
            until=None if until is None else date.fromisoformat(until),
            resolution=None
            if decided is None
            else Resolution(
                meeting=Meeting(decided["meeting"]),
                number=decided["number"],
                members=decided["members"],
                present=decided["present"],
                votes_for=decided["votes_for"],
                votes_against=decided["votes_against"],
                votes_abstained=decided["votes_abstained"],
                held_on=date.fromisoformat(decided["held_on"]),
                publicity_from=date.fromisoformat(decided["publicity_from"]),
                publicity_to=date.fromisoformat(decided["publicity_to"]),
                term_until=date.fromisoformat(decided["term_until"]),
                minutes_sha256=bytes.fromhex(decided["minutes_sha256"]),
            ),
        )

    @property
    def last_day(self) -> date | None:
        """The last day on which it can carry a consent; None if its document names none."""
        term = None if self.resolution is None else self.resolution.term_until
        return min((day for day in (self.until, term) if day is not None), default=None)


# ---- what is declared of meetings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """At least `least` of `of`, as two thirds: reached by whole heads, without a division."""

    least: int
    of: int

    def reached(self, count: int, entitled: int) -> bool:
        """Tell whether a count is this share of all who are entitled."""
        return count * self.of >= entitled * self.least


@dataclass(frozen=True, slots=True)
class Rule:
    """What a meeting of one kind needs."""

    present: Share
    votes_for: Share
    least: int
    term_years: int


@dataclass(frozen=True, slots=True)
class Rules:
    """All kinds of meeting of one version."""

    version: str
    publicity_days: int
    meetings: Mapping[Meeting, Rule]


@cache
def rules() -> Rules:
    """Give the rules of this release; read once.

    Raises:
        DeclarationInvalid: resolutions.yml does not have the declared shape.
    """
    return read((resources.files("consent") / "resolutions.yml").read_text("utf-8"))


def read(text: str) -> Rules:
    """Read rules from yml.

    Raises:
        DeclarationInvalid: not yml, a key missing or not understood, a share above one, a kind of meeting missing.
    """
    try:
        top = Table("resolutions", yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise DeclarationInvalid(f"resolutions: not readable as yml: {error}") from error
    version, publicity_days = top.text("version"), top.number("publicity_days", least=1)
    meetings = top.table("meetings")
    top.done()
    found = {meeting: _rule(meetings.table(meeting.value)) for meeting in Meeting}
    meetings.done()
    return Rules(version, publicity_days, MappingProxyType(found))


def _rule(table: Table) -> Rule:
    rule = Rule(
        _share(table.table("present")),
        _share(table.table("votes_for")),
        table.number("least", least=1),
        table.number("term_years", least=0),
    )
    table.done()
    return rule


def _share(table: Table) -> Share:
    share = Share(table.number("least", least=1), table.number("of", least=1))
    table.done()
    if share.least > share.of:
        raise DeclarationInvalid(f"{table.place}: more than all")
    return share


# ---- checks ---------------------------------------------------------------------------------------------------------


def check(acted: Representation, *, sensitive: bool, first_day: date, given: Rules) -> None:
    """Refuse a representation that cannot carry a consent which begins on `first_day`.

    Args:
        acted: who acted.
        sensitive: whether sensitive items are among what was agreed to.
        first_day: the consent's first day, in Beijing.
        given: the rules for meetings.

    Raises:
        TermsRefused: with the first fault found.
    """
    if acted.kind is Kind.RESOLUTION:
        if acted.resolution is None:
            raise TermsRefused(Fault.RESOLUTION_MISSING, "a collective consents by resolution")
        _check_resolution(acted.resolution, first_day, given)
    elif acted.resolution is not None:
        raise TermsRefused(Fault.REPRESENTATION_INVALID, "a person has no meeting")
    else:
        _check_person(acted, sensitive=sensitive)
    if acted.last_day is not None and acted.last_day < first_day:
        raise TermsRefused(Fault.REPRESENTATION_OVER, "the document's last day is before the consent's first")


def _check_person(acted: Representation, *, sensitive: bool) -> None:
    if acted.by is None:
        raise TermsRefused(Fault.REPRESENTATION_INVALID, "nobody is named who acted")
    if acted.document_sha256 is None or len(acted.document_sha256) != _HASH_BYTES:
        missing = Fault.POWER_OF_ATTORNEY_MISSING if acted.kind is Kind.PROXY else Fault.GUARDIANSHIP_UNPROVEN
        raise TermsRefused(missing, "no document says that this person may act")
    if acted.kind is Kind.GUARDIAN and acted.relation not in GUARDIANS:
        raise TermsRefused(Fault.GUARDIANSHIP_UNPROVEN, "not somebody who can be a guardian")
    if acted.kind is Kind.PROXY and acted.until is None:
        raise TermsRefused(Fault.POWER_OF_ATTORNEY_MISSING, "a power of attorney names its last day")
    if acted.kind is Kind.PROXY and sensitive:
        raise TermsRefused(Fault.SENSITIVE_BY_PROXY, "sensitive items are agreed to by the person alone")


def _check_resolution(decided: Resolution, first_day: date, given: Rules) -> None:
    rule = given.meetings[decided.meeting]
    votes = (decided.votes_for, decided.votes_against, decided.votes_abstained)
    if not decided.number.strip() or min(*votes, decided.present) < 0 or len(decided.minutes_sha256) != _HASH_BYTES:
        raise TermsRefused(Fault.RESOLUTION_INVALID, "no number, no minutes, or a count below zero")
    if sum(votes) != decided.present or decided.present > decided.members:
        raise TermsRefused(Fault.RESOLUTION_INVALID, "votes, those present and those entitled do not add up")
    if decided.members < rule.least or not rule.present.reached(decided.present, decided.members):
        raise TermsRefused(Fault.QUORUM_MISSED, "too few took part")
    if not rule.votes_for.reached(decided.votes_for, decided.members):
        raise TermsRefused(Fault.VOTES_MISSED, "too few agreed")
    if decided.publicity_from < decided.held_on:
        raise TermsRefused(Fault.RESOLUTION_INVALID, "made public before it was decided")
    if decided.publicity_to - decided.publicity_from < timedelta(days=given.publicity_days - 1):
        raise TermsRefused(Fault.PUBLICITY_TOO_SHORT, f"fewer than {given.publicity_days} days")
    if decided.publicity_to >= first_day:
        raise TermsRefused(Fault.PUBLICITY_NOT_OVER, "the publicity ends before the consent begins")
    if rule.term_years and decided.term_until > _years_on(decided.held_on, rule.term_years):
        raise TermsRefused(Fault.RESOLUTION_INVALID, "decided for longer than its representatives are elected")


def _years_on(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return day.replace(year=day.year + years, day=28)
