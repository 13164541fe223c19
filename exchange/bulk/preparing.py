"""A file that has arrived whole is held to its digest and cut into sealed blocks of lines.

Steps, for one batch, in one transaction:
  1. have the batch for this transaction; whoever else wants it finds it done
  2. open the sealed chunks one after the other; hash them and cut them into lines, a block in memory at a time
  3. seal each block under the batch's data key, bound to batch and place
  4. the digest is the one announced, there is a line, there are not too many: the batch is worked off from here on.
     Otherwise it is refused, and nothing of it stays
  5. commit; only then are the chunks as they arrived removed

A kill anywhere before 5 leaves the file as it arrived. Nothing is decompressed: bytes that are no lines of JSON are
lines without a question.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from connectors import uploadfiles
from connectors.errors import BytesDestroyed
from exchange.bulk import keeping, questions
from exchange.bulk.keeping import Batch, State
from exchange.home import Home
from registry import clock
from registry.database import Transaction
from registry.errors import SealBroken
from registry.suites import Digests, intl, seal

BLOCK_LINES: Final = 32  # lines that go through the gate together: few enough to hold locks only briefly
_AT_ONCE: Final = 64  # blocks in one statement


class _Unfit(Exception):  # a statement, as the other errors are
    """The file is not what it should be; the text is the batch's fault."""


def prepare_all(home: Home, *, at_step: Callable[[int], None] = lambda _: None) -> int:
    """Cut all files that wait; say how many."""
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT batch_id FROM bulk_batch WHERE state = %s ORDER BY created_at", (State.RECEIVED.value,)
        ).fetchall()
    for (batch_id,) in rows:
        _prepare(home, batch_id, at_step)
    return len(rows)


def _prepare(home: Home, batch_id: object, at_step: Callable[[int], None]) -> None:
    now = clock.now()
    try:
        with home.database.transaction() as tx:
            batch = _held(tx, batch_id)  # 1
            if batch is None:
                return
            at_step(1)
            lines = _cut(home, tx, batch)  # 2, 3, 4
            at_step(4)
            tx.execute(
                "UPDATE bulk_batch SET state = %s, lines = %s WHERE batch_id = %s",
                (State.WORKING.value, lines, batch.batch_id),
            )
    except _Unfit as unfit:
        with home.database.transaction() as tx:
            refused = _held(tx, batch_id)
            if refused is not None:
                keeping.end(tx, refused, State.REFUSED, until=refused.until, now=now, fault=str(unfit))
        if refused is not None:
            keeping.destroy_questions(home, refused.batch_id, now=now)
        return
    at_step(5)
    shutil.rmtree(keeping.folder(home) / str(batch.batch_id), ignore_errors=True)  # 5


def _held(tx: Transaction, batch_id: object) -> Batch | None:
    row = tx.execute(
        f"SELECT {keeping.COLUMNS} FROM bulk_batch WHERE batch_id = %s AND state = %s FOR UPDATE",  # noqa: S608  # fixed
        (batch_id, State.RECEIVED.value),
    ).fetchone()
    return None if row is None else keeping.of_row(row)


def _cut(home: Home, tx: Transaction, batch: Batch) -> int:
    """Write the blocks; give the number of lines."""
    hashed = Digests()
    try:
        files = uploadfiles.find(keeping.folder(home), home.sealing, batch.batch_id)
        key = home.datakeys.get([batch.batch_id])[batch.batch_id]
        last = 0
        waiting: list[tuple[int, bytes]] = []
        for block in _blocks(_hashing(files.read(batch.size_bytes), hashed)):
            first, last = block[0][0], block[-1][0]
            if last > keeping.LINES_MOST:
                raise _Unfit("lines-too-many")
            waiting.append((first, seal(intl, key, questions.packed(block), keeping.place(batch.batch_id, first))))
            if len(waiting) == _AT_ONCE:
                _write(tx, batch, waiting)
                waiting.clear()
        _write(tx, batch, waiting)
    except (BytesDestroyed, SealBroken) as error:
        raise _Unfit("bytes-lost") from error
    if not keeping.is_file(home, batch, hashed.sha256):
        raise _Unfit("digest-differs")
    if not last:
        raise _Unfit("empty")
    return last


def _hashing(pieces: Iterator[bytes], hashed: Digests) -> Iterator[bytes]:
    for piece in pieces:
        hashed.update(piece)
        yield piece


def _blocks(pieces: Iterator[bytes]) -> Iterator[list[tuple[int, bytes | None]]]:
    block: list[tuple[int, bytes | None]] = []
    for line in questions.cut(pieces):
        block.append(line)
        if len(block) == BLOCK_LINES:
            yield block
            block = []
    if block:
        yield block


def _write(tx: Transaction, batch: Batch, blocks: Sequence[tuple[int, bytes]]) -> None:
    with tx.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO bulk_block (batch_id, first_line, sealed) VALUES (%s, %s, %s)",
            [(batch.batch_id, first, sealed) for first, sealed in blocks],
        )
