"""Consents on paper, with four eyes (R-73, R-75): one enters, another looks at the paper and confirms or refuses.

  enter    hash of the original, its terms, and the word that fingerprints were blacked out before any copy was made
  scan     the redacted scan, if the organisation wants it here: an image or PDF, sealed under the person's key; only
           the system that entered the paper puts one
  confirm  by another person with another system's key: who has the paper in hand gives its hash once more, whose
           consent it is, who acted and who witnessed it, the digest of the terms that were looked at, and of the scan;
           then, and only then, there is a consent
  refuse   with a reason that says how to mend it
  expire   what nobody decides within two weeks ends; identifier and scan are destroyed (a job)

Until it is confirmed nothing rests on it: there is no consent; and what the second person has to read from the paper is
shown to nobody, so that it cannot be copied. The original stays with whoever collected it; whether a
print was really blacked out a person sees, not a program: the second person answers for it, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from psycopg.types.json import Jsonb

from consent import taking
from consent.errors import Fault, TermsRefused
from consent.evidence import Evidence, EvidenceKind
from consent.record import Consent
from exchange import consents
from exchange.capture import collectors, sealing, taken
from exchange.capture.events import Event
from exchange.capture.paper_models import ConfirmModel, PaperModel
from exchange.capture.paper_reasons import Reason
from exchange.credit_data import refuse_unsettled
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.clients import refuse_unreached
from exchange.oauth.guard import Caller
from registry import log, store
from registry.canonical import JSON, canonical
from registry.database import Transaction
from registry.errors import KeyMissing
from registry.suites import constant_time_equal, sha256, sha256_hex

MOST_SCAN_BYTES: Final = 2 << 20
_MAGIC: Final[Mapping[str, tuple[bytes, ...]]] = MappingProxyType(
    {
        "image/jpeg": (b"\xff\xd8\xff",),
        "image/png": (b"\x89PNG\r\n\x1a\n",),
        "application/pdf": (b"%PDF-",),
    }
)
_COLUMNS: Final = (
    "paper_id, organisation, client_id, subject_id, sealed, original_sha256, terms, state, entered_by, entered_at,"
    " open_until, decided_by, reason, consent_id, scan_sha256, scan IS NOT NULL, scan_type"
)


class State(StrEnum):
    """Where a paper stands. The values are published; never reuse one."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as its organisation sees it; whose it is, is not shown again."""

    paper_id: UUID
    state: State
    original_sha256: bytes
    terms: Mapping[str, Any]
    entered_by: str
    entered_client: str
    entered_at: datetime
    open_until: datetime
    decided_by: str | None
    reason: Reason | None
    consent_id: str | None
    scan_sha256: bytes | None
    scan_type: str | None
    subject_id: UUID
    sealed: bytes | None

    @property
    def terms_sha256(self) -> str:
        """The digest of the terms, which whoever confirms has looked at."""
        return sha256_hex(canonical(dict(self.terms)))


