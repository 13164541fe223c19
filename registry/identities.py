"""What happens to who somebody is: an identifier that changes, and a death. Each with its entry in the log.

A subject is a random id; identifiers only lead to it (`subjects`). So whoever gets a new number keeps records, consents
and history, and files that were written under the old number still find the same person. No number stands in the log.

  renumber        from now on the subject goes by another identifier; sources are asked about that one
  note_death      it became known that a person has died

Not here: two subjects that turn out to be one; what a death ends (`exchange.subjects`).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from registry import identifying, log, subjects
from registry.database import Transaction
from registry.errors import IdentifierTaken, SubjectUnknown
from registry.identifiers import Identifier
from registry.store import Sealing

RENUMBERED: Final = "registry:subject:renumbered"  # docs/events.md
DECEASED: Final = "registry:subject:deceased"


def renumber(  # the parts of a change
    tx: Transaction,
    sealing: Sealing,
    old: Identifier,
    new: Identifier,
    *,
    document_sha256: bytes,
    now: datetime,
    actor: str,
) -> UUID:
    """Let a subject go by another identifier of the same kind; it keeps all that is its own.

    Args:
        tx: the caller's transaction.
        sealing: keys and suite of the store.
        old: an identifier that the subject is known by.
        new: the one that it goes by from now on.
        document_sha256: of what proves the change (an office's certificate), 32 bytes.
        now: the moment of the change.
        actor: who carries it out.

    Raises:
        SubjectUnknown: nobody is known by the old identifier.
        IdentifierTaken: the new one is of another kind, or somebody else is known by it.
    """
    subject_id = _held(tx, sealing, old)
    if old.kind is not new.kind or not subjects.known_as(tx, sealing.keyring, subject_id, new, now=now):
        raise IdentifierTaken("the new identifier is of another kind, or somebody else goes by it")
    identifying.replace(tx, sealing, subject_id, new, now=now)
    _note(tx, RENUMBERED, subject_id, document_sha256, now, actor)
    return subject_id


def note_death(
    tx: Transaction, sealing: Sealing, who: Identifier, *, document_sha256: bytes, now: datetime, actor: str
) -> UUID:
    """Note that a person has died; noting it twice changes nothing.

    Raises:
        SubjectUnknown: nobody is known by this identifier.
    """
    subject_id = _held(tx, sealing, who)
    if subjects.mark_deceased(tx, subject_id, now=now):
        _note(tx, DECEASED, subject_id, document_sha256, now, actor)
    return subject_id


def _held(tx: Transaction, sealing: Sealing, who: Identifier) -> UUID:
    found = subjects.lookup(tx, sealing.keyring, [who])
    if not found:
        raise SubjectUnknown("nobody is known by this identifier")
    subjects.hold_subjects(tx, [found[who.text]])
    return found[who.text]


def _note(  # the parts of an entry
    tx: Transaction, event: str, subject_id: UUID, document_sha256: bytes, now: datetime, actor: str
) -> None:
    fields = {"document_sha256": document_sha256.hex()}
    log.append(tx, [log.Entry(event, at=now, actor=actor, fields=fields, subject_id=subject_id)])
