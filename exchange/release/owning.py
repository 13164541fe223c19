"""The subject's entrance of the gate: a person sees what is held about him or her (PIPL §45, 征信业管理条例 §17).

Steps (the numbers are used in the code):
  1. open one transaction
  2. decide: the phone is active, speaks for this person, is not on trial, and has not asked too often today
  3. write to the log that the person's own records were opened, and which
  4. open them: all kinds, every field that is held, nothing of anybody else
  5. commit; only then hand them on

It is free, at least twice a year by law (R-43) and in practice as often as a person can read. The bound of a day stands
against a stolen phone and a looping program. Records that a withdrawal froze are shown to nobody, their subject
included: they are on their way to being shredded.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from exchange import binding
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from registry import catalogue, clock, disclosure, log, store
from registry.canonical import JSON
from registry.clock import BEIJING, beijing_day
from registry.database import Transaction
from registry.records import OpenedRecord

FREE_A_YEAR: Final = 2  # what the law asks for at least
A_DAY_MOST: Final = 30


@dataclass(frozen=True, slots=True)
class Owned:
    """A person's own records, opened; and how often they were opened this year, this time included."""

    records: tuple[OpenedRecord, ...]
    opened_at: datetime
    opened_this_year: int


def open_own(home: Home, client_id: str, *, purpose: str) -> Owned:
    """Open all that is held about the person whose phone asks.

    Args:
        home: the installation.
        client_id: the phone, admitted.
        purpose: what it is opened for: `reading`, `export`.

    Raises:
        RequestRefused: the phone speaks for nobody, is on trial, or it was asked too often today.
        TokenRefused: the phone was ended meanwhile.
        SealBroken, ProofFailed: a record does not open as it was sealed. Call the duty officer.
    """
    now = clock.now()
    with home.database.transaction() as tx:  # 1, 5
        subject_id = binding.subject_of(tx, client_id)  # 2
        if subject_id is None:
            raise RequestRefused("phone-unknown")
        binding.hold_owner(tx, client_id, subject_id)  # so that two questions at once are counted one after the other
        if binding.on_trial(tx, client_id, now=now) is not None:
            raise RequestRefused("phone-on-trial")
        today, this_year = opened_before(tx, subject_id, now=now)
        if today >= A_DAY_MOST:
            raise RequestRefused("too-often", "your own records were opened as often today as they may be")
        kinds = catalogue.current().kinds
        sealed = store.visible(tx, {(subject_id, kind) for kind in kinds})
        fields: dict[str, JSON] = {"purpose": purpose, "records": [record.commitment.hex() for record in sealed]}
        entry = log.Entry(event=Event.OWN_OPENED, at=now, actor=client_id, fields=fields, subject_id=subject_id)
        log.append(tx, [entry])  # 3
        wanted = [disclosure.Wanted(record, kinds[record.kind].fields.keys()) for record in sealed]
        opened = disclosure.open_records(home.datakeys, wanted)  # 4
    return Owned(tuple(opened), now, this_year + 1)


def opened_before(tx: Transaction, subject_id: UUID, *, now: datetime) -> tuple[int, int]:
    """Say how often a person has opened the own records: within a day, and in this year of Beijing."""
    new_year = datetime(beijing_day(now).year, 1, 1, tzinfo=BEIJING)
    row = tx.execute(
        "SELECT count(*) FILTER (WHERE at > %s), count(*) FROM log_entry WHERE subject_id = %s AND event = %s"
        " AND at >= %s",
        (now - timedelta(days=1), subject_id, Event.OWN_OPENED.value, min(new_year, now - timedelta(days=1))),
    ).fetchone()
    day, year = row or (0, 0)
    return day, year
