"""Requests to a person's phone (decoupled, as CIBA): a lender asks, the person answers elsewhere, the lender looks.

The rule of what a lender may learn. **Only a person's own word tells of a person.** So a lender sees:
  * `agreed`, with the consent, when the person has agreed
  * `refused`, when the person has refused and said that the lender may know it
  * `pending` in every other case, until the request's end, and from then on `expired`
Nobody is told apart below that: not known here, without a phone, a child, within the time after a "no", asked already,
refused in silence, not answered. All of them are taken, kept, answered and ended alike, at the same moment; nothing is
written to the log when a request ends without agreement.

No nagging (R-26): a request is taken but not shown while the same organisation has an open one for the same purpose, or
within the purpose's `cool_down_days` after a "no". What a person is not shown ends by itself, and is never shown later.

No flood: an organisation has so many requests pending at a time (`MOST_PENDING`), counted as it sees them itself, and
before anybody is looked up; so the bound tells of nobody either.

The identifier is kept, sealed, only where a person is shown the request, and only until it is answered or ends.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from consent import purposes, refusals
from consent.errors import TermsRefused
from consent.evidence import Channel
from consent.parties import Party
from consent.record import Consent
from exchange import binding, consents
from exchange.capture import asking, evidence, sealing
from exchange.capture.asking import Act, Shown
from exchange.capture.events import Event
from exchange.credit_data import CreditData, refuse_unsettled
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.clients import ACTIVE, refuse_unreached
from exchange.oauth.guard import Caller
from exchange.once import Once
from registry import identifying, log, store
from registry.clock import beijing_day
from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, years_between
from registry.keyring import Purpose
from registry.records import NOBODY
from registry.suites import hmac_sha256, random_bytes, sha256

LIFETIME: Final = timedelta(days=3)
KEPT_AFTER_END: Final = timedelta(days=30)
MOST_PENDING: Final = 1000  # of one organisation
_USER_CODES: Final = 10_000
_OPEN: Final = (
    "SELECT r.request_id, r.recipient, r.terms, r.message, r.user_code, r.created_at, r.expires_at, r.sealed,"
    " r.client_id FROM consent_request r JOIN client c USING (client_id)"
    " WHERE r.subject_id = %s AND r.state = 'offered' AND r.expires_at > %s AND c.state = %s"
    " AND c.organisation = r.recipient"
)


class State(StrEnum):
    """Where a request stands, here; what a lender sees is `Seen`."""

    OFFERED = "offered"
    AGREED = "agreed"
    REFUSED = "refused"
    EXPIRED = "expired"


class Seen(StrEnum):
    """What a lender sees of a request. The values are published; never reuse one."""

    PENDING = "pending"
    AGREED = "agreed"
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Offered:
    """A request that was taken. `user_code` is for the person to compare with what staff say."""

    request_id: UUID
    user_code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the person asked is shown it."""

    request_id: UUID
    message: str
    user_code: str
    created_at: datetime
    expires_at: datetime
    shown: Shown


@dataclass(frozen=True, slots=True)
class Given:
    """What came from the phone: which text was read, and the acts."""

    language: str
    text_version: str
    acknowledged: bool = False
    sensitive: bool = False


# ---- the lender's side ----------------------------------------------------------------------------------------------


def offer(  # the parts of a request
    home: Home,
    caller: Caller,
    who: Identifier,
    wanted: CreditData,
    message: str,
    *,
    now: datetime,
    once: Once | None = None,
) -> Offered:
    """Take a lender's request; the same steps and the same answer whoever is asked. `once`: its Idempotency-Key.

    Raises:
        TermsRefused: terms that no consent may have, or a lender of which it is not known how it is reached. They are
            judged before anybody is looked up.
        RequestRefused: `requests-too-many`, with how many seconds to wait; nothing is kept then. The key came with
            another request, or with one that is gone.
    """
    refuse_unsettled(wanted, recipient=caller.org_code, now=now)
    request_id, expires = uuid4(), now + LIFETIME
    user_code = f"{int.from_bytes(random_bytes(8)) % _USER_CODES:04d}"
    with home.database.transaction() as tx:
        before = None if once is None else once.before(tx, now=now)
        if before is not None:
            return _offered(tx, UUID(before), caller.org_code)
        refuse_unreached(tx, caller.org_code)
        _refuse_flood(tx, caller.org_code, now)
        known = store.lookup(tx, home.keyring, [who]).get(who.text, NOBODY)
        store.hold_subjects(tx, [known])
        born = identifying.births(tx, home.sealing, [known]).get(known)
        reached = _may_be_shown(tx, who, born, known, caller.org_code, wanted.purpose, now)
        owner = known if reached else _nobody(home)
        sealed = sealing.keep_identifier(home, owner, request_id.bytes, who, now=now)
        shown = reached and sealed is not None
        tx.execute(
            "INSERT INTO consent_request (request_id, client_id, recipient, subject_id, sealed, terms, message,"
            " user_code, state, told, created_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, false, %s, %s)",
            (
                request_id,
                caller.client_id,
                caller.org_code,
                known if shown else None,
                sealed if shown else None,
                Jsonb(wanted.as_json()),
                message,
                user_code,
                State.OFFERED.value,
                now,
                expires,
            ),
        )
        fields = {"request_id": str(request_id), "organisation": caller.org_code, "purpose": wanted.purpose}
        log.append(tx, [log.Entry(Event.REQUEST_OFFERED.value, at=now, actor=caller.client_id, fields=fields)])
        if once is not None:
            once.note(tx, str(request_id))
    return Offered(request_id, user_code, expires)