def enter(home: Home, caller: Caller, given: PaperModel, *, now: datetime) -> Paper:
    """Enter a paper.

    Raises:
        RequestRefused: `fingerprints-not-redacted`, `paper-too-old`, `paper-known`, `collector-unknown`,
            `witness-missing`, `witness-unfit`, `identifier-malformed`.
        TermsRefused: terms or a hash that no consent may have, or it is not known how the organisation is reached;
            REPRESENTATIVE_UNFIT. Whether somebody has died or was erased is not said here, but at `confirm`, last.
    """
    if not given.fingerprints_redacted:
        raise RequestRefused("fingerprints-not-redacted")
    given.refuse_date(now)
    evidence = Evidence.of(EvidenceKind.PAPER_SCAN, given.original_sha256)
    refuse_unsettled(given.terms, recipient=caller.org_code, now=now, subject_type=given.subject.kind)
    who, paper_id = given.subject.read(), uuid4()
    with home.database.transaction() as tx:
        refuse_unreached(tx, caller.org_code)
        collectors.require(tx, caller.org_code, given.collector, at=now)
        witness = taken.witness_of(tx, home, given, who, organisation=caller.org_code, now=now)
        original = evidence.sha256 or b""
        tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(original[:8], "big", signed=True),))
        standing = tx.execute(
            "SELECT FROM paper_consent WHERE organisation = %s AND original_sha256 = %s AND state = ANY(%s) LIMIT 1",
            (caller.org_code, original, [State.REQUESTED.value, State.CONFIRMED.value]),
        ).fetchone()
        if standing is not None:
            raise RequestRefused("paper-known")
        subject_id = store.ensure_subjects(tx, home.keyring, [who], now=now)[who.text]
        acted = given.representative
        people = {
            "type": given.subject.type,
            "identifier": who.text,
            "witness": witness,
            "representative": None if acted is None else acted.text,
        }
        sealed = sealing.keep_either(home, subject_id, paper_id, b"paper|" + paper_id.bytes, canonical(people), now=now)
        tx.execute(
            "INSERT INTO paper_consent (paper_id, organisation, client_id, subject_id, sealed, original_sha256, terms,"
            " state, entered_by, entered_at, open_until) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                paper_id,
                caller.org_code,
                caller.client_id,
                subject_id,
                sealed,
                original,
                Jsonb(given.without_people()),
                State.REQUESTED.value,
                given.collector,
                now,
                now + taking.bounds().paper_open,
            ),
        )
        _say(tx, Event.PAPER_ENTERED, paper_id, caller, given.collector, now)
        return _held(tx, paper_id, caller.org_code)


def see(tx: Transaction, paper_id: UUID, organisation: str) -> Paper:
    """Show a paper of an organisation.

    Raises:
        RequestRefused: `paper-unknown`.
    """
    return _held(tx, paper_id, organisation)


def listing(
    tx: Transaction, organisation: str, state: State, *, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Paper]:
    """List an organisation's papers in a state, the oldest first; those behind `after`, where a page ended."""
    entered_at, paper_id = after or (None, None)
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM paper_consent WHERE organisation = %s AND state = %s"  # noqa: S608
        " AND (%s::timestamptz IS NULL OR (entered_at, paper_id) > (%s::timestamptz, %s::uuid))"
        " ORDER BY entered_at, paper_id LIMIT %s",
        (organisation, state.value, entered_at, entered_at, paper_id, limit),
    )
    return [_paper(row) for row in rows]


def put_scan(home: Home, caller: Caller, paper_id: UUID, kind: str, content: bytes, *, now: datetime) -> Paper:
    """Keep the redacted scan, sealed; another takes its place until the paper is decided.

    Raises:
        RequestRefused: `paper-unknown`, `paper-settled`; `paper-anothers`: another system entered it;
            `scan-refused`: too large, or no image or PDF by its bytes.
    """
    if len(content) > MOST_SCAN_BYTES or not content.startswith(_MAGIC.get(kind, ())):
        raise RequestRefused("scan-refused")
    with home.database.transaction() as tx:
        paper = _open(tx, paper_id, caller, now)
        if caller.client_id != paper.entered_client:
            raise RequestRefused("paper-anothers")
        sealed = sealing.keep(home, _owner(home, paper), b"scan|" + paper_id.bytes, content, now=now)
        tx.execute(
            "UPDATE paper_consent SET scan = %s, scan_type = %s, scan_sha256 = %s WHERE paper_id = %s",
            (sealed, kind, sha256(content), paper_id),
        )
        return _held(tx, paper_id, caller.org_code)


def scan(home: Home, caller: Caller, paper_id: UUID) -> tuple[str, bytes]:
    """Give the scan back to the organisation that uploaded it: its type and bytes.

    Raises:
        RequestRefused: `paper-unknown`: no such paper, or no scan of it.
    """
    with home.database.transaction() as tx:
        paper = _held(tx, paper_id, caller.org_code)
        row = tx.execute("SELECT scan FROM paper_consent WHERE paper_id = %s", (paper_id,)).fetchone()
    if row is None or row[0] is None or paper.scan_type is None:
        raise RequestRefused("paper-unknown")
    return paper.scan_type, sealing.opened(home, _owner(home, paper), b"scan|" + paper_id.bytes, bytes(row[0]))


