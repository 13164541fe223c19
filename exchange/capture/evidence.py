"""What proves an agreement on a page or phone: a canonical document of what was shown and done, kept by its hash.

The document names the text by version and hash, every item, every limit, each act (a tick of its own where one is
needed), how presence was proven and when. It holds no name and no identifier; the subject is the random id. Its SHA-256
is the consent's evidence, stands in the signed receipt and is committed to by the log: it cannot be written afterwards.
"""

from datetime import datetime

from registry.canonical import JSON, canonical
from registry.database import Transaction
from registry.suites import sha256


def written(document: dict[str, JSON]) -> tuple[bytes, bytes]:
    """Write a document; give its bytes and their SHA-256."""
    text = canonical(document)
    return text, sha256(text)


def keep(tx: Transaction, consent_id: str, document: bytes, *, now: datetime) -> None:
    """Keep a document in the transaction of its consent."""
    tx.execute(
        "INSERT INTO capture_evidence (sha256, consent_id, document, created_at) VALUES (%s, %s, %s, %s)",
        (sha256(document), consent_id, document, now),
    )


def of_consent(tx: Transaction, consent_id: str) -> bytes | None:
    """Give the document that a consent rests on, not one that confirms it; None if it rests on something else."""
    row = tx.execute(
        "SELECT document FROM capture_evidence e JOIN consent c ON c.consent_id = e.consent_id"
        " AND c.evidence_sha256 = e.sha256 WHERE e.consent_id = %s",
        (consent_id,),
    ).fetchone()
    return None if row is None else bytes(row[0])
