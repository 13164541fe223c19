"""Blocks of lines through the gate, one after the other, batch by batch in turn (a job).

Steps for one block (the numbers are used in the code and the tests):
  1. take the batch whose turn it is, whose system is active; its turn is over for now
  2. read its first block: open it, read its lines, leave out those whose outcome stands already
  3. put the questions through the gate (`exchange.release.lines`): decision, use, log entry and outcome of each line in
     one transaction, which holds the batch's row and ends if the batch was cancelled or the block done meanwhile
  4. note the lines that are no questions, and remove the block
  5. without a block left, the batch is finished; its questions' key is destroyed

A kill before the commit of 3 leaves the lines as they were; one after it finds their outcomes and leaves them out. So
each line is decided once, whoever works: a leader that has not noticed that it is none waits at the row in 3.

Pace: after each block the job rests as long as the block took, so that it has half of one worker at most and the
questions of people who wait come in between; a block holds the locks of its consents for its own transaction only.

A system's access is looked at with every block: of one that is suspended nothing more is answered.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from exchange.bulk import keeping, preparing, questions
from exchange.bulk.keeping import Batch, State
from exchange.bulk.questions import Fault
from exchange.home import Home
from exchange.oauth.clients import ACTIVE
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Role, Scope
from exchange.release import Ask
from exchange.release.lines import Decided, Overtaken, settle_lines
from registry import clock
from registry.database import Transaction
from registry.errors import KeyMissing, SealBroken
from registry.suites import unseal

RUN_SECONDS: Final = 20.0  # of one run of the job; what is left waits for the next
REST: Final = 1.0  # of the time that a block took

_ENDED: Final = datetime.fromtimestamp(0, UTC)
_journal = structlog.get_logger("qingqiao.bulk")
_Step = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A batch whose turn it is, and its system as the gate takes it."""

    batch: Batch
    caller: Caller


@dataclass(frozen=True, slots=True)
class _Book:
    """The outcomes of one block's lines; see `exchange.release.lines`."""

    batch: Batch
    first_line: int

    def hold(self, tx: Transaction) -> None:
        """Have the batch's row; the batch is being worked on, the block is there, and its system is active."""
        held = tx.execute(
            "SELECT FROM bulk_batch WHERE batch_id = %s AND state = %s FOR UPDATE",
            (self.batch.batch_id, State.WORKING.value),
        ).fetchone()
        there = tx.execute(
            "SELECT FROM bulk_block k JOIN client c ON c.client_id = %s AND c.state = %s AND %s = ANY(c.scopes)"
            " WHERE k.batch_id = %s AND k.first_line = %s",
            (self.batch.client_id, ACTIVE, Scope.QUERIES.value, self.batch.batch_id, self.first_line),
        ).fetchone()
        if held is None or there is None:
            raise Overtaken

    def note(self, tx: Transaction, decided: Sequence[Decided]) -> None:
        """Note outcomes of the gate. A line that has one already is another's: nothing of this transaction stands."""
        with tx.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO bulk_line (batch_id, line, query_id, code) VALUES (%s, %s, %s, %s)",
                [(self.batch.batch_id, one.line, one.query_id, one.reason) for one in decided],
            )

    def note_faults(self, tx: Transaction, faults: Sequence[Fault]) -> None:
        """Note lines that are no questions, or could not be settled."""
        with tx.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO bulk_line (batch_id, line, code, detail) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(self.batch.batch_id, one.line, one.code, one.detail) for one in faults],
            )

    def remove_block(self, tx: Transaction) -> None:
        """Remove the block: every line of it has its outcome."""
        tx.execute(
            "DELETE FROM bulk_block WHERE batch_id = %s AND first_line = %s", (self.batch.batch_id, self.first_line)
        )


def work_due(home: Home, *, run_seconds: float = RUN_SECONDS, rest: float = REST) -> int:
    """Work off what waits for as long as a run may last; say how many blocks (the job)."""
    preparing.prepare_all(home)
    blocks, until = 0, time.monotonic() + run_seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        if not work_next(home):
            break
        blocks += 1
        time.sleep((time.monotonic() - begun) * rest)
    return blocks


