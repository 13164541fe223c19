"""The identifiers of people who have consented, sealed, so that a source can be asked about them and nobody else.

The registry finds subjects by keyed hash and cannot tell who they are. An agency's system, asked for "these people
only", must be told who. So the identifier of whoever consents is kept once, sealed under the subject's own data key
and bound to the subject's id: without the key store the table says nothing, and erasing the key erases it.

Of an identifier that is kept, `births` tells the day of birth and nothing else: ages follow the number that is current,
whichever number somebody shows (`identities.renumber`).

Not here: opening (`disclosure`), and who may be told to whom (`exchange.release.collecting`).
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from uuid import UUID

from registry.database import Transaction
from registry.identifiers import Identifier, ResidentId, SubjectKind
from registry.store import Sealing
from registry.suites import seal, unseal


def remember(tx: Transaction, sealing: Sealing, subjects: Mapping[UUID, Identifier], *, now: datetime) -> int:
    """Seal and keep identifiers that are not kept yet; say how many were new.

    A subject whose data key has been erased is left out: what was erased is not made again under its id.
    """
    known = {
        row[0]
        for row in tx.execute("SELECT subject_id FROM subject_identifier WHERE subject_id = ANY(%s)", (list(subjects),))
    }
    new = [subject_id for subject_id in subjects if subject_id not in known]
    if not new:
        return 0
    keys = sealing.keys.ensure_standing(new, now=now)
    rows = [
        (subject_id, seal(sealing.suite, key, written(subjects[subject_id]), binding(subject_id)))
        for subject_id, key in sorted(keys.items())
    ]
    if not rows:
        return 0
    return tx.execute(
        "INSERT INTO subject_identifier (subject_id, sealed, since)"
        " SELECT s, b, %s FROM unnest(%s::uuid[], %s::bytea[]) AS n(s, b) ON CONFLICT (subject_id) DO NOTHING",
        (now, [row[0] for row in rows], [row[1] for row in rows]),
    ).rowcount


def replace(tx: Transaction, sealing: Sealing, subject_id: UUID, identifier: Identifier, *, now: datetime) -> None:
    """Keep a subject's identifier in the place of the one that is kept, if one is.

    Also where none is: the number of before still finds the subject, and nobody could tell that it is not current.
    """
    keys = sealing.keys.ensure_standing([subject_id], now=now)
    if subject_id in keys:
        sealed = seal(sealing.suite, keys[subject_id], written(identifier), binding(subject_id))
        tx.execute(
            "INSERT INTO subject_identifier (subject_id, sealed, since) VALUES (%s, %s, %s)"
            " ON CONFLICT (subject_id) DO UPDATE SET sealed = excluded.sealed, since = excluded.since",
            (subject_id, sealed, now),
        )


def sealed_of(tx: Transaction, subjects: Collection[UUID], kind: SubjectKind) -> dict[UUID, bytes]:
    """Read the sealed identifiers of subjects of one kind; those without one are absent."""
    rows = tx.execute(
        "SELECT i.subject_id, i.sealed FROM subject_identifier i JOIN subject s USING (subject_id)"
        " WHERE i.subject_id = ANY(%s) AND s.kind = %s ORDER BY i.subject_id",
        (list(subjects), kind.value),
    )
    return dict(rows.fetchall())


def births(tx: Transaction, sealing: Sealing, subjects: Collection[UUID]) -> dict[UUID, date]:
    """Tell people's days of birth, by the identifier that is current.

    Absent are those of whom none is kept, or whose data key has been erased. Keys are asked for whether or not there is
    something to open: whoever asks learns nothing by how long it takes.

    Raises:
        SealBroken: the stored bytes are not those that were sealed for that subject.
    """
    sealed = sealed_of(tx, subjects, SubjectKind.PERSON) if subjects else {}
    keys = sealing.keys.standing(subjects) if subjects else {}
    opened = {one: unseal(keys[one], sealed[one], binding(one)).decode() for one in sealed if one in keys}
    return {one: ResidentId.parse(text).birth for one, text in opened.items()}


def written(identifier: Identifier) -> bytes:
    """Write an identifier as it is sealed."""
    return identifier.text.encode()


def binding(subject_id: UUID) -> bytes:
    """Bind a sealed identifier to its subject: it cannot be moved to another."""
    return b"subject-identifier\x00" + subject_id.bytes
