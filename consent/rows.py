"""The ledger's SQL: a consent as a row, and the few statements that read and write it. Private to `consent.ledger`.

Every statement takes the caller's transaction and many consents at once; nothing is kept between two calls.
Rows are always locked in the order of consent_id, which is the order the gate locks them in.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from consent.evidence import AskedBy, Capture, Channel, Confirmation, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.record import Consent, SubjectType, Terms
from consent.representation import Representation
from consent.scope import Mode, Scope
from consent.tables import Consent as ConsentRow
from registry.database import Transaction

COLUMNS: Final = tuple(ConsentRow.__table__.columns.keys())  # type: ignore[attr-defined]  # SQLModel adds it to tables
_NAMES: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
SELECT: Final = sql.SQL("SELECT {} FROM consent ").format(_NAMES)
_COPY: Final = sql.SQL("COPY consent ({}) FROM STDIN").format(_NAMES)
_REWRITE: Final = sql.SQL("UPDATE consent SET ({}) = ROW ({}) WHERE consent_id = %s").format(
    _NAMES, sql.SQL(", ").join(sql.Placeholder() * len(COLUMNS))
)


def values(consent: Consent) -> list[Any]:
    """Give a consent's values in the order of COLUMNS."""
    terms, scope, capture = consent.terms, consent.terms.scope, consent.terms.capture
    named = {
        "consent_id": consent.consent_id,
        "register_no": terms.register_no,
        "subject_id": terms.subject_id,
        "subject_type": terms.subject_type.value,
        "recipient": scope.recipient,
        "purpose": scope.purpose,
        "purpose_version": terms.purpose_version,
        "items": sorted(scope.items),
        "catalogue_version": terms.catalogue_version,
        "history_months": scope.history_months,
        "valid_from": scope.valid_from,
        "valid_until": scope.valid_until,
        "max_uses": scope.max_uses,
        "uses": consent.uses,
        "mode": scope.mode.value,
        "w_acknowledged": scope.w_acknowledged,
        "sensitive_agreed": scope.sensitive_agreed,
        "uses_per_month": scope.uses_per_month,
        "month": consent.month,
        "month_uses": consent.month_uses,
        "reconfirm_by": consent.reconfirm_by,
        "data_life_days": terms.data_life_days,
        "representation": None if terms.representation is None else Jsonb(terms.representation.as_json()),
        "text_version": capture.text_version,
        "text_language": capture.text_language.value,
        "channel": capture.channel.value,
        "place": capture.place,
        "evidence_kind": capture.evidence.kind.value,
        "evidence_sha256": capture.evidence.sha256,
        "evidence_sm3": capture.evidence.sm3,
        "evidence_redacted": capture.evidence.redacted,
        "witness": capture.witness,
        "collector": capture.collector,
        "device": capture.device,
        "asked_by": None if capture.asked_by is None else capture.asked_by.value,
        "captured_at": terms.captured_at,
        "uploaded_at": terms.uploaded_at,
        "request_id": terms.request_id,
        "state": consent.state.value,
        "state_at": consent.state_at,
        "paused_at": consent.paused_at,
        "withdraw_channel": consent.withdraw_channel,
        "previous": terms.previous,
        "receipt": consent.receipt,
        "receipt_sm2": consent.receipt_sm2,
        "receipt_entry": consent.receipt_entry,
        "created_at": consent.created_at,
    }
    return [named[name] for name in COLUMNS]


def consent_of(row: Sequence[Any]) -> Consent:
    """Read a row in the order of COLUMNS."""
    named = dict(zip(COLUMNS, row, strict=True))
    scope = Scope(
        recipient=named["recipient"],
        purpose=named["purpose"],
        items=frozenset(named["items"]),
        history_months=named["history_months"],
        valid_from=named["valid_from"],
        valid_until=named["valid_until"],
        max_uses=named["max_uses"],
        mode=Mode(named["mode"]),
        w_acknowledged=named["w_acknowledged"],
        sensitive_agreed=named["sensitive_agreed"],
        uses_per_month=named["uses_per_month"],
    )
    capture = Capture(
        channel=Channel(named["channel"]),
        text_version=named["text_version"],
        text_language=Language(named["text_language"]),
        evidence=Evidence(
            EvidenceKind(named["evidence_kind"]),
            named["evidence_sha256"],
            named["evidence_sm3"],
            named["evidence_redacted"],
        ),
        witness=named["witness"],
        collector=named["collector"],
        device=named["device"],
        place=named["place"],
        asked_by=None if named["asked_by"] is None else AskedBy(named["asked_by"]),
    )
    acted = named["representation"]
    terms = Terms(
        register_no=named["register_no"],
        subject_id=named["subject_id"],
        subject_type=SubjectType(named["subject_type"]),
        scope=scope,
        purpose_version=named["purpose_version"],
        catalogue_version=named["catalogue_version"],
        capture=capture,
        previous=named["previous"],
        data_life_days=named["data_life_days"],
        representation=None if acted is None else Representation.of_json(acted),
        captured_at=named["captured_at"],
        uploaded_at=named["uploaded_at"],
        request_id=named["request_id"],
    )
    return Consent(
        consent_id=named["consent_id"],
        terms=terms,
        state=State(named["state"]),
        state_at=named["state_at"],
        uses=named["uses"],
        withdraw_channel=named["withdraw_channel"],
        receipt=named["receipt"],
        receipt_entry=named["receipt_entry"],
        created_at=named["created_at"],
        receipt_sm2=named["receipt_sm2"],
        month=named["month"],
        month_uses=named["month_uses"],
        reconfirm_by=named["reconfirm_by"],
        paused_at=named["paused_at"],
    )


