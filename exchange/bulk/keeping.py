"""A batch's row: handed in once, counted, cancelled, cleared. SQL and its rules; nothing here opens a question.

States: receiving → received (all bytes are here) → working (cut into blocks) → finished.
Ends besides: cancelled (by its system), refused (the file is not what it should be), expired (its time was over first).

  * The same Idempotency-Key with the same file is the same batch; with another file it is refused. The same file under
    another key is the same batch too, as long as that one goes on or its results can be had: a system that lost its
    key counts no use twice.
  * Who is told of a batch is the system that handed it in. To everybody else it does not exist.
  * When a batch ends, its questions are destroyed: the key first, which is enough by itself. `tidy` does again what a
    kill left half done, ends what nobody finished, and clears what became of the lines once the time is over.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import orjson

from connectors import uploadfiles
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.oauth.guard import Caller
from registry import log
from registry.database import Transaction
from registry.keyring import Purpose
from registry.suites import constant_time_equal, hmac_sha256, sha256

BATCH_BYTES: Final = 64 << 20
LINES_MOST: Final = 100_000
OPEN_MOST: Final = 8  # batches of one system that are not finished
PAGE_MOST: Final = 100
PERMITTED: Final = "permitted"
_CREATING: Final = 7_118_460  # of pg_advisory_xact_lock(space, client)
_SALT_BYTES: Final = 16
COLUMNS: Final = (  # in the order of `Batch`
    "batch_id, client_id, organisation, size_bytes, received_bytes, state, fault, lines, counts, created_at, ended_at,"
    " until, cleared_at, file_salted"
)


class State(StrEnum):
    """How far a batch has come."""

    RECEIVING = "receiving"
    RECEIVED = "received"
    WORKING = "working"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    EXPIRED = "expired"


_GOING_ON: Final = (State.RECEIVING.value, State.RECEIVED.value, State.WORKING.value)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its row says. `counts` is filled when it has ended."""

    batch_id: UUID
    client_id: str
    organisation: str
    size_bytes: int
    received_bytes: int
    state: State
    fault: str
    lines: int
    counts: dict[str, int]
    created_at: datetime
    ended_at: datetime | None
    until: datetime
    cleared_at: datetime | None
    file_salted: bytes


def folder(home: Home) -> Path:
    """Say where the sealed bytes of batches lie until they are cut into blocks."""
    return home.settings.home / "bulk"


def place(batch_id: UUID, first_line: int) -> bytes:
    """Say what a sealed block of lines is bound to."""
    return b"bulk|" + batch_id.bytes + first_line.to_bytes(8)


def kept_for(home: Home) -> timedelta:
    """Say how long a batch lies here, and then what became of it."""
    return timedelta(hours=home.settings.batch_results_hours)


# ---- a file and its digest ------------------------------------------------------------------------------------------


def file_salt(home: Home, batch_id: UUID) -> bytes:
    """Derive the salt under which a batch says which file it was; it is not stored."""
    return hmac_sha256(_mac(home), b"bulk-file|" + batch_id.bytes)[:_SALT_BYTES]


def salted(salt: bytes, file_sha256: bytes) -> bytes:
    """Digest a file's SHA-256 so that its sender recognises it, and nobody can try short files out."""
    return sha256(b"qq-bulk\x00" + salt + file_sha256)


def is_file(home: Home, batch: Batch, file_sha256: bytes) -> bool:
    """Say whether a file is the one that the batch was announced as."""
    return constant_time_equal(salted(file_salt(home, batch.batch_id), file_sha256), batch.file_salted)


def _mac(home: Home) -> bytes:
    return home.keyring.symmetric(Purpose.MAC).secret


# ---- handing in -----------------------------------------------------------------------------------------------------


