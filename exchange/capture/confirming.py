"""The answer on the confirmation page, in one transaction: presence, consent, evidence, code.

Steps of `answer` (the numbers are used in the code and the tests):
  1. the request waits, is this client's, and the page was about the text that is current
  2. "no": the request ends with access_denied. Who gave number and code as well is remembered to have said no, and
     is not asked again for a while; who did not is believed without: nobody has to identify himself to refuse
  3. "yes": number and a code over this very request and these very words prove that it is this person; unknown people,
     people without a phone and wrong codes get one answer. After five wrong ones the request ends with access_denied
  4. a consent is made of what a page can ask for (`asking.on_a_page`), if anything is left; it is recorded with its
     evidence, and the request ends with a code. What it is to replace ends with it; if that is not this person's, or
     has ended meanwhile, the request ends with access_denied
What the ledger refuses (a child, a person who has said no lately) is told to the person, who has proven presence; the
lender learns that there is no agreement, as from a "no".
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from consent.errors import Fault, TermsRefused, TransitionRefused, UnknownConsent
from consent.evidence import Channel
from exchange import consents, credit_data, presence
from exchange.capture import asking, evidence
from exchange.capture.asking import Act, Shown
from exchange.credit_data import CreditData
from exchange.home import Home
from exchange.oauth import codes
from exchange.oauth.codes import Pending
from exchange.oauth.redirects import answered
from registry.canonical import b64url
from registry.database import Transaction
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId
from registry.suites import OCRA_SUITE

WRONG_PRESENCE: Final = "wrong_presence"
NOTHING_LEFT: Final = "nothing_left"
TEXT_CHANGED: Final = "text_changed"


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that waits, as a person is shown it. The numbers are what the phone computes its code over."""

    digest: bytes
    redirect_uri: str
    shown: Shown
    number: str
    number_to_refuse: str
    replaces: bool = False  # whether agreeing ends a consent that stands


@dataclass(frozen=True, slots=True)
class Given:
    """What came from the page."""

    language: str
    text_version: str
    agrees: bool
    identifier: str
    code: str


@dataclass(frozen=True, slots=True)
class Back:
    """The person goes back to the lender, to this address."""

    address: str


@dataclass(frozen=True, slots=True)
class Again:
    """The page comes once more: with a word of `pages`, or with what the ledger refused."""

    opened: Opened
    word: str | None = None
    fault: Fault | None = None


def opened(home: Home, client_id: str, request_uri: str, language: str, *, now: datetime) -> Opened | None:
    """Show a request that waits; None if there is none of this client's under this request_uri."""
    with home.database.transaction() as tx:
        pending = codes.find(tx, request_uri, client_id, now=now)
        return None if pending is None else _opened(tx, home, pending, language, now)


def answer(home: Home, client_id: str, request_uri: str, given: Given, *, now: datetime) -> Back | Again | None:
    """Take a person's answer; None if no request waits under this request_uri."""
    with home.database.transaction() as tx:
        pending = codes.find(tx, request_uri, client_id, now=now)  # 1
        if pending is None:
            return None
        if not given.agrees:
            _refuse(tx, home, pending, given, now)  # 2
            return _denied(home, pending)
        page = _opened(tx, home, pending, given.language, now)  # 1
        return None if page is None else _asked(tx, home, pending, page, given, now)


def _asked(tx: Transaction, home: Home, pending: Pending, page: Opened, given: Given, now: datetime) -> Back | Again:
    if page.shown.text_version != given.text_version:
        return Again(page, word=TEXT_CHANGED)
    if not asking.left_of(page.shown, acknowledged=False, sensitive=False):
        return Again(page, word=NOTHING_LEFT)  # before a code is used up
    asks = pending.recipient
    who, subject_id = _present(tx, home, given, page.number, now, page_of=asks, to=asks)  # 3
    if who is not None and subject_id is not None:
        return _agree(tx, home, pending, page, who, subject_id, now)  # 4
    if codes.count_try(tx, pending):
        return Again(page, word=WRONG_PRESENCE)
    codes.settle(tx, pending, codes.FAILED, now=now)
    return _denied(home, pending)


def _opened(tx: Transaction, home: Home, pending: Pending, language: str, now: datetime) -> Opened | None:
    wanted = CreditData.model_validate(pending.wanted)
    codes.note_language(tx, pending, language)
    try:
        shown = asking.shown(wanted, recipient=pending.recipient, language=language, now=now)
    except TermsRefused:  # since it was pushed, a cap was lowered or an end has passed
        return None
    page = asking.on_a_page(asking.told(tx, shown, home.installation.party))
    yes, no = (_number(home, pending, page, answer) for answer in ("agree", "refuse"))
    return Opened(pending.digest, pending.redirect_uri, page, yes, no, pending.replaces is not None)


def _number(home: Home, pending: Pending, page: Shown, answer: str) -> str:
    """Make the number for one answer to one request as it is shown: change any word of it, and no code fits."""
    return presence.challenge(home, {"request": b64url(pending.digest), "answer": answer, "shown": page.as_json()})


def _present(
    tx: Transaction, home: Home, given: Given, number: str, now: datetime, *, page_of: str, to: str | None = None
) -> tuple[ResidentId | None, UUID | None]:
    try:
        who = ResidentId.parse(given.identifier)
    except MalformedIdentifier:
        return None, None
    return who, presence.proves(tx, home, who, given.code, number, now, page_of=page_of, to=to)


def _refuse(tx: Transaction, home: Home, pending: Pending, given: Given, now: datetime) -> None:
    codes.settle(tx, pending, codes.REFUSED, now=now)
    if not given.identifier or not given.code:
        return
    page = _opened(tx, home, pending, given.language, now)
    if page is None:
        return
    _, subject_id = _present(tx, home, given, page.number_to_refuse, now, page_of=pending.recipient)
    if subject_id is not None:
        purpose = str(pending.wanted["purpose"])
        consents.refuse_in(tx, subject_id, pending.recipient, purpose, channel=Channel.H5, actor="subject", now=now)


def _agree(  # what a "yes" needs
    tx: Transaction,
    home: Home,
    pending: Pending,
    page: Opened,
    who: ResidentId,
    subject_id: UUID,
    now: datetime,
) -> Back | Again:
    act = Act(
        channel=Channel.H5,
        presence=f"resident id and code of the phone bound in person over {page.number} ({OCRA_SUITE})",
        reference=b64url(pending.digest),
        client_id=pending.client_id,
        acknowledged=False,
        sensitive=False,
    )
    agreement = asking.agreed(page.shown, act, subject_id, now=now)
    try:
        with tx.transaction():  # the code stays used, whatever becomes of the rest
            new = replace(agreement.new, previous=pending.replaces)
            made = consents.grant_in(tx, home, who, new, actor="subject", now=now)
            evidence.keep(tx, made.consent_id, agreement.document, now=now)
            code = codes.settle_granted(tx, pending, credit_data.agreed_to(made), now=now)
    except (UnknownConsent, TransitionRefused):  # what it was to replace is somebody else's, or has ended meanwhile
        codes.settle(tx, pending, codes.FAILED, now=now)
        return _denied(home, pending)
    except TermsRefused as refused:
        return Again(page, fault=refused.code)
    return _back(home, pending, {"code": code})


def _denied(home: Home, pending: Pending) -> Back:
    return _back(home, pending, {"error": "access_denied"})


def _back(home: Home, pending: Pending, answer: dict[str, str]) -> Back:
    more = {"iss": home.settings.issuer, "state": pending.state}
    return Back(answered(pending.redirect_uri, {**answer, **more}))
