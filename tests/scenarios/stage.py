"""The stage of the scenarios: an installation for a file, somebody new for each scenario, one way to read outcomes.

A scenario is a test marked `@refuses(code)`: something that must not pass, by the code under which the product refuses
it, with its name as the promise. It hands every outcome to `Scene.refused` or to `Scene.permitted`, and each at least
once: the same act with the one thing set right goes through, so that a refusal is not one for another reason. The
fixture `scene` (conftest) holds it to that.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from consent import ledger
from consent.errors import ReceiptInvalid, ReviewRefused, TermsRefused, TransitionRefused
from consent.record import Consent
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.release import Outcome, Permitted, Refused, release
from registry import clock, store
from registry.errors import IdentifierTaken
from registry.identifiers import (
    CREDIT_ALPHABET,
    CREDIT_WEIGHTS,
    CreditCode,
    ResidentId,
    organisation_check,
    resident_check,
)
from tests.asking import Bank
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.capturing import content, in_person
from tests.people import question

refuses = pytest.mark.refuses
PERMITTED: Final = "permitted"
OTHER: Final = "别的银行"
OTHER_REDIRECT: Final = "https://other.example/back"
GRADE: Final = ["RATING.grade"]
PROJECT: Final = ["SUBSIDY.project"]
_A_DAY: Final = timedelta(days=1)
_REFUSALS: Final = (TransitionRefused, ReceiptInvalid, ReviewRefused, IdentifierTaken)
_numbers = itertools.count()


@dataclass
class Lender:
    """A lender's system, signed in; `pages` sends people to the confirmation page."""

    pages: Bank
    token: str

    @property
    def caller(self) -> Caller:
        """Who it is to the token endpoint."""
        return self.pages.caller

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Call an interface."""
        url = ISSUER + path
        credentials = self.caller.headers(method, url.partition("?")[0], self.token)
        more = {} if body is None else {"json": body}
        return self.pages.door.call(method, url, headers=credentials | headers, **more)


@dataclass
class World:
    """What a file's scenarios share: an installation with two lenders."""

    home: Home
    door: Door
    bank: Lender
    other: Lender


@dataclass
class Scene:
    """One scenario: its world, what it must be refused as, and what it has shown."""

    world: World
    expected: frozenset[str]
    patches: pytest.MonkeyPatch
    shown: list[str] = field(default_factory=list)

    @property
    def home(self) -> Home:
        """The installation."""
        return self.world.home

    @property
    def door(self) -> Door:
        """The application."""
        return self.world.door

    @property
    def bank(self) -> Lender:
        """The lender that most consents name."""
        return self.world.bank

    @property
    def other(self) -> Lender:
        """Another lender."""
        return self.world.other

    # ---- outcomes

    def refused(self, outcome: "httpx.Response | Outcome | str") -> None:
        """Hold an outcome to be the refusal that the scenario names."""
        assert code(outcome) in self.expected, f"{code(outcome)}, not {sorted(self.expected)}"
        self.shown.append("refused")

    def permitted(self, outcome: "httpx.Response | Outcome | str") -> None:
        """Hold an outcome to be none: what should pass passes."""
        assert code(outcome) == PERMITTED, f"{code(outcome)}, and should pass"
        self.shown.append(PERMITTED)

    # ---- people

    def person(self, age: int = 40, *, extra_days: int = 30) -> ResidentId:
        """Make somebody up, never seen before, so many years old, and some days beyond the birthday."""
        today = clock.beijing_day(clock.now())
        return born(years_before(today, age) - timedelta(days=extra_days))

    def asks(self, who: "ResidentId | CreditCode", lender: Lender | None = None, **changes: Any) -> httpx.Response:
        """Ask about somebody at the lenders' door; `key` is the Idempotency-Key."""
        key = changes.pop("key", None)
        asked = {"subject": subject(who), "purpose": "LOAN_APPROVAL", "business_no": "LA-1", "items": GRADE} | changes
        headers = {} if key is None else {"Idempotency-Key": key}
        stated = {name: value for name, value in asked.items() if value is not None}
        return (lender or self.bank).call("POST", "/v1/queries", stated, **headers)

    def records(self, who: "ResidentId | CreditCode", lender: Lender | None = None, **changes: Any) -> httpx.Response:
        """Record a consent that was taken at a village point, at the lenders' door."""
        return (lender or self.bank).call("POST", "/v1/consents", given(who, **changes))

    def recorded(self, who: "ResidentId | CreditCode", lender: Lender | None = None, **changes: Any) -> dict[str, Any]:
        """Record a consent, or fail the test."""
        answer = self.records(who, lender, **changes)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def consents(self, who: ResidentId) -> list[Consent]:
        """Read all consents of somebody."""
        with self.home.database.transaction() as tx:
            known = store.lookup(tx, self.home.keyring, [who]).get(who.text)
            return [] if known is None else ledger.list_for_subject(tx, known)

    def gate(self, who: "ResidentId | CreditCode", **changes: Any) -> Outcome:
        """Ask at the gate itself, whose caller has been admitted: for questions at another time than now."""
        return self.together(question(**{"who": who, "items": frozenset(GRADE)} | changes))[0]

    def together(self, *asks: Any, at_step: Callable[[int], None] = lambda _: None) -> list[Outcome]:
        """Ask several questions in one batch."""
        return release(self.home, asks, at_step=at_step)

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Let the installation's clock stand at a moment."""
        with self.patches.context() as patches:
            patches.setattr(clock, "now", lambda: moment)
            yield

    def tries(self, act: Callable[[], object]) -> str:
        """Do what may be refused by an exception; give its code."""
        try:
            act()
        except TermsRefused as refused:
            return refused.code.value
        except RequestRefused as refused:
            return refused.code
        except _REFUSALS as refused:
            return type(refused).__name__
        return PERMITTED


