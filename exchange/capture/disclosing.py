"""Evidence of one consent, opened for a regulator who states a case: read, unsealed, logged, shown to the person.

Steps (the numbers are used in the code and the tests):
  1. the case is a number of the reader's own and names nobody
  2. open one transaction; find the consent
  3. read what is kept of it: documents of pages and phones, records of devices, redacted scans; unseal what is sealed
  4. write the opening to the log, with case and reader: it is an access, which the person sees like any other
  5. commit; only then hand the evidence out

What is sealed holds the identifiers that were handed in with it; documents name nobody. Where the evidence lies with
whoever collected it, nothing is kept here, and that is said: its SHA-256 stands in the consent. A piece `agrees` if its
bytes have the hash that the signed receipt names (documents and paper), or the link that the device signed (records).
A consent that was made smaller rests on the act by which the larger one was given: what is kept of that, under
whichever of their ids, is its evidence too.
No lender is served here: its own papers it has at `/v1/paper-consents`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from consent import ledger, offline
from consent.evidence import EvidenceKind
from consent.record import Consent
from exchange.capture import sealing
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.naming import refuse_personal
from exchange.oauth.guard import Caller
from registry import log
from registry.canonical import JSON, b64
from registry.database import Transaction
from registry.errors import KeyMissing
from registry.suites import constant_time_equal, sha256

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that is kept. `content` are its bytes; `agrees` whether they are those that were committed to."""

    form: str  # document, device-record or scan; published
    media_type: str
    kept_at: datetime
    content: bytes
    agrees: bool

    def as_json(self) -> dict[str, Any]:
        """Write it: JSON as it is kept, letter by letter, else base64."""
        text = self.media_type == _JSON
        return {
            "form": self.form,
            "media_type": self.media_type,
            "kept_at": self.kept_at,
            "sha256": sha256(self.content).hex(),
            "encoding": "utf-8" if text else "base64",
            "content": self.content.decode() if text else b64(self.content),
            "agrees": self.agrees,
        }


@dataclass(frozen=True, slots=True)
class Opened:
    """The evidence of a consent, as far as it is kept here."""

    consent_id: str
    kind: EvidenceKind
    sha256: bytes | None
    pieces: tuple[Piece, ...]


def opened(home: Home, reader: Caller, consent_id: str, case: str, *, now: datetime) -> Opened:
    """Open the evidence of one consent.

    Raises:
        RequestRefused: `request-malformed`: the case holds an identifier; `consent-unknown`; `subject-erased`: what was
            sealed cannot be opened any more. That is logged too.
        SealBroken: what was sealed was changed or moved; stop, and call the duty officer.
    """
    refuse_personal(case)  # 1
    with home.database.transaction() as tx:  # 2, 5
        consent = ledger.get(tx, [consent_id]).get(consent_id)
        if consent is None:
            raise RequestRefused("consent-unknown")
        try:
            ids = _of_one_act(tx, consent)
            pieces: tuple[Piece, ...] | None = (*_documents(tx, ids), *_sealed(tx, home, consent, ids))  # 3
        except KeyMissing:
            pieces = None
        _note(tx, reader, consent, case, pieces, now)  # 4
    if pieces is None:
        raise RequestRefused("subject-erased")
    evidence = consent.terms.capture.evidence
    return Opened(consent_id, evidence.kind, evidence.sha256, pieces)


def _of_one_act(tx: Transaction, consent: Consent) -> list[str]:
    """Name a consent and those before it that rest on the same act: of the same holder, by the same evidence."""
    digest, ids, at = consent.terms.capture.evidence.sha256, [consent.consent_id], consent
    while digest is not None and at.terms.previous is not None:
        before = ledger.get(tx, [at.terms.previous]).get(at.terms.previous)
        if before is None or before.terms.holder != consent.terms.holder:
            break
        if before.terms.capture.evidence.sha256 != digest:
            break
        ids.append(before.consent_id)
        at = before
    return ids


def _documents(tx: Transaction, ids: list[str]) -> list[Piece]:
    rows = tx.execute(
        "SELECT sha256, document, created_at FROM capture_evidence WHERE consent_id = ANY(%s) ORDER BY created_at",
        (ids,),
    ).fetchall()
    return [
        Piece("document", _JSON, at, bytes(document), constant_time_equal(sha256(bytes(document)), bytes(digest)))
        for digest, document, at in rows
    ]


def _sealed(tx: Transaction, home: Home, consent: Consent, ids: list[str]) -> list[Piece]:
    owner = consent.terms.subject_id
    records = tx.execute(
        "SELECT device_id, counter, link, sealed, uploaded_at FROM offline_record"
        " WHERE consent_id = ANY(%s) AND sealed IS NOT NULL ORDER BY counter",
        (ids,),
    ).fetchall()
    scans = tx.execute(
        "SELECT paper_id, original_sha256, scan_sha256, scan, scan_type, decided_at FROM paper_consent"
        " WHERE consent_id = ANY(%s) AND scan IS NOT NULL",
        (ids,),
    ).fetchall()
    found = []
    for device_id, counter, link, sealed, at in records:
        whole = sealing.opened(home, owner, f"offline|{device_id}|{counter}".encode(), bytes(sealed))
        agrees = constant_time_equal(offline.link_of(orjson.loads(whole)["record"]), bytes(link))
        found.append(Piece("device-record", _JSON, at, whole, agrees))
    for paper_id, original, digest, scan, media_type, at in scans:
        image = sealing.opened(home, owner, b"scan|" + paper_id.bytes, bytes(scan))
        agrees = constant_time_equal(sha256(image), bytes(digest))
        agrees &= constant_time_equal(bytes(original), consent.terms.capture.evidence.sha256 or b"")
        found.append(Piece("scan", media_type, at, image, agrees))
    return found


def _note(
    tx: Transaction, reader: Caller, consent: Consent, case: str, pieces: tuple[Piece, ...] | None, now: datetime
) -> None:
    asked: dict[str, JSON] = {
        "lender": reader.org_code,  # who looked: a regulator, in the place where the asking organisation stands
        "purpose": None,
        "items": None,
        "reason": case,
    }
    told: dict[str, JSON] = {"access": asked, "pieces": None if pieces is None else len(pieces)}
    entry = log.Entry(
        event=Event.EVIDENCE_OPENED,
        at=now,
        actor=reader.client_id,
        fields=told,
        subject_id=consent.terms.subject_id,
        consent_id=consent.consent_id,
    )
    log.append(tx, [entry])