def create(
    home: Home, tx: Transaction, caller: Caller, key: str, size: int, file_sha256: bytes, *, now: datetime
) -> tuple[Batch, bool]:
    """Begin a batch, or find the one that it is; say whether it is new.

    Raises:
        RequestRefused: `idempotency-key-reused`, `bulk-too-many`.
    """
    key_digest = sha256(key.encode())
    file_mac = hmac_sha256(_mac(home), b"bulk-same|" + caller.client_id.encode() + b"|" + file_sha256)
    tx.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_CREATING, caller.client_id))
    row = tx.execute(
        "SELECT b.batch_id, b.file_mac, b.size_bytes FROM bulk_name n JOIN bulk_batch b USING (batch_id)"
        " WHERE n.client_id = %s AND n.key_digest = %s",
        (caller.client_id, key_digest),
    ).fetchone()
    if row is not None:
        if not constant_time_equal(row[1], file_mac) or row[2] != size:
            raise RequestRefused("idempotency-key-reused")
        return get(tx, row[0], caller), False
    same = tx.execute(
        "SELECT batch_id FROM bulk_batch WHERE client_id = %s AND file_mac = %s AND size_bytes = %s AND state = ANY(%s)"
        " AND until > %s AND cleared_at IS NULL ORDER BY created_at LIMIT 1",
        (caller.client_id, file_mac, size, [*_GOING_ON, State.FINISHED.value], now),
    ).fetchone()
    if same is None:
        _refuse_many(tx, caller)
    batch_id = uuid4() if same is None else same[0]
    tx.execute(
        "INSERT INTO bulk_name (client_id, key_digest, batch_id) VALUES (%s, %s, %s)",
        (caller.client_id, key_digest, batch_id),
    )
    if same is None:
        tx.execute(
            "INSERT INTO bulk_batch (batch_id, client_id, organisation, file_mac, file_salted, size_bytes,"
            " received_bytes, state, fault, lines, counts, created_at, worked_at, until)"
            " VALUES (%s, %s, %s, %s, %s, %s, 0, %s, '', 0, '{}', %s, %s, %s)",
            (
                batch_id, caller.client_id, caller.org_code, file_mac, salted(file_salt(home, batch_id), file_sha256),
                size, State.RECEIVING.value, now, now, now + kept_for(home),
            ),
        )  # fmt: skip
    return get(tx, batch_id, caller), same is None


def _refuse_many(tx: Transaction, caller: Caller) -> None:
    row = tx.execute(
        "SELECT count(*) FROM bulk_batch WHERE client_id = %s AND state = ANY(%s)", (caller.client_id, list(_GOING_ON))
    ).fetchone()
    if row is not None and row[0] >= OPEN_MOST:
        raise RequestRefused("bulk-too-many", retry_after_seconds=60)


def advance(tx: Transaction, batch: Batch, *, was: int, to: int, now: datetime) -> bool:
    """Note that bytes are durable; with the last of them the batch waits to be worked off. False: it takes no more."""
    state = State.RECEIVED if to == batch.size_bytes else State.RECEIVING
    moved = tx.execute(
        "UPDATE bulk_batch SET received_bytes = %s, state = %s WHERE batch_id = %s AND state = %s"
        " AND received_bytes = %s AND until > %s",
        (to, state.value, batch.batch_id, State.RECEIVING.value, was, now),
    ).rowcount
    if moved and state is State.RECEIVED:
        fields: dict[str, Any] = {"batch_id": str(batch.batch_id), "organisation": batch.organisation}
        fields["size_bytes"] = batch.size_bytes
        log.append(tx, [log.Entry(event=Event.BULK_RECEIVED, at=now, actor=batch.client_id, fields=fields)])
    return bool(moved)


# ---- looking --------------------------------------------------------------------------------------------------------


def get(tx: Transaction, batch_id: UUID, caller: Caller) -> Batch:
    """Give a batch of the caller's own.

    Raises:
        RequestRefused: `bulk-unknown`.
    """
    row = tx.execute(
        f"SELECT {COLUMNS} FROM bulk_batch WHERE batch_id = %s AND client_id = %s",  # noqa: S608  # fixed texts
        (batch_id, caller.client_id),
    ).fetchone()
    if row is None:
        raise RequestRefused("bulk-unknown")
    return of_row(row)


def page(tx: Transaction, caller: Caller, *, before: tuple[datetime, UUID] | None, limit: int) -> list[Batch]:
    """List batches of the caller's own, the newest first."""
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM bulk_batch WHERE client_id = %s"  # noqa: S608  # fixed texts
        " AND (%s::timestamptz IS NULL OR (created_at, batch_id) < (%s, %s))"
        " ORDER BY created_at DESC, batch_id DESC LIMIT %s",
        (caller.client_id, before and before[0], before and before[0], before and before[1], limit),
    ).fetchall()
    return [of_row(row) for row in rows]