def code(outcome: "httpx.Response | Outcome | str") -> str:
    """Read any outcome as one word: `permitted`, or why not."""
    if isinstance(outcome, str):
        return outcome
    if isinstance(outcome, Permitted):
        return PERMITTED
    if isinstance(outcome, Refused):
        return outcome.reason.value
    if isinstance(outcome, httpx.Response):
        return _code_of_response(outcome)
    return str(getattr(outcome, "code", type(outcome).__name__))


def _code_of_response(answer: httpx.Response) -> str:
    if answer.is_success:
        return PERMITTED
    if answer.has_redirect_location:
        return parse_qs(urlsplit(answer.headers["location"]).query).get("error", [PERMITTED])[0]
    if answer.headers["content-type"].startswith("text/html"):
        return f"page-{answer.status_code}"
    said = answer.json()
    if "error" in said:
        return str(said["error"])
    if said["code"] != "consent-terms":
        return str(said["code"])
    return str(said["errors"][0]["code"]) if said.get("errors") else str(said["detail"]).partition(":")[0]


# ---- what is handed in ----------------------------------------------------------------------------------------------


def subject(who: "ResidentId | CreditCode") -> dict[str, str]:
    """Name somebody at the lenders' door."""
    return {"type": "resident_id" if isinstance(who, ResidentId) else "uscc", "identifier": who.text}


def evidence(**changes: Any) -> dict[str, Any]:
    """An electronic signature of its own."""
    return {"kind": "reliable_esign", "sha256": uuid4().hex * 2} | changes


def today(days: int = 0) -> str:
    """The day in Beijing, so many days from now."""
    return (clock.beijing_day(clock.now()) + timedelta(days=days)).isoformat()


def given(who: "ResidentId | CreditCode", **changes: Any) -> dict[str, Any]:
    """What a lender sends of a consent taken at a village point."""
    stated = {
        "subject": subject(who),
        "purpose": "LOAN_APPROVAL",
        "items": ["RATING"],
        "valid_from": today(),
        "text_version": "2026-03",
        "text_language": "zh",
        "channel": "village",
        "evidence": evidence(),
    }
    return stated | in_person() | changes


def on_device(collected_by: str, who: ResidentId, **changes: Any) -> dict[str, Any]:
    """What a device's record holds, on a proof of its own."""
    return content(uuid4().int % 10**60, who, collector=collected_by, **changes)


def born(birth: date) -> ResidentId:
    """Make up a number of somebody born on a day; each once."""
    digits = f"632701{birth:%Y%m%d}{next(_numbers) % 1000:03d}"
    return ResidentId.parse(digits + resident_check(digits))


def collective() -> CreditCode:
    """Make up a village collective; each once."""
    inner = f"{next(_numbers):08d}"
    text = f"N3632701{inner}{organisation_check(inner)}"
    total = sum(CREDIT_ALPHABET.index(one) * weight for one, weight in zip(text, CREDIT_WEIGHTS, strict=True))
    return CreditCode.parse(text + CREDIT_ALPHABET[-total % 31])


def years_before(day: date, years: int) -> date:
    """The same day so many years ago."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)
