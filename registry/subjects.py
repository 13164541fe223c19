"""Who is known, found by a keyed hash of an identifier; many at a time, in one statement.

  lookup, ensure_subjects   subjects by identifier, as UUIDs
  ids_of, ensure_ids        the same of one kind's identifiers, as 16 bytes each: for many thousands at once
  tokens_of, found_by       the keyed hashes under which somebody may be known, and who is found by such
  known_as                  give a known subject a further identifier: it keeps all that is its own
  unmake                    take back those that this transaction made and nothing came of
  mark_deceased, deceased   that it became known that a person has died
  hold_subjects             keep who changes these subjects' consents waiting until the transaction ends

Not here: what is held of them (`store`, `staging`), their identifiers in clear (`identifying`).
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from uuid import UUID

from registry.arrays import HASH_BYTES, ID_BYTES, Hashes, Ids, cut, new_ids
from registry.database import Transaction
from registry.identifiers import Identifier, SubjectKind
from registry.keyring import Keyring, Purpose
from registry.suites import hmac_sha256_each

_FIND = "SELECT string_agg(token || uuid_send(subject_id), ''::bytea) FROM subject_lookup WHERE token = ANY(%b)"


def lookup(tx: Transaction, keyring: Keyring, identifiers: Collection[Identifier]) -> dict[str, UUID]:
    """Find subjects by identifier; those that are not known are absent from the answer."""
    return {text: UUID(bytes=found) for text, found in _found(tx, keyring, _named(identifiers)).items()}


def ensure_subjects(
    tx: Transaction, keyring: Keyring, identifiers: Collection[Identifier], *, now: datetime
) -> dict[str, UUID]:
    """Find subjects by identifier, making those that are not known yet."""
    return {text: UUID(bytes=found) for text, found in _ensured(tx, keyring, _named(identifiers), now).items()}


def ids_of(tx: Transaction, keyring: Keyring, kind: SubjectKind, texts: Collection[str]) -> dict[str, bytes]:
    """Find subjects of one kind by identifiers that are normalised; those that are not known are absent."""
    return _found(tx, keyring, [(kind.value, text) for text in texts])


def ensure_ids(
    tx: Transaction, keyring: Keyring, named: Sequence[tuple[str, str]], *, now: datetime
) -> dict[str, bytes]:
    """Find subjects by kind and identifier, the latter normalised, making those that are not known yet."""
    return _ensured(tx, keyring, named, now)


def unmake(tx: Transaction, subjects: Collection[UUID]) -> None:
    """Take back those of these subjects that this very transaction made: nothing came of them, and nobody saw them."""
    made = tx.execute(
        "SELECT subject_id FROM subject WHERE subject_id = ANY(%s) AND xmin = pg_current_xact_id()::xid",
        (list(subjects),),
    ).fetchall()
    ids = [row[0] for row in made]
    tx.execute("DELETE FROM subject_lookup WHERE subject_id = ANY(%s)", (ids,))
    tx.execute("DELETE FROM subject WHERE subject_id = ANY(%s)", (ids,))


def tokens_of(keyring: Keyring, identifier: Identifier) -> list[bytes]:
    """Give every keyed hash under which somebody is known, or would be: to be kept where nobody is to be made known."""
    keys, messages = keyring.symmetric_all(Purpose.LOOKUP), _messages(_named([identifier]))
    return [token for key in keys for token in hmac_sha256_each(key.secret, messages)]


def found_by(tx: Transaction, tokens: Collection[bytes]) -> set[UUID]:
    """Tell which subjects are found by any of these keyed hashes, now: whoever was renumbered, by each number."""
    found = tx.execute("SELECT DISTINCT subject_id FROM subject_lookup WHERE token = ANY(%s)", (list(tokens),))
    return {row[0] for row in found}


def known_as(tx: Transaction, keyring: Keyring, subject_id: UUID, identifier: Identifier, *, now: datetime) -> bool:
    """Let a subject be found by a further identifier, too; say whether it is that subject that is found by it.

    The identifiers of before go on finding it: files that were written before still name it so.
    """
    key = keyring.symmetric(Purpose.LOOKUP)
    (token,) = hmac_sha256_each(key.secret, _messages(_named([identifier])))
    if not lookup(tx, keyring, [identifier]):
        tx.execute(
            "INSERT INTO subject_lookup (token, token_key, subject_id, since) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (token, token_key) DO NOTHING",
            (token, key.key_id, subject_id, now),
        )
    return lookup(tx, keyring, [identifier]) == {identifier.text: subject_id}


def mark_deceased(tx: Transaction, subject_id: UUID, *, now: datetime) -> bool:
    """Note that it became known that a person has died; say whether that is new."""
    marked = "UPDATE subject SET deceased_at = %s WHERE subject_id = %s AND deceased_at IS NULL"
    return tx.execute(marked, (now, subject_id)).rowcount > 0


def deceased(tx: Transaction, subjects: Collection[UUID]) -> set[UUID]:
    """Tell which of these subjects are known to have died."""
    found = tx.execute(
        "SELECT subject_id FROM subject WHERE subject_id = ANY(%s) AND deceased_at IS NOT NULL", (list(subjects),)
    )
    return {row[0] for row in found}


def hold_subjects(tx: Transaction, subjects: Collection[UUID]) -> None:
    """Wait for whoever changes these subjects' consents, and keep them from it until this transaction ends."""
    hold_ids(tx, [subject.bytes for subject in subjects])


