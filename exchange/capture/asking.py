"""A lender's request as one thing to show to a person, and what a person's acts make of it.

`shown` puts together what has to be told before anybody agrees (个人信息保护法 §17, §23; R-25): who, what for, which
items by plain names, how far back, until when, how often, how long it is kept, and the whole text. The terms come from
the code that records consents. `agreed` makes the consent of it:

  * W-items are in it only with an act of their own, which acknowledges adverse consequences (R-05)
  * sensitive items are in it only with an act of their own (R-17)
  * what was not agreed to is left out; if nothing is left, there is no consent

Both pages and phones go through here, so that the same acts make the same consent. A page has neither of the two acts:
`on_a_page` shows what it can ask for, and names what it cannot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final
from uuid import UUID

import yaml

from consent import notices, purposes, recipients, reviews, wordings
from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.notices import Form, Notice
from consent.parties import Parties, Party, reached
from consent.record import NewConsent, Terms
from exchange import credit_data
from exchange.capture import evidence
from exchange.credit_data import CreditData
from registry import catalogue
from registry.canonical import JSON
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction

VERSION: Final = 2  # 1: of before the parties were told with their contacts


@dataclass(frozen=True, slots=True)
class Group:
    """Items of one kind, in the words of a language."""

    kind: str
    title: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person is shown. `items`, `w_items` and `separate_items` are codes; the rest is words and figures."""

    wanted: CreditData
    terms: Terms
    notice: Notice
    purpose_title: str
    groups: tuple[Group, ...]
    w_items: frozenset[str]
    separate_items: frozenset[str]
    w_names: tuple[str, ...]
    separate_names: tuple[str, ...]
    data_life_days: int
    reviewed: bool = False
    parties: Parties | None = None

    @property
    def recipient(self) -> str:
        """The one organisation that would see it."""
        return self.terms.scope.recipient

    @property
    def history_months(self) -> int:
        """How far back."""
        return self.terms.scope.history_months

    @property
    def max_uses(self) -> int:
        """How often in all."""
        return self.terms.scope.max_uses

    @property
    def uses_per_month(self) -> int | None:
        """How often in a month."""
        return self.terms.scope.uses_per_month

    @property
    def last_day(self) -> str:
        """The last day, that day included, in Beijing."""
        return (beijing_day(self.terms.scope.valid_until - timedelta(microseconds=1))).isoformat()

    @property
    def text_version(self) -> str:
        """Which text is shown."""
        return self.notice.version

    @property
    def needs_review(self) -> bool:
        """Whether a native reviewer still has to sign the text, or the names of what it is about, off."""
        return self.notice.needs_review and not self.reviewed

    @property
    def recipient_reached(self) -> str:
        """How the recipient is reached, on one line."""
        if self.parties is None or self.parties.recipient is None:
            return ""
        return reached(self.parties.recipient.contact, self.notice.language)

    @property
    def operator_reached(self) -> str:
        """How the operator is reached, on one line."""
        return "" if self.parties is None else reached(self.parties.operator.contact, self.notice.language)

    @property
    def words(self) -> str:
        """The whole text: who handles and who receives with their contacts, then the text of the purpose."""
        return self._with_parties(self.notice.shown, Form.READ)

    @property
    def aloud(self) -> str | None:
        """The same for the ear; None for a text of before there was one."""
        spoken = notices.find(self.notice.purpose, self.notice.version, self.notice.language, Form.ALOUD)
        return None if spoken is None else self._with_parties(spoken.shown, Form.ALOUD)

    def _with_parties(self, text: str, form: Form) -> str:
        if self.parties is None:
            return text
        language = self.notice.language
        said = self.parties.read(language) if form is Form.READ else self.parties.aloud(language)
        return f"{said}\n\n{text}"

    def as_json(self) -> dict[str, Any]:
        """Write it for a phone."""
        scope = self.terms.scope
        return {
            "recipient": self.recipient,
            "parties": None if self.parties is None else self.parties.as_json(),
            "purpose": scope.purpose,
            "purpose_title": self.purpose_title,
            "items": sorted(scope.items),
            "groups": [{"kind": one.kind, "title": one.title, "names": list(one.names)} for one in self.groups],
            "history_months": scope.history_months,
            "last_day": self.last_day,
            "max_uses": scope.max_uses,
            "uses_per_month": scope.uses_per_month,
            "mode": scope.mode.value,
            "data_life_days": self.data_life_days,
            "adverse_consequences": list(self.w_names),
            "sensitive": list(self.separate_names),
            "text": {
                "version": self.notice.version,
                "language": self.notice.language.value,
                "needs_review": self.needs_review,
                "words": self.words,
                "aloud": self.aloud,
            },
        }


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did. `presence` says how it was proven that it was this person; `reference` what was answered."""

    channel: Channel
    presence: str
    reference: str
    client_id: str
    acknowledged: bool
    sensitive: bool
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """A consent about to be recorded, and the document that proves it."""

    new: NewConsent
    document: bytes


def shown(wanted: CreditData, *, recipient: str, language: str, now: datetime) -> Shown:
    """Put a request together as a person is shown it.

    Raises:
        TermsRefused: terms that no consent may have (any more), or no text of the purpose in this language.
    """
    notice = credit_data.text_of(wanted.purpose, Language(language))
    if notice is None:
        raise TermsRefused(Fault.TEXT_UNKNOWN, "there is no text of this purpose in this language")
    terms = credit_data.settled(wanted, notice, recipient=recipient, now=now)
    known, items = catalogue.current(), terms.scope.items
    purpose = purposes.current().by_code[terms.scope.purpose]
    w_items, separate = items & known.w_items, items & known.separate_items
    return Shown(
        wanted=wanted,
        terms=terms,
        notice=notice,
        purpose_title=purpose.titles.get(language, purpose.titles["zh"]),
        groups=_groups(terms.scope.items, notice, language),
        w_items=w_items,
        separate_items=separate,
        w_names=tuple(_name(item, language) for item in sorted(w_items)),
        separate_names=tuple(_name(item, language) for item in sorted(separate)),
        data_life_days=purpose.life_days(terms.data_life_days),
    )


def told(tx: Transaction, seen: Shown, operator: Party) -> Shown:
    """Say who handles, who receives, how both are reached, and whether reviewers have signed text and names off."""
    recipient = Party(seen.recipient, recipients.contact(tx, seen.recipient))
    full = replace(seen, parties=Parties(operator, recipient))
    if not seen.notice.needs_review:
        return full
    stand = reviews.standings(tx, [seen.notice, wordings.names()])
    return replace(full, reviewed=all(one.state is reviews.State.REVIEWED for one in stand.values()))


def on_a_page(seen: Shown) -> Shown:
    """Give a request as a page shows it: what needs an act of its own is named, and is not among what is asked for.

    A code over a number confirms that somebody was there; W-items want a reliable electronic signature (R-05) and
    sensitive items an act of their own (R-17), which the phone's key gives and a page does not.
    """
    language = seen.notice.language.value
    offered = left_of(seen, acknowledged=False, sensitive=False)
    return replace(seen, groups=_groups(offered, seen.notice, language))


def left_of(seen: Shown, *, acknowledged: bool, sensitive: bool) -> frozenset[str]:
    """Give the items that a person's acts reach: all, but those that need an act of their own which was not done."""
    items = seen.terms.scope.items
    items -= frozenset() if acknowledged else seen.w_items
    return items - (frozenset() if sensitive else seen.separate_items)


