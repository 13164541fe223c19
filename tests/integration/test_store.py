"""The registry's sealed side: versions, sets, what is visible or frozen, and what a thief of the database sees."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from exchange.home import Home
from registry import clock, disclosure, log, merkle, retention, store
from registry.basis import Basis, BasisKind
from registry.canonical import b64url, canonical
from registry.catalogue import current
from registry.errors import KeyMissing, ProofFailed, SealBroken
from registry.identifiers import CreditCode
from registry.profile import within_history
from registry.records import (
    NewRecord,
    OpenedRecord,
    Payload,
    Provenance,
    RecordColumns,
    VisibleRecord,
    associated_data,
    beside,
    header,
)
from registry.sealing import seal_records
from registry.suites import intl, seal
from tests.people import LI, RATING, SUBSIDY, ZHANG, held

COLLECTIVE = CreditCode.parse("N2630203000000019A")


def provenance(kind: str = "RATING") -> Provenance:
    return Provenance(uuid4(), "test", "某局", kind, current().version, b"\x01" * 32, date(2026, 6, 15))


def publish(home: Home, records: list[NewRecord], *, published: bool = True) -> store.StagedChunk:
    said, batch = provenance(), uuid4()
    with home.database.transaction() as tx:
        store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=clock.now())
        staged = store.stage(tx, home.sealing, said, records, now=clock.now())
        if published:
            store.publish(tx, said, now=clock.now())
    return staged


def seen(home: Home, subject_id: UUID, kind: str) -> list[VisibleRecord]:
    with home.database.transaction() as tx:
        return store.visible(tx, [(subject_id, kind)])


def opened(home: Home, subject_id: UUID, *, prove: bool = False) -> list[OpenedRecord]:
    wanted = [disclosure.Wanted(one, frozenset({"grade"}), prove) for one in seen(home, subject_id, "RATING")]
    return disclosure.open_records(home.datakeys, wanted)


def subject(home: Home) -> UUID:
    with home.database.transaction() as tx:
        return store.ensure_subjects(tx, home.keyring, [COLLECTIVE], now=clock.now())[COLLECTIVE.text]


def fund(owner: UUID, account: str, balance: int, period: str = "2026-Q1") -> NewRecord:
    payload: Payload = {"account_no": account, "as_of": "2026-03-31", "bank_balance": balance}
    return NewRecord(owner, "SANZI_FUND", payload, 3, Basis(BasisKind.ORGANISATION, "law"), "B", period)


def test_the_same_record_again_is_nothing_new_and_a_changed_one_is_its_next_version(exchange_home: Home) -> None:
    owner = held(exchange_home, payloads=[("RATING", RATING)])
    (first,) = seen(exchange_home, owner, "RATING")
    held(exchange_home, payloads=[("RATING", RATING)])
    assert [one.ref for one in seen(exchange_home, owner, "RATING")] == [first.ref]
    held(exchange_home, payloads=[("RATING", {**RATING, "grade": "A"})])
    (second,) = seen(exchange_home, owner, "RATING")
    assert (second.ref.record_id, second.ref.version) == (first.ref.record_id, 2)
    with exchange_home.database.transaction() as tx:
        assert [one.ref for one in store.versions(tx, [first.ref])] == [first.ref]


def test_what_is_not_published_is_seen_by_nobody_and_can_be_taken_away(exchange_home: Home) -> None:
    owner, batch, said = subject(exchange_home), uuid4(), provenance()
    with exchange_home.database.transaction() as tx:
        store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=clock.now())
        store.stage(tx, exchange_home.sealing, said, [fund(owner, "1", 5)], now=clock.now())
    assert seen(exchange_home, owner, "SANZI_FUND") == []
    with exchange_home.database.transaction() as tx:
        assert store.discard_unpublished(tx, batch) == 1
        assert store.discard_unpublished(tx, batch) == 0


def test_a_set_is_replaced_as_a_whole(exchange_home: Home) -> None:
    owner = subject(exchange_home)
    publish(exchange_home, [fund(owner, "1", 5), fund(owner, "2", 6)])
    publish(exchange_home, [fund(owner, "1", 7, "2025-Q4")])
    assert len(seen(exchange_home, owner, "SANZI_FUND")) == 3
    again = publish(exchange_home, [fund(owner, "1", 5), fund(owner, "2", 6)])
    assert (again.stored, again.unchanged) == (0, 2)
    publish(exchange_home, [fund(owner, "1", 8)])
    kept = sorted((one.period, one.ref.version) for one in seen(exchange_home, owner, "SANZI_FUND"))
    assert [period for period, _ in kept] == ["2025-Q4", "2026-Q1"]


def test_frozen_records_are_seen_by_nobody_and_shredded_in_time(exchange_home: Home) -> None:
    owner, now = held(exchange_home), clock.now()
    with exchange_home.database.transaction() as tx:
        assert store.freeze(tx, [owner], "RATING", now=now) == 1
        assert retention.shred_due(tx, now=now) == 0
    assert seen(exchange_home, owner, "RATING") == []
    assert len(seen(exchange_home, owner, "SUBSIDY")) == 1
    with exchange_home.database.transaction() as tx:
        assert retention.shred_due(tx, now=now + retention.SHRED_AFTER) == 1
        assert tx.execute("SELECT count(*) FROM record WHERE sealed IS NULL").fetchone() == (1,)
    held(exchange_home, payloads=[("RATING", RATING)])
    assert [one.ref.version for one in seen(exchange_home, owner, "RATING")] == [2]


def test_an_erased_key_opens_nothing_ever_again(exchange_home: Home) -> None:
    owner = held(exchange_home)
    records = seen(exchange_home, owner, "SUBSIDY")
    assert exchange_home.datakeys.erase(owner, now=clock.now())
    assert not exchange_home.datakeys.erase(owner, now=clock.now())
    with pytest.raises(KeyMissing):
        disclosure.open_records(
            exchange_home.datakeys, [disclosure.Wanted(one, frozenset({"project"})) for one in records]
        )
    with pytest.raises(KeyMissing):
        held(exchange_home, payloads=[("RATING", {**RATING, "grade": "B"})])


def test_sealed_bytes_cannot_be_moved_to_another_record_or_changed(exchange_home: Home) -> None:
    owner, other = held(exchange_home), held(exchange_home, LI)
    with exchange_home.database.transaction() as tx:
        tx.execute(
            "UPDATE record SET sealed = (SELECT sealed FROM record WHERE subject_id = %s AND kind = 'RATING')"
            " WHERE subject_id = %s AND kind = 'RATING'",
            (other, owner),
        )
        tx.execute("UPDATE record SET commitment = decode(repeat('ab', 32), 'hex') WHERE subject_id = %s", (other,))
    for moved_or_changed in (owner, other):
        with pytest.raises(SealBroken):
            opened(exchange_home, moved_or_changed)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE record SET quality = 'A'",
        "UPDATE record SET period = '2025'",
        "UPDATE record SET row_no = row_no + 1",
        "UPDATE publication SET publisher = '别的局'",
        "UPDATE publication SET as_of = as_of + 1",
        "UPDATE publication SET raw_sha256 = decode(repeat('cd', 32), 'hex')",
    ],
)
def test_what_stands_beside_sealed_bytes_in_clear_cannot_be_changed(exchange_home: Home, change: str) -> None:
    owner = held(exchange_home)
    assert opened(exchange_home, owner)[0].fields == {"grade": "AA"}
    with exchange_home.database.transaction() as tx:
        tx.execute(change)
    with pytest.raises(SealBroken):
        opened(exchange_home, owner)


def test_no_evidence_is_made_of_a_record_that_does_not_match_its_commitment(exchange_home: Home) -> None:
    owner = held(exchange_home)
    (record,) = seen(exchange_home, owner, "RATING")
    said = header(
        record.kind, record.provenance, sheet="", row_no=record.row_no, period=record.period, quality=record.quality
    )
    key = exchange_home.datakeys.get([owner])[owner]
    stated = beside(record.basis, record.remark, record.valid_from, record.valid_to)
    bound = associated_data(record.ref, said, record.commitment, stated)
    plain = canonical({"fields": {"grade": "AAA"}, "seed": b64url(bytes(16))})
    forged = replace(record, sealed=seal(intl, key, plain, bound))  # by somebody who has the subject's key
    with pytest.raises(ProofFailed):
        disclosure.open_records(exchange_home.datakeys, [disclosure.Wanted(forged, frozenset({"grade"}), prove=True)])
    (proven,) = opened(exchange_home, owner, prove=True)
    assert proven.proving is not None
    assert set(proven.proving.salts) == {"grade", "subject"}
    assert set(proven.proving.digests) == {*RATING, "subject"}


def test_a_chunks_root_is_in_the_log(exchange_home: Home) -> None:
    owner = held(exchange_home)
    log.sequence_all(
        exchange_home.database, exchange_home.keyring.log_signers(), exchange_home.keyring.origin, now=clock.now()
    )
    (record,) = seen(exchange_home, owner, "RATING")
    with exchange_home.database.transaction() as tx:
        chunk = store.chunks(tx, [record.chunk_id])[record.chunk_id]
        opening = log.openings(tx, [chunk.entry_id])[chunk.entry_id]
        assert log.proof(tx, chunk.entry_id) is not None
    hashes = [merkle.leaf_hash(commitment) for commitment in chunk.commitments]
    assert chunk.commitments[record.chunk_position] == record.commitment
    assert opening.values["records_root"] == merkle.root(hashes).hex()


def test_the_database_alone_says_nothing_about_anybody(exchange_home: Home) -> None:
    """Whoever steals the main database finds no identifier, no name, no amount, no account."""
    held(exchange_home, ZHANG, [("SUBSIDY", {**SUBSIDY, "payee_name": "张某某"})])
    with exchange_home.database.transaction() as tx:
        tables = [name for (name,) in tx.execute("SELECT relname FROM pg_stat_user_tables").fetchall()]
        everything = "\n".join(
            str(row[0]) for table in tables for row in tx.execute(f'SELECT t::text FROM "{table}" t').fetchall()
        )
    assert len(everything) > 500
    secrets = (ZHANG.text, "张某某", str(SUBSIDY["bank_account"]), "120050")
    for secret in secrets:
        assert secret not in everything
        assert secret.encode().hex() not in everything


def test_history_reaches_back_as_far_as_the_consent_and_no_further() -> None:
    now = clock.now()
    assert within_history(now.date(), 1, at=now)
    assert not within_history(now.date() - timedelta(days=800), 24, at=now)
    assert within_history(None, 1, at=now)


def test_what_another_run_staged_and_never_published_hides_no_row(exchange_home: Home) -> None:
    owner = held(exchange_home, payloads=[("SUBSIDY", SUBSIDY)])
    batch, said = uuid4(), provenance()
    row = NewRecord(owner, "RATING", RATING, 3, Basis(BasisKind.CONSENT, "c"), "B", "2026")
    with exchange_home.database.transaction() as tx:
        store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=clock.now())
        store.stage(tx, exchange_home.sealing, said, [row], now=clock.now())
    assert publish(exchange_home, [row]).stored == 1
    with exchange_home.database.transaction() as tx:
        store.discard_unpublished(tx, batch)
    assert len(seen(exchange_home, owner, "RATING")) == 1


def test_of_several_versions_the_last_published_one_stands_and_the_next_is_numbered_after_all(
    exchange_home: Home,
) -> None:
    """Two are published, a third only staged: what the second says is nothing new, what the first says is."""
    owner = held(exchange_home, payloads=[("SUBSIDY", SUBSIDY)])

    def row(grade: str) -> NewRecord:
        return NewRecord(owner, "RATING", {**RATING, "grade": grade}, 3, Basis(BasisKind.CONSENT, "c"), "B", "2026")

    stored = [publish(exchange_home, [row(grade)], published=grade != "B").stored for grade in ("AA", "A", "B")]
    assert stored == [1, 1, 1]
    assert publish(exchange_home, [row("A")]).stored == 0
    assert publish(exchange_home, [row("AA")]).stored == 1
    (standing,) = opened(exchange_home, owner)
    assert (standing.visible.ref.version, standing.fields["grade"]) == (4, "AA")


def test_an_old_file_weighed_again_does_not_bring_back_what_a_later_one_corrected(exchange_home: Home) -> None:
    """File A says AA, a corrected file B says A; later A is weighed again for somebody else's new consent."""
    owner = held(exchange_home, payloads=[("SUBSIDY", SUBSIDY)])

    def row(grade: str) -> NewRecord:
        return NewRecord(owner, "RATING", {**RATING, "grade": grade}, 3, Basis(BasisKind.CONSENT, "c"), "B", "2026")

    file_a, file_b = uuid4(), uuid4()
    stored = []
    for batch, grade in ((file_a, "AA"), (file_b, "A"), (file_a, "AA")):
        said = provenance()
        with exchange_home.database.transaction() as tx:
            store.open_publication(tx, batch, said, raw_sm3=b"\x02" * 32, now=clock.now())
            stored.append(store.stage(tx, exchange_home.sealing, said, [row(grade)], now=clock.now()).stored)
            store.publish(tx, said, now=clock.now())
    assert stored == [1, 1, 0]
    (standing,) = seen(exchange_home, owner, "RATING")
    assert standing.ref.version == 2


