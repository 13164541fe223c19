"""The statement of a person (本人声明): at most 200 characters, shown with answers (R-42).

One stands at a time; a new one takes its place, and the person can take it back. It is sealed under the subject's data
key, shown with every answer in mode summary or above while it stands (`release.marking`), and never in mode verify.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.release.marking import hold_answers
from exchange.release.words import Where, open_words, seal_words
from registry import log
from registry.database import Transaction

CHARACTERS_MOST: Final = 200
A_DAY_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that stands."""

    statement_id: UUID
    text: str = field(repr=False)
    made_at: datetime


def make(tx: Transaction, home: Home, subject_id: UUID, text: str, *, by: str, now: datetime) -> Statement:
    """Put a statement in the place of the one before.

    Raises:
        RequestRefused: it was changed too often today.
    """
    hold_answers(tx, subject_id)  # the gate comes before or after this, never between
    row = tx.execute(
        "SELECT count(*) FROM subject_statement WHERE subject_id = %s AND made_at > %s",
        (subject_id, now - timedelta(days=1)),
    ).fetchone()
    if row is not None and row[0] >= A_DAY_MOST:
        raise RequestRefused("too-often", "the statement was changed as often today as it may be")
    _end(tx, subject_id, now)
    statement_id = uuid4()
    sealed = seal_words(home, (subject_id, Where.STATEMENT, statement_id), text, now=now)
    tx.execute(
        "INSERT INTO subject_statement (statement_id, subject_id, sealed, made_at) VALUES (%s, %s, %s, %s)",
        (statement_id, subject_id, sealed, now),
    )
    _say(tx, Event.STATEMENT_MADE, subject_id, statement_id, by, now)
    return Statement(statement_id, text, now)


def take_back(tx: Transaction, subject_id: UUID, *, by: str, now: datetime) -> bool:
    """Take the standing statement back; False if there is none."""
    hold_answers(tx, subject_id)
    ended = _end(tx, subject_id, now)
    if ended is not None:
        _say(tx, Event.STATEMENT_ENDED, subject_id, ended, by, now)
    return ended is not None


def standing(tx: Transaction, home: Home, subject_id: UUID) -> Statement | None:
    """Read the statement that stands, for its own author."""
    row = tx.execute(
        "SELECT statement_id, sealed, made_at FROM subject_statement WHERE subject_id = %s AND ended_at IS NULL",
        (subject_id,),
    ).fetchone()
    if row is None:
        return None
    statement_id, sealed, made_at = row
    place = (subject_id, Where.STATEMENT, statement_id)
    text = open_words(home, {place: sealed}).get(place)
    return None if text is None else Statement(statement_id, text, made_at)


def _end(tx: Transaction, subject_id: UUID, now: datetime) -> UUID | None:
    row = tx.execute(
        "UPDATE subject_statement SET ended_at = %s WHERE subject_id = %s AND ended_at IS NULL RETURNING statement_id",
        (now, subject_id),
    ).fetchone()
    return row[0] if row else None


def _say(tx: Transaction, event: Event, subject_id: UUID, statement_id: UUID, by: str, now: datetime) -> None:
    fields = {"statement_id": str(statement_id)}
    log.append(tx, [log.Entry(event=event, at=now, actor=by, fields=fields, subject_id=subject_id)])
