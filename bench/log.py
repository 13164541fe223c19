"""Sequencing the log, beside SHA-256 of the same leaves.

  limit     hash the leaves (RFC 6962 leaf hash), nothing else, on one core
  grow      hash them, grow the tree and write tiles and entry bundles, in memory: CPU of one core
  sequence  the whole of `registry.log.sequence`, from the queue to a signed checkpoint: CPU of our process, and wall
            time with PostgreSQL, which numbers the entries and writes the tiles

Leaves are made by `registry.log.leaf_for`, as the gate makes them. Entries wait in the queue before the clock starts.
The aim is 100,000 entries a second and core (architecture.md, section 7), for our process.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from bench.rig.measure import Figure, best_rate, show
from bench.rig.serving import fresh_home
from registry import log, merkle, schema, tiles
from registry.database import Database
from registry.embedded import EmbeddedPostgres
from registry.keyring import Keyring
from registry.log.sequencer import BATCH_ENTRIES
from registry.suites import random_bytes

ENTRIES: Final = 100_000
QUEUED: Final = 50_000
AIM: Final = 100_000
_AT: Final = datetime(2026, 6, 15, 4, 0, 0, 123456, tzinfo=UTC)
_ORIGIN: Final = "log.example/bench"


def make_entries(count: int) -> list[log.Entry]:
    """Make entries of the size that a permitted query leaves."""
    fields = {"lender": "bank-a", "purpose": "LOAN_APPROVAL", "items": ["SUBSIDY.amount_paid"], "mode": "summary"}
    return [log.Entry("release:query:permitted", _AT, "bank-a", fields, query_id=uuid4()) for _ in range(count)]


def grow(leaves: Sequence[bytes]) -> bytes:
    """Grow a tree from nothing, in the sequencer's batches, with all that is to be written; return its root."""
    edge = tiles.Edge()
    bundle = b""
    for start in range(0, len(leaves), BATCH_ENTRIES):
        batch = leaves[start : start + BATCH_ENTRIES]
        size = edge.size
        edge.append(merkle.leaf_hashes(batch))
        bundles = tiles.group_entries(size, bundle, batch)
        bundle = bundles[max(bundles)][1]
    return edge.root


@contextmanager
def fresh_database() -> Iterator[tuple[Database, Keyring]]:
    """Give a private server with an empty schema, and keys."""
    with fresh_home() as home, EmbeddedPostgres(home, prefer="wheel") as server:
        schema.upgrade(server.url, server.keystore_url)
        database = Database(server.url)
        try:
            yield database, Keyring.create(home, origin=_ORIGIN, now=_AT)
        finally:
            database.close()


def sequence_rates() -> tuple[float, float]:
    """Return entries a second from the queue to a signed checkpoint: of our CPU, and of wall time."""
    with fresh_database() as (database, keyring):
        entries = make_entries(QUEUED)
        for start in range(0, QUEUED, BATCH_ENTRIES):
            with database.transaction() as tx:
                log.append(tx, entries[start : start + BATCH_ENTRIES])
        began, began_cpu = time.perf_counter(), time.process_time()
        made = log.sequence_all(database, keyring.log_signers(), _ORIGIN, now=_AT)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        if made is None or made.size != QUEUED:
            raise RuntimeError("not every entry was sequenced")
        return QUEUED / cpu_seconds, QUEUED / seconds


def main() -> None:
    """Measure and print."""
    seed = random_bytes(16)
    leaves = [log.leaf_for(entry, seed) for entry in make_entries(ENTRIES)]
    limit = best_rate(len(leaves), lambda: merkle.leaf_hashes(leaves), cpu=True)
    grown = best_rate(len(leaves), lambda: grow(leaves), cpu=True)
    ours, wall = sequence_rates()
    size = sum(map(len, leaves)) // len(leaves)
    show(
        "log: sequencing, against SHA-256 of the same leaves",
        [
            Figure("hash, grow, bundle", limit, grown, "entries", AIM, absolute=True),
            Figure("queue to signed checkpoint, our process", limit, ours, "entries", AIM, absolute=True),
            Figure("the same, wall time with PostgreSQL", limit, wall, "entries"),
        ],
        [
            f"{ENTRIES:,} leaves of {size} bytes; CPU of one core but for the last line",
            f"PostgreSQL on the same machine: {QUEUED:,} entries, in batches of {BATCH_ENTRIES:,}",
        ],
    )


if __name__ == "__main__":
    main()