def confirm(home: Home, caller: Caller, paper_id: UUID, said: ConfirmModel, *, now: datetime) -> Consent:
    """Confirm a paper: from here on there is a consent.

    Raises:
        RequestRefused: `paper-unknown`, `paper-settled`, `four-eyes-needed`, `collector-unknown`,
            `identifier-malformed`; `paper-differs`: another original, person, witness or scan, or other terms than
            those that were entered.
        TermsRefused: what the ledger does not record.
    """
    with home.database.transaction() as tx:
        paper = _second(tx, paper_id, caller, said.collector, now)
        given, witness = _given(home, paper)
        if not constant_time_equal(_looked_at(said), _entered(paper, given, witness)):
            raise RequestRefused("paper-differs")
        new = taken.consent_of(
            given,
            Evidence(given.kind, paper.original_sha256, redacted=True),
            organisation=caller.org_code,
            channel=given.channel,
            captured_at=given.agreed_at,
            uploaded_at=paper.entered_at,
        )
        made = consents.grant_in(
            tx,
            home,
            given.subject.read(),
            new,
            actor=caller.client_id,
            now=now,
            beside=taken.beside(given, witness),
            asked_by=given.asked_by,
        )
        if paper.subject_id not in home.datakeys.standing([paper.subject_id]):  # last, as what else only we know
            raise TermsRefused(Fault.SUBJECT_UNAVAILABLE, "the key of this person has been erased")
        _decide(tx, paper, State.CONFIRMED, caller, said.collector, now, consent_id=made.consent_id)
        return made


def refuse(home: Home, caller: Caller, paper_id: UUID, *, collector: str, reason: Reason, now: datetime) -> Paper:
    """Refuse a paper, with a reason; identifier and scan are destroyed.

    Raises:
        RequestRefused: `paper-unknown`, `paper-settled`, `four-eyes-needed`, `collector-unknown`.
    """
    with home.database.transaction() as tx:
        paper = _second(tx, paper_id, caller, collector, now)
        _decide(tx, paper, State.REFUSED, caller, collector, now, reason=reason)
        return _held(tx, paper_id, caller.org_code)


def expire(tx: Transaction, *, now: datetime) -> int:
    """End papers that nobody decided in time, and destroy what was kept of the person (a job)."""
    rows = tx.execute(
        "UPDATE paper_consent SET state = %s, sealed = NULL, scan = NULL, scan_type = NULL, decided_at = %s"
        " WHERE state = %s AND open_until <= %s RETURNING paper_id, organisation",
        (State.EXPIRED.value, now, State.REQUESTED.value, now),
    ).fetchall()
    entries = [
        log.Entry(
            Event.PAPER_EXPIRED.value,
            at=now,
            actor="system",
            fields={"paper_id": str(paper_id), "organisation": organisation},
        )
        for paper_id, organisation in rows
    ]
    if entries:
        log.append(tx, entries)
    return len(rows)


# ---- inside ---------------------------------------------------------------------------------------------------------


def _given(home: Home, paper: Paper) -> tuple[PaperModel, str | None]:
    if paper.sealed is None:
        raise RequestRefused("paper-settled")
    place = b"paper|" + paper.paper_id.bytes
    try:
        people = orjson.loads(sealing.opened(home, _owner(home, paper), place, paper.sealed))
    except KeyMissing as erased:  # since it was entered
        raise TermsRefused(Fault.SUBJECT_UNAVAILABLE, "the key of this person has been erased") from erased
    stated = {
        **paper.terms,
        "subject": {"type": people.get("type", "resident_id"), "identifier": people["identifier"]},
        "original_sha256": paper.original_sha256.hex(),
    }
    if people.get("representative") is not None:
        who = {"type": "resident_id", "identifier": people["representative"]}
        stated["representation"] = {**paper.terms["representation"], "representative": who}
    return PaperModel.model_validate(stated), people["witness"]


def _owner(home: Home, paper: Paper) -> UUID:
    return sealing.either(home, paper.subject_id, paper.paper_id)


