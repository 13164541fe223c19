"""What waits for two officers: opened, changed, approved by each, or refused by one.

A matter is a kind, a content and the digest of both. Whatever changes the content changes the digest, and with it every
approval that was given before says yes to nothing. Two approvals count together if they are of the standing digest, by
officers who still stand, one of each role; an officer has one role and one code, so these are two persons.

Steps of an approval (the numbers are used in the code and the tests), in one transaction:
  1. have the matter for this transaction alone; it is open
  2. the approval is signed by a standing officer over this matter as it stands (`officers.who_says`)
  3. what the kind asks for is there: keys that were read, a trial in a sandbox (`exchange.admission.settling`)
  4. keep it, log it by the officer's code
  5. with one of each role: check what each has signed once more, for it lay in the database; carry it out
     (`exchange.admission.settling`), log that, close the matter

Not here: who may open a matter: a lender by its request, the operator's staff by command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from exchange.admission.errors import NotApproved
from exchange.admission.officers import Role
from exchange.errors import RequestRefused
from exchange.events import Event
from registry import log
from registry.canonical import canonical
from registry.database import Transaction
from registry.suites import sha256

OPEN_MOST: Final = 200  # registrations that came by the open door, have no trial yet, and nobody has decided, of all
OPEN_MOST_OF_ONE: Final = 3  # of one organisation
OPEN_FOR: Final = timedelta(days=60)
KEPT_FOR: Final = timedelta(days=180)  # after the decision; what was decided stands in the log
_RETRY_SECONDS: Final = 3600
_LOCK: Final = 7_118_432  # of pg_advisory_xact_lock: registrations are counted one after the other
_COLUMNS: Final = (
    "matter_id, kind, state, organisation, client_id, content, digest, reason, opened_at, fetched_at, settled_at"
)


class Kind(StrEnum):
    """What is decided of."""

    REGISTRATION = "registration"
    RESUME = "resume"
    CAPS = "caps"
    CERTIFICATE = "certificate"
    REDIRECTS = "redirects"
    CONTACT = "contact"
    OFFICER_ADD = "officer-add"
    OFFICER_END = "officer-end"


class State(StrEnum):
    """How far a matter has come. `RETURNED`: refused for something that the lender can mend and ask again."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"
    RETURNED = "returned"
    EXPIRED = "expired"


class Reason(StrEnum):
    """Why a matter was refused or returned, in published words; the lender reads it."""

    ORGANISATION_UNKNOWN = "organisation-unknown"
    NOT_LICENSED = "not-licensed"
    CONTACT_NOT_REACHED = "contact-not-reached"
    CAPS_TOO_HIGH = "caps-too-high"
    REGIONS_OUTSIDE = "regions-outside"
    KEYS_UNSOUND = "keys-unsound"
    TRIAL_MISSING = "trial-missing"
    WITHDRAWN = "withdrawn-by-the-lender"
    NOT_NEEDED = "not-needed"


@dataclass(frozen=True, slots=True)
class Matter:
    """A matter as it stands."""

    matter_id: UUID
    kind: Kind
    state: State
    organisation: str
    client_id: str | None
    content: dict[str, Any]
    digest: bytes
    reason: str | None
    opened_at: datetime
    fetched_at: datetime | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Approval:
    """An officer's yes that counts: of the standing digest, by an officer who still stands."""

    officer_id: str
    role: Role
    approved_at: datetime
    statement: str


def digest_of(matter_id: UUID, kind: Kind, content: Mapping[str, Any]) -> bytes:
    """Digest what an approval says yes to."""
    return sha256(canonical({"v": 1, "matter_id": str(matter_id), "kind": kind.value, "content": dict(content)}))