def test_chunks_prepared_before_the_ones_before_are_written_are_numbered_after_them(exchange_home: Home) -> None:
    """The same record in three chunks: when the third is prepared, the first is committed and the second is not."""
    owner, said = held(exchange_home, payloads=[("SUBSIDY", SUBSIDY)]), provenance()
    stager = store.Stager(exchange_home.sealing, said, now=clock.now())

    def prepared(grade: str) -> store.Staging:
        row = NewRecord(owner, "RATING", {**RATING, "grade": grade}, 3, Basis(BasisKind.CONSENT, "c"), "B", "2026")
        with exchange_home.database.transaction() as tx:
            return stager.prepare(tx, RecordColumns.of([row], current().kinds))

    def written(staging: store.Staging) -> None:
        with exchange_home.database.transaction() as tx:
            stager.write(tx, staging, seal_records(staging.ready))
        stager.written(staging)

    with exchange_home.database.transaction() as tx:
        store.open_publication(tx, uuid4(), said, raw_sm3=b"\x02" * 32, now=clock.now())
    first, second = prepared("A"), prepared("AA")
    written(first)
    third = prepared("A")
    for staging in (second, third):
        written(staging)
    assert [one.ready.versions for one in (first, second, third)] == [[1], [2], [3]]
    with exchange_home.database.transaction() as tx:
        store.publish(tx, said, now=clock.now())
    (standing,) = opened(exchange_home, owner)
    assert (standing.visible.ref.version, standing.fields["grade"]) == (3, "A")
