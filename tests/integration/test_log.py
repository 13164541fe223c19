"""The log: entries are appended with their act, numbered once, proven against signed trees, and published as tiles."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from psycopg import Error

from registry import log, merkle, tiles
from registry.checkpoint import open_checkpoint
from registry.commitments import salt
from registry.database import Database
from registry.errors import CanonicalError, ProofFailed
from registry.note import NoteSigner
from registry.suites import Ed25519Key

ORIGIN = "log.example/qinghai"
NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
SIGNERS = (NoteSigner(ORIGIN, Ed25519Key(bytes(range(32)))),)
VERIFIERS = tuple(signer.verifier for signer in SIGNERS)


def entries(count: int, first: int = 0) -> list[log.Entry]:
    return [
        log.Entry("release:query:permitted", NOON + timedelta(seconds=number), "bank-a", {"number": number})
        for number in range(first, first + count)
    ]


def append(database: Database, given: Sequence[log.Entry]) -> list[log.Appended]:
    with database.transaction() as tx:
        return log.append(tx, given)


def sequence(database: Database, *, limit: int = 10_000) -> None:
    log.sequence_all(database, SIGNERS, ORIGIN, now=NOON, limit=limit)


def leaves_of(database: Database) -> list[bytes]:
    """Every entry that the signed log publishes, read as an outsider would."""
    with database.transaction() as tx:
        checkpoint = log.latest_checkpoint(tx)
        if checkpoint is None:
            return []
        found: list[bytes] = []
        while len(found) < checkpoint.size:
            width = min(tiles.WIDTH, checkpoint.size - len(found))
            bundle = log.entries_tile(tx, len(found) // tiles.WIDTH, width)
            assert bundle is not None
            found += tiles.unbundle(bundle)
        return found


def test_an_entry_stands_or_falls_with_the_act_it_tells_of(database: Database) -> None:
    with pytest.raises(OSError, match="the act failed"), database.transaction() as tx:
        log.append(tx, entries(3))
        raise OSError("the act failed")
    sequence(database)
    assert leaves_of(database) == []


def test_every_entry_is_numbered_once_in_the_order_of_appending(database: Database) -> None:
    first = append(database, entries(300))
    second = append(database, entries(5, first=300))
    sequence(database, limit=70)
    assert leaves_of(database) == [appended.leaf for appended in first + second]


def test_the_signed_root_is_that_of_the_published_entries(database: Database) -> None:
    append(database, entries(260))
    sequence(database)
    with database.transaction() as tx:
        signed = log.latest_checkpoint(tx)
    assert signed is not None
    checkpoint = open_checkpoint(signed.note, VERIFIERS, ORIGIN, every_line=True)
    assert checkpoint.size == 260
    assert checkpoint.root == merkle.root(merkle.leaf_hashes(leaves_of(database)))


def test_an_entry_that_no_checkpoint_covers_has_no_proof_yet(database: Database) -> None:
    (covered,) = append(database, entries(1))
    sequence(database)
    (waiting,) = append(database, entries(1, first=1))
    with database.transaction() as tx:
        assert set(log.proofs(tx, [covered.entry_id, waiting.entry_id, uuid4()])) == {covered.entry_id}
        assert log.proof(tx, waiting.entry_id) is None


def test_before_the_first_checkpoint_nothing_is_proven(database: Database) -> None:
    with database.transaction() as tx:
        assert log.latest_checkpoint(tx) is None
        assert log.proofs(tx, [uuid4()]) == {}
        assert log.tile(tx, 0, 0) is None


def test_a_proof_travels_as_a_file_and_holds_without_the_database(database: Database) -> None:
    appended = append(database, entries(300))
    sequence(database)
    with database.transaction() as tx:
        found = log.proofs(tx, [one.entry_id for one in appended])
    assert len(found) == 300
    for place in (0, 17, 255, 256, 299):
        proof = found[appended[place].entry_id]
        assert proof.leaf == appended[place].leaf
        read = tiles.TlogProof.parse(proof.tlog_proof)
        checkpoint = open_checkpoint(read.checkpoint, VERIFIERS, ORIGIN)
        merkle.verify_inclusion(merkle.leaf_hash(proof.leaf), read.index, checkpoint.size, read.path, checkpoint.root)


def test_a_checkpoint_is_signed_only_when_there_is_something_new(database: Database) -> None:
    append(database, entries(2))
    assert log.sequence(database, SIGNERS, ORIGIN, now=NOON) is not None
    assert log.sequence(database, SIGNERS, ORIGIN, now=NOON) is None


def test_each_tree_begins_with_the_one_signed_before(database: Database) -> None:
    signed = []
    for first in range(0, 600, 97):
        append(database, entries(97, first=first))
        checkpoint = log.sequence(database, SIGNERS, ORIGIN, now=NOON)
        assert checkpoint is not None
        signed.append(checkpoint)
    with database.transaction() as tx:
        for old in signed:
            for new in signed[signed.index(old) :]:
                proof = log.consistency(tx, old.size, new.size)
                merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)


def test_two_sequencers_do_not_number_twice(database: Database) -> None:
    append(database, entries(3))

    def other(step: int) -> None:
        if step == 4:
            assert log.sequence(database, SIGNERS, ORIGIN, now=NOON) is None

    assert log.sequence(database, SIGNERS, ORIGIN, now=NOON, at_step=other) is not None
    assert len(leaves_of(database)) == 3


def test_a_tree_that_was_tampered_with_is_never_signed(database: Database) -> None:
    append(database, entries(3))
    sequence(database)
    with database.transaction() as tx:
        tx.execute("UPDATE log_tile SET data = overlay(data PLACING '\\x00' FROM 3) WHERE level = 0")
    append(database, entries(3, first=3))
    with pytest.raises(ProofFailed, match="does not begin with the old one"):
        log.sequence(database, SIGNERS, ORIGIN, now=NOON)
    with database.transaction() as tx:
        signed = log.latest_checkpoint(tx)
    assert signed is not None
    assert signed.size == 3


def test_a_log_that_lost_entries_is_never_signed(database: Database) -> None:
    append(database, entries(3))
    sequence(database)
    with database.transaction() as tx:
        tx.execute("DELETE FROM log_tile")
    append(database, entries(1))
    with pytest.raises(ProofFailed, match="3 were signed"):
        log.sequence(database, SIGNERS, ORIGIN, now=NOON)


def test_a_changed_leaf_has_no_proof(database: Database) -> None:
    appended = append(database, entries(2))
    sequence(database)
    with database.transaction() as tx:
        tx.execute("UPDATE log_tile SET data = overlay(data PLACING '\\x7b7b' FROM 5) WHERE level = -1")
        with pytest.raises(ProofFailed, match="not in the tree"):
            log.proof(tx, appended[0].entry_id)


def test_every_width_of_a_tile_that_was_ever_published_can_still_be_read(database: Database) -> None:
    append(database, entries(10))
    sequence(database)
    with database.transaction() as tx:
        narrow, bundle = log.tile(tx, 0, 0, 10), log.entries_tile(tx, 0, 10)
    append(database, entries(290, first=10))
    sequence(database)
    with database.transaction() as tx:
        assert (log.tile(tx, 0, 0, 10), log.entries_tile(tx, 0, 10)) == (narrow, bundle)
        assert len(log.tile(tx, 0, 0) or b"") == tiles.WIDTH * merkle.HASH_BYTES
        assert len(log.tile(tx, 1, 0, 1) or b"") == merkle.HASH_BYTES
        assert log.tile(tx, 0, 1) is None
        assert log.tile(tx, 0, 1, 45) is None


def test_the_clear_side_opens_every_commitment_of_the_leaf(database: Database) -> None:
    entry = log.Entry(
        "consent:record:withdrawn",
        NOON,
        "portal",
        {"reason": "撤回", "items": ["SUBSIDY.amount_paid"], "uses": 3, "none": None},
        subject_id=uuid4(),
        consent_id="c-1",
        query_id=uuid4(),
    )
    (appended,) = append(database, [entry])
    with database.transaction() as tx:
        row = tx.execute(
            "SELECT event, at, actor, fields, subject_id, consent_id, query_id, entry_id, seed FROM log_entry",
        ).fetchone()
    assert row is not None
    *columns, seed = row
    assert log.leaf_for(log.Entry(*columns), seed) == appended.leaf
    assert len(salt(seed, "reason")) == 16


def test_a_leaf_shows_event_and_time_and_nothing_else(database: Database) -> None:
    subject = UUID("6f1c2a34-0000-4000-8000-000000000001")
    (appended,) = append(
        database,
        [log.Entry("release:query:refused", NOON, "bank-a", {"reason": "no-consent"}, subject_id=subject)],
    )
    for secret in (b"bank-a", b"no-consent", str(subject).encode(), str(appended.entry_id).encode()):
        assert secret not in appended.leaf
    assert b'"at":"2026-06-15T04:00:00.000000Z","event":"release:query:refused"' in appended.leaf


def test_an_entry_that_cannot_be_committed_to_writes_nothing(database: Database) -> None:
    with database.transaction() as tx:
        with pytest.raises(CanonicalError):
            log.append(tx, [*entries(1), log.Entry("a:b", NOON, "x", {"rate": 0.5})])  # type: ignore[dict-item]  # the mistake under test
        row = tx.execute("SELECT count(*) FROM log_entry").fetchone()
    assert row == (0,)


def test_the_same_entry_cannot_be_appended_twice(database: Database) -> None:
    (entry,) = entries(1)
    append(database, [entry])
    with pytest.raises(Error):
        append(database, [entry])


@pytest.mark.parametrize("event", ["", "Release", "release", "release:", "a:b:c:d", "a b:c"])
def test_an_event_without_a_proper_name_is_refused(event: str) -> None:
    with pytest.raises(ValueError, match="source:subject:action"):
        log.Entry(event, NOON, "x", {})


def test_a_field_cannot_hide_a_column(database: Database) -> None:
    with pytest.raises(ValueError, match="own columns"):
        log.Entry("a:b", NOON, "x", {"subject_id": "y"})


def test_appending_nothing_is_no_statement(database: Database) -> None:
    assert append(database, []) == []