def open_(  # what a matter states
    tx: Transaction,
    kind: Kind,
    organisation: str,
    content: Mapping[str, Any],
    *,
    client_id: str | None = None,
    actor: str = "operator",
    now: datetime,
) -> Matter:
    """Open a matter and log it.

    Raises:
        NotApproved: the same is open already.
    """
    matter_id = uuid4()
    same = tx.execute(
        "SELECT FROM matter WHERE settled_at IS NULL AND kind = %s AND content = %s", (kind.value, Jsonb(dict(content)))
    ).fetchone()
    if same is not None:
        raise NotApproved("the same waits for two officers already; see: qingqiao lender requests")
    digest = digest_of(matter_id, kind, content)
    tx.execute(
        "INSERT INTO matter (matter_id, kind, state, organisation, client_id, content, digest, opened_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (matter_id, kind.value, State.OPEN.value, organisation, client_id, Jsonb(dict(content)), digest, now),
    )
    fields: dict[str, Any] = {
        "matter_id": str(matter_id),
        "kind": kind.value,
        "organisation": organisation,
        "client_id": client_id,
        "digest": digest.hex(),
    }
    log.append(tx, [log.Entry(Event.MATTER_OPENED, at=now, actor=actor, fields=fields)])
    return Matter(matter_id, kind, State.OPEN, organisation, client_id, dict(content), digest, None, now, None, None)


def refuse_too_many(tx: Transaction, organisation: str) -> None:
    """Refuse a registration where as many wait as may; counted one after the other.

    One to which a sandbox's trial was added is the organisation's own, and takes up no place.

    Raises:
        RequestRefused: `registrations-too-many`.
    """
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    row = tx.execute(
        "SELECT count(*), count(*) FILTER (WHERE organisation = %s) FROM matter WHERE settled_at IS NULL AND kind = %s"
        " AND content->>'trial' IS NULL",
        (organisation, Kind.REGISTRATION.value),
    ).fetchone()
    if row is not None and (row[0] >= OPEN_MOST or row[1] >= OPEN_MOST_OF_ONE):
        raise RequestRefused("registrations-too-many", retry_after_seconds=_RETRY_SECONDS)


def get(tx: Transaction, matter_id: UUID, *, hold: bool = False) -> Matter | None:
    """Give a matter; with `hold` for this transaction alone."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM matter WHERE matter_id = %s{' FOR UPDATE' if hold else ''}",  # noqa: S608  # fixed texts
        (matter_id,),
    ).fetchone()
    return None if row is None else _of_row(row)


def held(tx: Transaction, matter_id: UUID) -> Matter:
    """Do step 1.

    Raises:
        NotApproved: there is none that is open.
    """
    found = get(tx, matter_id, hold=True)
    if found is None:
        raise NotApproved("no matter has this id; see: qingqiao lender requests")
    if found.state is not State.OPEN:
        raise NotApproved(f"the matter is settled: {found.state.value}")
    refuse_altered(found)
    return found


def refuse_altered(matter: Matter) -> None:
    """Refuse a matter that is not what its digest says, or whose row names another lender than its content.

    Raises:
        NotApproved: somebody has changed the database.
    """
    content = matter.content
    named = (content.get("organisation", matter.organisation), content.get("client_id", matter.client_id))
    same = named == (matter.organisation, matter.client_id) or matter.state is State.APPROVED
    if not same or digest_of(matter.matter_id, matter.kind, content) != matter.digest:
        raise NotApproved("the matter is not what its digest says: the database was changed; call the duty officer")


def waiting(tx: Transaction) -> list[Matter]:
    """Give what is open, the oldest first."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM matter WHERE settled_at IS NULL ORDER BY opened_at, matter_id")  # noqa: S608  # fixed texts
    return [_of_row(row) for row in rows]


def approvals(tx: Transaction, matter: Matter) -> list[Approval]:
    """Give the approvals that count."""
    rows = tx.execute(
        "SELECT a.officer_id, o.role, a.approved_at, a.statement FROM matter_approval a"
        " JOIN officer o USING (officer_id)"
        " WHERE a.matter_id = %s AND a.digest = %s AND o.ended_at IS NULL ORDER BY a.approved_at, a.officer_id",
        (matter.matter_id, matter.digest),
    ).fetchall()
    return [Approval(officer_id, Role(role), at, statement) for officer_id, role, at, statement in rows]