def _offered(tx: Transaction, request_id: UUID, organisation: str) -> Offered:
    """Give again what was answered when a request was made."""
    row = tx.execute(
        "SELECT user_code, expires_at FROM consent_request WHERE request_id = %s AND recipient = %s",
        (request_id, organisation),
    ).fetchone()
    if row is None:
        raise RequestRefused("request-unknown")
    return Offered(request_id, *row)


def seen_by_lender(
    tx: Transaction, request_id: UUID, organisation: str, *, now: datetime
) -> tuple[Seen, str | None, datetime] | None:
    """Say what a lender may see of its request: state, consent id, end; None if it has none of this id."""
    row = tx.execute(
        "SELECT state, told, consent_id, expires_at FROM consent_request WHERE request_id = %s AND recipient = %s",
        (request_id, organisation),
    ).fetchone()
    if row is None:
        return None
    state, told, consent_id, expires = row
    if state == State.AGREED:
        return Seen.AGREED, consent_id, expires
    if state == State.REFUSED and told:
        return Seen.REFUSED, None, expires
    return (Seen.PENDING if now < expires else Seen.EXPIRED), None, expires


# ---- the person's side ----------------------------------------------------------------------------------------------


def of_subject(tx: Transaction, subject_id: UUID, language: str, operator: Party, *, now: datetime) -> list[Asked]:
    """Give a person's open requests, the latest first; one whose terms no consent may have any more is left out."""
    rows = tx.execute(_OPEN + " ORDER BY r.created_at DESC", (subject_id, now, ACTIVE)).fetchall()
    found = []
    for request_id, recipient, terms, message, user_code, created, expires, _, _ in rows:
        shown = _shown(terms, recipient, language, now)
        if shown is not None:
            told = asking.told(tx, shown, operator)
            found.append(Asked(request_id, message, user_code, created, expires, told))
    seen = [one.request_id for one in found]
    tx.execute("UPDATE consent_request SET language = %s WHERE request_id = ANY(%s)", (language, seen))  # for figures
    return found


def agree(home: Home, subject_id: UUID, request_id: UUID, given: Given, *, phone: str, now: datetime) -> Consent:
    """Agree to a request, on the text that was shown, with the acts that were done.

    Args:
        home: the installation.
        subject_id: whose phone it is (`binding.subject_of`).
        request_id: which request.
        given: text and acts.
        phone: the phone's client id; its key signed the call.
        now: this instant.

    Raises:
        RequestRefused: `request-unknown`: no such open request of this person; `text-changed`; `nothing-agreed`;
            `phone-on-trial`: who asks handed out the phone's code.
        TokenRefused: the phone was ended meanwhile.
        TermsRefused: what the ledger does not record.
    """
    with home.database.transaction() as tx:
        binding.hold_owner(tx, phone, subject_id)
        recipient, terms, sealed, client_id = _locked(tx, subject_id, request_id, now)
        if binding.on_trial(tx, phone, now=now) == recipient:
            raise RequestRefused("phone-on-trial")
        shown = _shown(terms, recipient, given.language, now)
        if shown is None or shown.text_version != given.text_version:
            raise RequestRefused("text-changed")
        if not asking.left_of(shown, acknowledged=given.acknowledged, sensitive=given.sensitive):
            raise RequestRefused("nothing-agreed")
        act = Act(
            channel=Channel.APP,
            presence="key of the phone bound in person (DPoP)",
            reference=str(request_id),
            client_id=client_id,
            acknowledged=given.acknowledged,
            sensitive=given.sensitive,
            device=phone,
        )
        agreement = asking.agreed(asking.told(tx, shown, home.installation.party), act, subject_id, now=now)
        who = sealing.identifier(home, subject_id, request_id.bytes, sealed)
        made = consents.grant_in(tx, home, who, agreement.new, actor=phone, now=now)
        evidence.keep(tx, made.consent_id, agreement.document, now=now)
        tx.execute(
            "UPDATE consent_request SET state = %s, consent_id = %s, text_version = %s, language = %s, channel = %s,"
            " sealed = NULL, settled_at = %s WHERE request_id = %s",
            (
                State.AGREED.value,
                made.consent_id,
                given.text_version,
                given.language,
                Channel.APP.value,
                now,
                request_id,
            ),
        )
        return made


