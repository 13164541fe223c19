"""The gate's read of consents, under lock, and its count of uses. Nothing is cached here, ever.

  lock    what subjects gave recipients, FOR UPDATE, in consent-id order
  count   one use or more of each consent, in the whole and in the calendar month (Beijing) of `now`

A use is never given back: what was counted before a line dropped was counted (docs/adr/0022). The month's count stands
in the consent's own row, so that whoever had to wait for the lock reads it as it is, not as it was before.
It does not decide (consent.decision).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from consent import purposes
from consent.errors import UsesExhausted
from consent.grant import Grant, State, month_of, told
from consent.scope import Mode, Scope
from registry.arrays import Ids
from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A consent as the gate reads it: whose it is, what consent.decision takes.

    With its receipt's SHA-256 (hex) and the log entry that commits to the receipt.
    """

    subject_id: UUID
    grant: Grant
    receipt_sha256: str
    receipt_entry: UUID


_LOCK: Final = (
    "SELECT subject_id, consent_id, state, state_at, uses, month, month_uses, reconfirm_by, recipient, purpose,"
    " items, history_months, valid_from, valid_until, max_uses, mode, w_acknowledged, sensitive_agreed, uses_per_month,"
    " data_life_days, encode(sha256(convert_to(receipt, 'UTF8')), 'hex'), receipt_entry"
    " FROM consent WHERE subject_id = ANY(%b) AND recipient = ANY(%s) ORDER BY consent_id FOR UPDATE"
)


def lock(tx: Transaction, subject_ids: Collection[UUID], recipients: Collection[str]) -> list[StoredGrant]:
    """Read and lock what these subjects gave these recipients, ended consents included, in consent-id order.

    One statement, however many subjects. Until the transaction ends nobody can withdraw, count or change these
    consents; a withdrawal that was waiting is seen by the next `lock`. Scopes and data lives are cut to the caps of
    today, whichever version of the purposes a consent was given under.
    """
    configured = purposes.current()
    found = []
    for row in tx.execute(_LOCK, (Ids([one.bytes for one in subject_ids]), list(set(recipients))), binary=True):
        subject_id, consent_id, state, at, counted, month, month_uses, reconfirm_by, *edges, agreed, digest, entry = row
        recipient, code, items, history, since, until, most, mode, w, sensitive, a_month = edges
        scope = Scope(recipient, code, frozenset(items), history, since, until, most, Mode(mode), w, sensitive, a_month)
        purpose = configured.get(code)
        life = agreed or 0  # of a purpose that is gone; nothing is released for it anyway
        if purpose is not None:
            scope, life = purpose.narrowed(scope), purpose.life_days(agreed)
        stands = told(State(state), since=at, valid_until=until)
        grant = Grant(consent_id, scope, stands, counted, month, month_uses, reconfirm_by, life)
        found.append(StoredGrant(subject_id, grant, digest, entry))
    return found


# A month that is over stays as it was counted: the later one stands. The ids lead to an index, a join to a whole table.
_COUNT: Final = """
UPDATE consent SET uses = uses + (given.of->>consent_id)::int, month = greatest(month, %(month)s),
    month_uses = CASE WHEN month >= %(month)s THEN month_uses ELSE 0 END + (given.of->>consent_id)::int
FROM (SELECT %(uses)b::text::jsonb AS of) AS given
WHERE consent_id = ANY(%(ids)s) AND state = 'active' AND uses + (given.of->>consent_id)::int <= max_uses
    AND (uses_per_month IS NULL OR CASE WHEN month >= %(month)s THEN month_uses ELSE 0 END
        + (given.of->>consent_id)::int <= uses_per_month)
"""


def count(tx: Transaction, uses: Mapping[str, int], now: datetime) -> None:
    """Count uses by consent id, in one statement. A use is never given back.

    Raises:
        UsesExhausted: a consent has fewer uses left, or is not in force: the caller did not hold its lock when it
            decided. The transaction must be rolled back.
    """
    if not uses:
        return
    ordered = sorted(uses.items())
    if any(times < 1 for _, times in ordered):
        raise ValueError("a count of uses below one")
    asked = {
        "uses": orjson.dumps(dict(ordered)).decode(),  # an array a column costs the driver more
        "ids": [consent_id for consent_id, _ in ordered],
        "month": month_of(now),
    }
    counted = tx.execute(_COUNT, asked).rowcount
    if counted != len(ordered):
        raise UsesExhausted(f"{len(ordered) - counted} of {len(ordered)} consents have not the uses that were decided")