def of_row(row: Sequence[Any]) -> Batch:
    """Read a row of `COLUMNS`."""
    said = dict(zip(Batch.__slots__, row, strict=True))
    return Batch(**said | {"state": State(said["state"])})


def counted(tx: Transaction, batch: Batch) -> dict[str, int]:
    """Count lines by what became of them: `permitted`, or the code of a refusal or fault."""
    if batch.ended_at is not None:
        return batch.counts
    return _counted(tx, batch.batch_id)


def _counted(tx: Transaction, batch_id: UUID) -> dict[str, int]:
    rows = tx.execute(
        "SELECT coalesce(code, %s), count(*) FROM bulk_line WHERE batch_id = %s GROUP BY 1 ORDER BY 1",
        (PERMITTED, batch_id),
    ).fetchall()
    return dict(rows)


# ---- ending ---------------------------------------------------------------------------------------------------------


def end(tx: Transaction, batch: Batch, state: State, *, until: datetime, now: datetime, fault: str = "") -> bool:
    """End a batch that goes on; its blocks are gone with this commit. False: it has ended before."""
    held = tx.execute(
        "SELECT FROM bulk_batch WHERE batch_id = %s AND state = ANY(%s) FOR UPDATE", (batch.batch_id, list(_GOING_ON))
    ).fetchone()
    if held is None:
        return False
    counts = _counted(tx, batch.batch_id)
    tx.execute(
        "UPDATE bulk_batch SET state = %s, fault = %s, counts = %s, ended_at = %s, until = %s WHERE batch_id = %s",
        (state.value, fault, orjson.dumps(counts).decode(), now, until, batch.batch_id),
    )
    tx.execute("DELETE FROM bulk_block WHERE batch_id = %s", (batch.batch_id,))
    fields: dict[str, Any] = {"batch_id": str(batch.batch_id), "organisation": batch.organisation, "state": state.value}
    fields |= {"fault": fault, "lines": batch.lines, "counts": counts}
    log.append(tx, [log.Entry(event=Event.BULK_ENDED, at=now, actor=batch.client_id, fields=fields)])
    return True


def destroy_questions(home: Home, batch_id: UUID, *, now: datetime) -> None:
    """Destroy the questions of a batch that has ended: key, files, and a note that it was done."""
    home.datakeys.erase(batch_id, now=now)
    shutil.rmtree(folder(home) / str(batch_id), ignore_errors=True)
    with home.database.transaction() as tx:
        tx.execute("UPDATE bulk_batch SET destroyed_at = %s WHERE batch_id = %s", (now, batch_id))


def tidy(home: Home, *, now: datetime) -> None:
    """End what nobody finished, destroy questions that a kill left behind, clear what is over (a job)."""
    with home.database.transaction() as tx:
        over = tx.execute(
            f"SELECT {COLUMNS} FROM bulk_batch WHERE cleared_at IS NULL AND until <= %s"  # noqa: S608  # fixed texts
            " ORDER BY batch_id",
            (now,),
        ).fetchall()
    for batch in map(of_row, over):
        with home.database.transaction() as tx:
            end(tx, batch, State.EXPIRED, until=batch.until, now=now)
            for table in ("bulk_line", "bulk_part"):
                tx.execute(f"DELETE FROM {table} WHERE batch_id = %s", (batch.batch_id,))  # noqa: S608  # of two names
            tx.execute("UPDATE bulk_batch SET cleared_at = %s WHERE batch_id = %s", (now, batch.batch_id))
    with home.database.transaction() as tx:
        left = tx.execute(
            "SELECT batch_id FROM bulk_batch WHERE ended_at IS NOT NULL AND destroyed_at IS NULL"
        ).fetchall()
        waiting = tx.execute(
            "SELECT batch_id FROM bulk_batch WHERE state = ANY(%s)", ([State.RECEIVING.value, State.RECEIVED.value],)
        ).fetchall()
    for (batch_id,) in left:
        destroy_questions(home, batch_id, now=now)
    uploadfiles.sweep(folder(home), frozenset(batch_id for (batch_id,) in waiting), now=now)