def work_next(home: Home, *, at_step: _Step = lambda _: None, at_gate: _Step = lambda _: None) -> bool:
    """Work off one block of the batch whose turn it is; False if none waits.

    `at_step` is called before each of the steps above, `at_gate` before each of the gate's; tests break in there.
    """
    at_step(1)
    turn = _take_turn(home)  # 1
    if turn is None:
        return False
    at_step(2)
    block = _first_block(home, turn.batch)  # 2
    if block is None:
        at_step(5)
        _finish(home, turn.batch)  # 5
        return True
    first_line, sealed = block
    try:
        key = home.datakeys.get([turn.batch.batch_id])[turn.batch.batch_id]
        lines = questions.unpacked(unseal(key, sealed, keeping.place(turn.batch.batch_id, first_line)))
    except (KeyMissing, SealBroken):
        _give_up(home, turn.batch)
        return True
    book = _Book(turn.batch, first_line)
    done = _done(home, turn.batch, first_line, lines[-1][0])
    read = [questions.read(turn.batch.batch_id, turn.caller, *line) for line in lines if line[0] not in done]
    try:
        at_step(3)
        asks = [one for one in read if isinstance(one, Ask)]
        failed = settle_lines(home, asks, book, at_step=at_gate) if asks else {}  # 3
        faults = [one for one in read if isinstance(one, Fault)]
        faults += [Fault(line, code) for line, code in failed.items()]
        at_step(4)
        with home.database.transaction() as tx:  # 4
            book.hold(tx)
            book.note_faults(tx, faults)
            book.remove_block(tx)
    except Overtaken:
        _journal.info("bulk:block:overtaken", batch_id=str(turn.batch.batch_id))
        return True
    if failed:
        _journal.warning("bulk:lines:failed", batch_id=str(turn.batch.batch_id), count=len(failed))
    return True


def _take_turn(home: Home) -> _Turn | None:
    now = clock.now()
    with home.database.transaction() as tx:
        row = tx.execute(
            f"UPDATE bulk_batch SET worked_at = %s WHERE batch_id = (SELECT b.batch_id FROM bulk_batch b"  # noqa: S608  # fixed texts
            " JOIN client c ON c.client_id = b.client_id AND c.organisation = b.organisation AND c.role = %s"
            " AND c.state = %s AND %s = ANY(c.scopes) WHERE b.state = %s AND b.cleared_at IS NULL AND b.until > %s"
            f" ORDER BY b.worked_at, b.batch_id LIMIT 1) RETURNING {keeping.COLUMNS}",
            (now, Role.LENDER.value, ACTIVE, Scope.QUERIES.value, State.WORKING.value, now),
        ).fetchone()
    if row is None:
        return None
    batch = keeping.of_row(row)
    scopes = frozenset({Scope.QUERIES.value})
    caller = Caller(batch.client_id, batch.organisation, Role.LENDER.value, scopes, "", b"", _ENDED, _ENDED)
    return _Turn(batch, caller)


def _first_block(home: Home, batch: Batch) -> tuple[int, bytes] | None:
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT first_line, sealed FROM bulk_block WHERE batch_id = %s ORDER BY first_line LIMIT 1",
            (batch.batch_id,),
        ).fetchone()


def _done(home: Home, batch: Batch, first: int, last: int) -> frozenset[int]:
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT line FROM bulk_line WHERE batch_id = %s AND line BETWEEN %s AND %s", (batch.batch_id, first, last)
        ).fetchall()
    return frozenset(line for (line,) in rows)


def _finish(home: Home, batch: Batch) -> None:
    now = clock.now()
    with home.database.transaction() as tx:
        ended = keeping.end(tx, batch, State.FINISHED, until=now + keeping.kept_for(home), now=now)
    if ended:
        keeping.destroy_questions(home, batch.batch_id, now=now)


def _give_up(home: Home, batch: Batch) -> None:
    """End a batch whose questions cannot be opened any more; what was answered of it stands."""
    now = clock.now()
    with home.database.transaction() as tx:
        ended = keeping.end(tx, batch, State.REFUSED, until=batch.until, now=now, fault="bytes-lost")
    if ended:
        keeping.destroy_questions(home, batch.batch_id, now=now)