def decided(given: list[Approval]) -> bool:
    """Say whether one of each role has agreed."""
    return {one.role for one in given} == set(Role)


def change(tx: Transaction, matter: Matter, content: Mapping[str, Any], *, actor: str, now: datetime) -> Matter:
    """Put another content in the place of what stood: what was approved before is approved no more."""
    digest = digest_of(matter.matter_id, matter.kind, content)
    tx.execute(
        "UPDATE matter SET content = %s, digest = %s WHERE matter_id = %s",
        (Jsonb(dict(content)), digest, matter.matter_id),
    )
    fields: dict[str, Any] = {"matter_id": str(matter.matter_id), "digest": digest.hex()}
    log.append(tx, [log.Entry(Event.MATTER_CHANGED, at=now, actor=actor, fields=fields)])
    found = get(tx, matter.matter_id)
    if found is None:
        raise NotApproved("no matter has this id")
    return found


def keep_approval(tx: Transaction, matter: Matter, officer_id: str, statement: str, *, now: datetime) -> None:
    """Do step 4."""
    tx.execute(
        "INSERT INTO matter_approval (matter_id, officer_id, digest, statement, approved_at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (matter_id, officer_id) DO UPDATE SET digest = EXCLUDED.digest,"
        " statement = EXCLUDED.statement, approved_at = EXCLUDED.approved_at",
        (matter.matter_id, officer_id, matter.digest, statement, now),
    )
    fields: dict[str, Any] = {"matter_id": str(matter.matter_id), "digest": matter.digest.hex()}
    log.append(tx, [log.Entry(Event.MATTER_APPROVED, at=now, actor=officer_id, fields=fields)])


def settle(  # what is said of a settled matter
    tx: Transaction,
    matter: Matter,
    state: State,
    *,
    officers: list[str],
    reason: Reason | None = None,
    client_id: str | None = None,
    now: datetime,
) -> None:
    """Close a matter and log how it ended."""
    tx.execute(
        "UPDATE matter SET state = %s, reason = %s, client_id = coalesce(%s, client_id), settled_at = %s"
        " WHERE matter_id = %s",
        (state.value, reason, client_id, now, matter.matter_id),
    )
    fields: dict[str, Any] = {
        "matter_id": str(matter.matter_id),
        "kind": matter.kind.value,
        "state": state.value,
        "reason": None if reason is None else reason.value,
        "client_id": client_id or matter.client_id,
        "officers": sorted(officers),
    }
    actor = "+".join(sorted(officers)) or "system"
    log.append(tx, [log.Entry(Event.MATTER_SETTLED, at=now, actor=actor, fields=fields)])


def end_open(tx: Transaction, kind: Kind, client_id: str, *, now: datetime) -> int:
    """End what waits of one kind about a system, since it rests on what is no longer so; say how many."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM matter WHERE settled_at IS NULL AND kind = %s AND client_id = %s FOR UPDATE",  # noqa: S608  # fixed texts
        (kind.value, client_id),
    ).fetchall()
    for row in rows:
        settle(tx, _of_row(row), State.EXPIRED, officers=[], now=now)
    return len(rows)


def forget(tx: Transaction, *, now: datetime) -> int:
    """End what nobody decided in time, and drop what was decided long ago (a job)."""
    due = tx.execute(
        f"SELECT {_COLUMNS} FROM matter WHERE settled_at IS NULL AND opened_at < %s FOR UPDATE SKIP LOCKED",  # noqa: S608  # fixed texts
        (now - OPEN_FOR,),
    ).fetchall()
    for row in due:
        settle(tx, _of_row(row), State.EXPIRED, officers=[], now=now)
    old = (now - KEPT_FOR,)
    tx.execute(
        "DELETE FROM matter_approval a USING matter m WHERE m.matter_id = a.matter_id AND m.settled_at < %s", old
    )
    return len(due) + tx.execute("DELETE FROM matter WHERE settled_at < %s", old).rowcount


def _of_row(row: tuple[Any, ...]) -> Matter:
    matter_id, kind, state, *rest = row
    return Matter(matter_id, Kind(kind), State(state), *rest)