def refuse(home: Home, subject_id: UUID, request_id: UUID, *, tell_lender: bool, phone: str, now: datetime) -> None:
    """Say no to a request. The lender learns it only if the person wants that.

    Raises:
        RequestRefused: `request-unknown`: no such open request of this person.
        TokenRefused: the phone was ended meanwhile.
    """
    with home.database.transaction() as tx:
        binding.hold_owner(tx, phone, subject_id)
        recipient, terms, _, _ = _locked(tx, subject_id, request_id, now)
        consents.refuse_in(
            tx,
            subject_id,
            recipient,
            str(terms["purpose"]),
            channel=Channel.APP,
            actor=phone,
            now=now,
            request_id=str(request_id),
        )
        tx.execute(
            "UPDATE consent_request SET state = %s, told = %s, channel = %s, sealed = NULL, settled_at = %s"
            " WHERE request_id = %s",
            (State.REFUSED.value, tell_lender, Channel.APP.value, now, request_id),
        )


def expire(tx: Transaction, *, now: datetime) -> int:
    """End requests whose time is over, and destroy what was kept of the person; forget them after a while (a job)."""
    ended = tx.execute(
        "UPDATE consent_request SET state = %s, sealed = NULL, settled_at = %s WHERE state = %s AND expires_at <= %s",
        (State.EXPIRED.value, now, State.OFFERED.value, now),
    ).rowcount
    cooling = {code: purpose.cool_down_days for code, purpose in purposes.current().by_code.items()}
    tx.execute(  # one that the lender was told of counts against it for so long (consents._lender_knows)
        "DELETE FROM consent_request WHERE expires_at < %s AND state <> %s AND NOT (state = %s AND told"
        " AND settled_at > %s - make_interval(days => (%s ->> (terms->>'purpose'))::int))",
        (now - KEPT_AFTER_END, State.AGREED, State.REFUSED, now, Jsonb(cooling)),
    )
    return ended


# ---- inside ---------------------------------------------------------------------------------------------------------


def _refuse_flood(tx: Transaction, organisation: str, now: datetime) -> None:
    """Refuse another request of whoever has too many that it sees as pending (`Seen`).

    One that was refused in silence counts on until its end: a place that became free would tell of the "no".
    """
    place = sha256(b"consent-requests\x00" + organisation.encode())[:8]
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(place, "big", signed=True),))  # many at once
    row = tx.execute(
        "SELECT count(*), min(expires_at) FROM consent_request WHERE recipient = %s AND expires_at > %s"
        " AND state <> %s AND NOT (state = %s AND told)",
        (organisation, now, State.AGREED.value, State.REFUSED.value),
    ).fetchone()
    if row is not None and row[0] >= MOST_PENDING:
        raise RequestRefused("requests-too-many", retry_after_seconds=math.ceil((row[1] - now).total_seconds()))


def _may_be_shown(  # what is asked of everybody
    tx: Transaction,
    who: Identifier,
    born: date | None,
    subject_id: UUID,
    organisation: str,
    purpose: str,
    now: datetime,
) -> bool:
    """Ask everything, whatever the first answer was: the steps are the same for everybody.

    `born` is the day of birth by the identifier that is current, where one is kept.
    """
    grown = purposes.current().by_code[purpose].guardian_until_age
    of_age = isinstance(who, ResidentId) and years_between(born or who.birth, beijing_day(now)) >= grown
    reachable = binding.has_phone(tx, subject_id)
    cooling = refusals.refused_until(tx, subject_id, organisation, purpose, now) is not None
    asked = tx.execute(
        "SELECT FROM consent_request WHERE subject_id = %s AND recipient = %s AND state = 'offered'"
        " AND expires_at > %s AND terms->>'purpose' = %s LIMIT 1",
        (subject_id, organisation, now, purpose),
    ).fetchone()
    return of_age and reachable and not cooling and asked is None


def _nobody(home: Home) -> UUID:
    """Give the owner of a key that seals what is thrown away: whoever is not shown a request costs the same work."""
    return UUID(bytes=hmac_sha256(home.keyring.symmetric(Purpose.MAC).secret, b"consent-request|nobody")[:16])


def _locked(
    tx: Transaction, subject_id: UUID, request_id: UUID, now: datetime
) -> tuple[str, Mapping[str, Any], bytes, str]:
    row = tx.execute(_OPEN + " AND r.request_id = %s FOR UPDATE OF r", (subject_id, now, ACTIVE, request_id)).fetchone()
    if row is None:
        raise RequestRefused("request-unknown")
    return row[1], row[2], bytes(row[7]), row[8]


def _shown(terms: Mapping[str, Any], recipient: str, language: str, now: datetime) -> Shown | None:
    try:
        return asking.shown(CreditData.model_validate(terms), recipient=recipient, language=language, now=now)
    except TermsRefused:
        return None
