"""Who a subject is, changed by the operator on an office's document: another identifier, a death.

A person who gets a new number keeps consents, records and history (registry.identities). A death ends what stands of a
person's consents, in the same transaction: from that commit on nothing is released on them. A household that splits
changes nothing here: consents and records are persons', never a household's (docs/consent.md).
"""

from uuid import UUID

from exchange import binding, consents
from exchange.home import Home
from registry import clock, identities
from registry.identifiers import Identifier


def renumber(home: Home, old: Identifier, new: Identifier, *, document_sha256: bytes, actor: str) -> UUID:
    """Let a subject go by another identifier.

    Raises:
        SubjectUnknown: nobody is known by the old one.
        IdentifierTaken: somebody else goes by the new one, or it is of another kind.
    """
    with home.database.transaction() as tx:
        return identities.renumber(
            tx, home.sealing, old, new, document_sha256=document_sha256, now=clock.now(), actor=actor
        )


def note_death(home: Home, who: Identifier, *, document_sha256: bytes, actor: str) -> int:
    """Note that a person has died; end the person's phones and what stands of the consents; say how many of these.

    Raises:
        SubjectUnknown: nobody is known by this identifier.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        subject_id = identities.note_death(tx, home.sealing, who, document_sha256=document_sha256, now=now, actor=actor)
        binding.end_all(tx, subject_id, by=actor, now=now)
        return len(consents.end_of_the_dead(tx, subject_id, actor=actor, now=now))