def agreed(seen: Shown, act: Act, subject_id: UUID, *, now: datetime) -> Agreement:
    """Make the consent of what a person saw and did. Whoever calls has seen that something is left (`left_of`)."""
    scope = seen.terms.scope
    items = left_of(seen, acknowledged=act.acknowledged, sensitive=act.sensitive)
    acknowledged = act.acknowledged and bool(items & seen.w_items)
    sensitive = act.sensitive and bool(items & seen.separate_items)
    document: dict[str, JSON] = {
        "v": VERSION,
        "reference": act.reference,
        "client_id": act.client_id,
        "subject_id": str(subject_id),
        "recipient": scope.recipient,
        "parties": None if seen.parties is None else seen.parties.as_json(),
        "purpose": scope.purpose,
        "items": sorted(items),
        "left_out": sorted(scope.items - items),
        "history_months": scope.history_months,
        "valid_until": rfc3339(scope.valid_until),
        "max_uses": scope.max_uses,
        "uses_per_month": scope.uses_per_month,
        "highest_mode": scope.mode.value,
        "data_life_days": seen.data_life_days,
        "text": {
            "version": seen.notice.version,
            "language": seen.notice.language.value,
            "sha256": seen.notice.sha256.hex(),
        },
        "acts": {"agreed": True, "adverse_consequences_acknowledged": acknowledged, "sensitive_agreed": sensitive},
        "channel": act.channel.value,
        "presence": act.presence,
        "at": rfc3339(now),
    }
    text, digest = evidence.written(document)
    capture = Capture(
        channel=act.channel,
        text_version=seen.notice.version,
        text_language=seen.notice.language,
        evidence=Evidence(EvidenceKind.RELIABLE_ESIGN, digest),
        device=act.device,
    )
    new = credit_data.new_consent(
        seen.wanted,
        capture,
        recipient=scope.recipient,
        begins=now,
        items=items,
        w_acknowledged=acknowledged,
        sensitive_agreed=sensitive,
        captured_at=now,
        request_id=act.reference,
    )
    return Agreement(new, text)


def _groups(asked: frozenset[str], notice: Notice, language: str) -> tuple[Group, ...]:
    said = _named(notice.purpose, notice.version)
    kinds: dict[str, list[str]] = {}
    for item in sorted(asked):
        kinds.setdefault(item.partition(".")[0], []).append(item)
    titles = {code: kind.titles for code, kind in catalogue.current().kinds.items()}
    return tuple(
        Group(
            code,
            said.get(code, {}).get(language) or titles[code].get(language, titles[code]["zh"]),
            tuple(_field(item, language) for item in items),
        )
        for code, items in kinds.items()
    )


def _field(item: str, language: str) -> str:
    spec = catalogue.current().field(item)
    return spec.titles[language]


def _name(item: str, language: str) -> str:
    title = catalogue.current().kinds[item.partition(".")[0]].titles[language]
    return f"{title} · {_field(item, language)}"


@cache
def _named(purpose: str, version: str) -> Mapping[str, Mapping[str, str]]:
    """Give the words by which a text names kinds, by kind and language."""
    file = resources.files("consent.notices") / purpose / f"{version}.yml"
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(file.read_bytes())
    return found
