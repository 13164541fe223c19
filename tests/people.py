"""A person with a consent and two records, put into an installation without any file; and a caller at the gate."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID, uuid4

from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import Consent, NewConsent, SubjectType
from consent.scope import Mode
from exchange import consents
from exchange.home import Home
from exchange.oauth.guard import Caller
from exchange.release import Ask
from registry import clock, log, store
from registry.basis import Basis, BasisKind
from registry.canonical import canonical
from registry.catalogue import current
from registry.identifiers import CreditCode, Identifier, ResidentId
from registry.records import NewRecord, Payload, Provenance
from registry.suites import sha256

ZHANG = ResidentId.parse("630222199901010001")
LI = ResidentId.parse("63272119850302000X")
NOBODY = ResidentId.parse("630203197606150003")
VILLAGE = CreditCode.parse("N2630203000000019A")
BANK = "沙箱农商银行"
EVERYTHING = ("SUBSIDY", "RATING")
_KINDS = {SubjectType.ORGANISATION: EvidenceKind.RESOLUTION}

SUBSIDY: Payload = {
    "project": "草原生态保护补助奖励",
    "grant_year": 2026,
    "period": "1",
    "amount_due": 120_050,
    "amount_paid": 120_050,
    "paid_on": "2026-05-08",
    "bank_account": "6239990000000000018",
}
RATING: Payload = {"grade": "AA", "score": "86.5", "eval_date": "2026-03-01", "valid_to": None}


def caller(organisation: str = BANK, client_id: str = "bank") -> Caller:
    """A lender's system that has been admitted."""
    return Caller(
        client_id,
        organisation,
        "lender",
        frozenset({"queries"}),
        "jti",
        b"",
        clock.now(),
        clock.now() + timedelta(hours=1),
    )


def capture(kind: EvidenceKind = EvidenceKind.PAPER_SCAN) -> Capture:
    return Capture(
        channel=Channel.VILLAGE,
        text_version="2026-01",
        text_language=Language.TIBETAN,
        evidence=Evidence(kind, sha256(uuid4().bytes), redacted=True),  # a paper of its own for each consent
    )


def consented(  # one argument a term
    home: Home,
    who: Identifier = ZHANG,
    *,
    subject_type: SubjectType = SubjectType.PERSON,
    recipient: str = BANK,
    items: Sequence[str] = EVERYTHING,
    max_uses: int = 5,
    days: int = 30,
    began: timedelta = timedelta(days=1),
    mode: Mode = Mode.SUMMARY,
    history_months: int | None = None,
    w_acknowledged: bool = True,
    sensitive_agreed: bool = True,
    by_register: bool = False,
    uses_per_month: int | None = None,
) -> Consent:
    """Record a consent that is in force."""
    start = clock.now() - began
    new = NewConsent(
        subject_id=UUID(int=0),
        subject_type=subject_type,
        recipient=recipient,
        purpose="LOAN_APPROVAL",
        items=items,
        valid_from=start,
        valid_until=start + timedelta(days=days),
        capture=capture(_KINDS.get(subject_type, EvidenceKind.PAPER_SCAN)),
        w_acknowledged=w_acknowledged,
        sensitive_agreed=sensitive_agreed,
        max_uses=max_uses,
        uses_per_month=max_uses if uses_per_month is None else uses_per_month,  # unless a test is about months
        mode=mode,
        history_months=history_months,
        register_no=str(uuid4()) if by_register else None,  # an office's paper names what it names
    )
    return consents.grant(home, who, new, actor="test")


def held(home: Home, who: Identifier = ZHANG, payloads: Sequence[tuple[str, Payload]] | None = None) -> UUID:
    """Publish records of a person; give the subject's id."""
    now = clock.now()
    provenance = Provenance(
        uuid4(), "test-agency", "民和县农业农村局", "SUBSIDY", current().version, b"\x01" * 32, date(2026, 6, 15)
    )
    with home.database.transaction() as tx:
        subject_id = store.ensure_subjects(tx, home.keyring, [who], now=now)[who.text]
        store.open_publication(tx, uuid4(), provenance, raw_sm3=b"\x02" * 32, now=now)
        records = [
            NewRecord(
                subject_id, kind, payload, 7 + place, Basis(BasisKind.CONSENT, "test"), "B", "2026",
                valid_from=now.date() - timedelta(days=30),
            )
            for place, (kind, payload) in enumerate(payloads or [("SUBSIDY", SUBSIDY), ("RATING", RATING)])
        ]  # fmt: skip
        store.stage(tx, home.sealing, provenance, records, now=now)
        store.publish(tx, provenance, now=now)
    return subject_id


def question(who: ResidentId = ZHANG, **changes: object) -> Ask:
    """A question as the door would put it to the gate."""
    body = canonical({"subject": who.text, **{name: str(value) for name, value in changes.items()}})
    asked = {
        "presented": caller(),
        "identifier": who,
        "purpose": "LOAN_APPROVAL",
        "mode": Mode.SUMMARY,
        "items": None,
        "body": body,
        "business_no": "LA-1",
    }
    return Ask(**asked | changes)  # type: ignore[arg-type]  # a test's way to change one part


def sequenced(home: Home) -> None:
    """Let the log number and sign what waits."""
    log.sequence_all(home.database, home.keyring.log_signers(), home.keyring.origin, now=clock.now())