def hold_ids(tx: Transaction, subjects: Sequence[bytes]) -> None:
    """Do as `hold_subjects`."""
    if subjects:
        tx.execute(
            "SELECT count(*) FROM (SELECT FROM subject WHERE subject_id = ANY(%b) ORDER BY subject_id FOR UPDATE) h",
            (Ids(subjects),),
        )


def _named(identifiers: Iterable[Identifier]) -> list[tuple[str, str]]:
    return [(identifier.kind.value, identifier.text) for identifier in identifiers]


def _messages(named: Iterable[tuple[str, str]]) -> list[bytes]:
    return [f"{kind}|{text}".encode() for kind, text in named]


def _found(tx: Transaction, keyring: Keyring, named: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """Ask under every keyed hash under which one of these may be known."""
    messages = _messages(named)
    whose: dict[bytes, str] = {}
    for key in keyring.symmetric_all(Purpose.LOOKUP):
        whose.update(zip(hmac_sha256_each(key.secret, messages), [text for _, text in named], strict=True))
    row = tx.execute(_FIND, (Hashes(list(whose)),), binary=True).fetchone()
    return {whose[token]: subject for token, subject in cut(row[0] if row else None, HASH_BYTES, ID_BYTES)}


def _ensured(tx: Transaction, keyring: Keyring, named: Sequence[tuple[str, str]], now: datetime) -> dict[str, bytes]:
    found = _found(tx, keyring, named)
    new = list({text: (kind, text) for kind, text in named if text not in found}.values())
    if new:
        key = keyring.symmetric(Purpose.LOOKUP)
        tokens = hmac_sha256_each(key.secret, _messages(new))
        rows = list(zip(new_ids(len(new)), tokens, [kind for kind, _ in new], strict=True))
        rows.sort(key=itemgetter(1))  # one order everywhere, so that two makers cannot lock each other out
        ids, tokens_, kinds = (list(column) for column in zip(*rows, strict=True))
        tx.execute(
            "WITH made AS (SELECT * FROM unnest(%b::uuid[], %b::bytea[], %b::text[]) AS n(s, t, k)),"
            " known AS (INSERT INTO subject (subject_id, kind, created_at) SELECT s, k, %s FROM made)"
            " INSERT INTO subject_lookup (token, token_key, subject_id, since) SELECT t, %s, s, %s FROM made"
            " ON CONFLICT (token, token_key) DO NOTHING",
            (Ids(ids), Hashes(tokens_), kinds, now, key.key_id, now),
        )
        found |= _found(tx, keyring, new)
    return found