def _looked_at(said: ConfirmModel) -> bytes:
    """Write what the second person says that the paper holds, as one digest."""
    return _digest(
        said.subject.read().text,
        None if said.representative is None else said.representative.read().text,
        None if said.witness is None else said.witness.read().text,
        said.original_sha256.lower(),
        said.terms_sha256.lower(),
        None if said.scan_sha256 is None else said.scan_sha256.lower(),
    )


def _entered(paper: Paper, given: PaperModel, witness: str | None) -> bytes:
    """Write what the first person entered, likewise."""
    scan_sha256 = None if paper.scan_sha256 is None else paper.scan_sha256.hex()
    acted = None if given.representative is None else given.representative.text
    return _digest(given.subject.read().text, acted, witness, given.original_sha256, paper.terms_sha256, scan_sha256)


def _digest(*parts: str | None) -> bytes:
    return sha256(canonical(list(parts)))


def _open(tx: Transaction, paper_id: UUID, caller: Caller, now: datetime) -> Paper:
    paper = _held(tx, paper_id, caller.org_code, lock=" FOR UPDATE")
    if paper.state is not State.REQUESTED or paper.open_until <= now:
        raise RequestRefused("paper-settled")
    return paper


def _second(tx: Transaction, paper_id: UUID, caller: Caller, collector: str, now: datetime) -> Paper:
    paper = _open(tx, paper_id, caller, now)
    collectors.require(tx, caller.org_code, collector, at=now)
    same = collectors.same_person(tx, caller.org_code, collector, paper.entered_by)
    if caller.client_id == paper.entered_client or same:
        raise RequestRefused("four-eyes-needed")
    return paper


def _decide(  # what is written of a decision
    tx: Transaction,
    paper: Paper,
    state: State,
    caller: Caller,
    collector: str,
    now: datetime,
    *,
    consent_id: str | None = None,
    reason: Reason | None = None,
) -> None:
    kept = state is State.CONFIRMED
    tx.execute(
        "UPDATE paper_consent SET state = %s, decided_client = %s, decided_by = %s, decided_at = %s, consent_id = %s,"
        " reason = %s, sealed = NULL, scan = CASE WHEN %s THEN scan END, scan_type = CASE WHEN %s THEN scan_type END"
        " WHERE paper_id = %s",
        (
            state.value,
            caller.client_id,
            collector,
            now,
            consent_id,
            None if reason is None else reason.value,
            kept,
            kept,
            paper.paper_id,
        ),
    )
    event = Event.PAPER_CONFIRMED if state is State.CONFIRMED else Event.PAPER_REFUSED
    _say(tx, event, paper.paper_id, caller, collector, now)


def _held(tx: Transaction, paper_id: UUID, organisation: str, *, lock: str = "") -> Paper:
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM paper_consent WHERE paper_id = %s AND organisation = %s{lock}",  # noqa: S608
        (paper_id, organisation),
    ).fetchone()
    if row is None:
        raise RequestRefused("paper-unknown")
    return _paper(row)


def _paper(row: Sequence[Any]) -> Paper:
    paper_id, _, client, subject_id, sealed, original, terms, state, by, at, until, decided, reason, consent, *scan = (
        row
    )
    return Paper(
        paper_id=paper_id,
        state=State(state),
        original_sha256=bytes(original),
        terms=terms,
        entered_by=by,
        entered_client=client,
        entered_at=at,
        open_until=until,
        decided_by=decided,
        reason=None if reason is None else Reason(reason),
        consent_id=consent,
        scan_sha256=None if scan[0] is None else bytes(scan[0]),
        scan_type=scan[2] if scan[1] else None,
        subject_id=subject_id,
        sealed=None if sealed is None else bytes(sealed),
    )


def _say(tx: Transaction, event: Event, paper_id: UUID, caller: Caller, collector: str, now: datetime) -> None:
    fields: dict[str, JSON] = {"paper_id": str(paper_id), "organisation": caller.org_code, "collector": collector}
    log.append(tx, [log.Entry(event.value, at=now, actor=caller.client_id, fields=fields)])