def insert(tx: Transaction, consents: Iterable[Consent]) -> None:
    """Write new rows in one COPY."""
    with tx.cursor() as cursor, cursor.copy(_COPY) as copy:
        for consent in consents:
            copy.write_row(values(consent))


def rewrite(tx: Transaction, consents: Collection[Consent]) -> None:
    """Write whole rows anew; only requests, which nobody has agreed to, are rewritten."""
    with tx.cursor() as cursor:
        cursor.executemany(_REWRITE, [[*values(consent), consent.consent_id] for consent in consents])


def move(
    tx: Transaction, consent_ids: Collection[str], state: State, *, at: datetime, withdraw_channel: str | None
) -> None:
    """Give consents, locked by the caller, another state."""
    tx.execute(
        "UPDATE consent SET state = %s, state_at = %s, withdraw_channel = %s,"
        " paused_at = CASE %s WHEN 'paused' THEN %s WHEN 'active' THEN NULL ELSE paused_at END"
        " WHERE consent_id = ANY(%s)",
        (state.value, at, withdraw_channel, state.value, at, list(consent_ids)),
    )


_SUCCESSORS: Final = (
    "WITH RECURSIVE chain (consent_id, place) AS ("
    " SELECT consent_id, 0 FROM consent WHERE consent_id = %s"
    " UNION ALL SELECT c.consent_id, chain.place + 1 FROM chain JOIN consent c ON c.previous = chain.consent_id"
    ") SELECT consent_id FROM chain ORDER BY place"
)


def successors(tx: Transaction, consent_id: str) -> list[str]:
    """Name a consent and those that took its place, one after the other; none if there is no such consent."""
    return [row[0] for row in tx.execute(_SUCCESSORS, (consent_id,))]


def confirm(tx: Transaction, consent: Consent, said: Confirmation, *, now: datetime) -> None:
    """Write a confirmation of a consent, locked by the caller, and until when the consent is confirmed by it."""
    tx.execute("UPDATE consent SET reconfirm_by = %s WHERE consent_id = %s", (consent.reconfirm_by, consent.consent_id))
    tx.execute(
        "INSERT INTO consent_confirmation (confirmation_id, consent_id, recipient, channel, evidence_kind,"
        " evidence_sha256, collector, device, captured_at, confirmed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            uuid4(),
            consent.consent_id,
            consent.terms.scope.recipient,
            said.channel.value,
            said.evidence.kind.value,
            said.evidence.sha256,
            said.collector,
            said.device,
            said.captured_at,
            now,
        ),
    )


def locked(tx: Transaction, consent_ids: Collection[str]) -> list[Consent]:
    """Read and lock consents by id."""
    query = SELECT + sql.SQL("WHERE consent_id = ANY(%s) ORDER BY consent_id FOR UPDATE")
    return [consent_of(row) for row in tx.execute(query, (list(consent_ids),))]


def locked_by_number(tx: Transaction, numbers: Collection[str]) -> dict[str, Consent]:
    """Read and lock consents by their register number."""
    query = SELECT + sql.SQL("WHERE register_no = ANY(%s) ORDER BY consent_id FOR UPDATE")
    found = (consent_of(row) for row in tx.execute(query, (list(numbers),)))
    return {consent.terms.register_no: consent for consent in found if consent.terms.register_no is not None}


def owners_by_number(tx: Transaction, numbers: Collection[str]) -> dict[str, UUID]:
    """Tell whose consents stand under these register numbers, without locking."""
    query = "SELECT register_no, subject_id FROM consent WHERE register_no = ANY(%s)"
    return dict(tx.execute(query, (list(numbers),)).fetchall())


def of_subject(tx: Transaction, subject_id: UUID) -> list[Consent]:
    """Read a subject's consents, the latest first."""
    query = SELECT + sql.SQL("WHERE subject_id = %s ORDER BY created_at DESC, consent_id")
    return [consent_of(row) for row in tx.execute(query, (subject_id,))]
