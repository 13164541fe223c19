"""Keys of a lender's system: since when they stand, which of them leave, and the lender's own change of them.

What counts is `client.jwks`, which every deciding statement compares (`oauth.spending`): a key that is taken out of it
is of no use in any process from that commit on, and tokens that were got with the old set end with it
(`client.tokens_from`); after an overlap they live out their ten minutes. `client_key` beside it says since when each
key stands, and which are taken only until `leaves_at`. A row stays when its key has gone: a key is one system's, once.

Steps of a change by the lender (the numbers are used in the code and the tests):
  1. have the client's row, active, its keys changed here and not at an address
  2. If-Match is the tag of the set that stands
  3. each new key has signed for the new set (`oauth.possession`), and so has one that stands and is not about to leave;
     each proof is spent. So nobody changes keys with a token, a certificate or a key that was replaced
  4. no new key is, or was, another's or a former one of its own
  5. write the set: what was asked for, and for `overlap_days` what it takes the place of
  6. log it, note it for whoever answers for the system; without overlap end what was got before (`ending`)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from exchange.admission import ending, notes
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.oauth import possession, spending
from exchange.oauth.clients import ACTIVE
from exchange.oauth.jwks import RegisteredKey, kept, read_jwks
from registry import log
from registry.canonical import b64url, canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.suites import sha256

MOST_OVERLAP_DAYS: Final = 30
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """A system's set as it stands, by its row."""

    client_id: str
    organisation: str
    jwks: Mapping[str, Any]
    by_url: bool

    @property
    def tag(self) -> str:
        """The entity tag of the set."""
        return f'"{b64url(sha256(canonical(sorted(one.key.thumbprint for one in read_jwks(self.jwks)))))[:27]}"'


@dataclass(frozen=True, slots=True)
class KeyDates:
    """A key's dates. `kid` as its owner calls it."""

    thumbprint: str
    kid: str | None
    added_at: datetime
    leaves_at: datetime | None


def standing(tx: Transaction, client_id: str, *, hold: bool = False) -> Standing | None:
    """Give an active system's set; with `hold` its row is had by this transaction alone."""
    row = tx.execute(
        "SELECT c.organisation, c.jwks, p.jwks_uri IS NOT NULL FROM client c LEFT JOIN client_profile p"  # noqa: S608  # fixed texts
        " ON p.client_id = c.client_id WHERE c.client_id = %s AND c.state = %s" + (" FOR UPDATE OF c" if hold else ""),
        (client_id, ACTIVE),
    ).fetchone()
    return None if row is None else Standing(client_id, *row)


def dates(tx: Transaction, client_id: str) -> list[KeyDates]:
    """Give the dates of the keys that stand; those of before dates were kept stand since the registration."""
    row = tx.execute("SELECT jwks, created_at FROM client WHERE client_id = %s", (client_id,)).fetchone()
    if row is None:
        return []
    known = {
        thumbprint: (added, leaves)
        for thumbprint, added, leaves in tx.execute(
            "SELECT thumbprint, added_at, leaves_at FROM client_key WHERE client_id = %s", (client_id,)
        )
    }
    return [
        KeyDates(one.key.thumbprint, one.kid, *known.get(one.key.thumbprint, (row[1], None)))
        for one in read_jwks(row[0])
    ]


def change(  # what a change states
    tx: Transaction,
    client_id: str,
    jwks: Mapping[str, Any],
    proofs: Sequence[str],
    *,
    if_match: str | None,
    overlap_days: int,
    issuer: str,
    now: datetime,
) -> Standing:
    """Do steps 1 to 6; give the set that stands now.

    Raises:
        RequestRefused: `not-found`, `keys-by-url`, `keys-changed`, `possession-unproven`, `key-anothers`.
        KeyRefused: a set, or with what overlaps a set, that nobody may register.
    """
    before = standing(tx, client_id, hold=True)  # 1
    if before is None:
        raise RequestRefused("not-found")
    if before.by_url:
        raise RequestRefused("keys-by-url")
    if if_match is None or if_match.strip() != before.tag:  # 2
        raise RequestRefused("keys-changed")
    wanted = read_jwks(jwks)
    names = [one.key.thumbprint for one in wanted]
    had = {one.key.thumbprint for one in read_jwks(before.jwks)}
    fresh = [one for one in wanted if one.key.thumbprint not in had]
    leaving = {one.thumbprint for one in dates(tx, client_id) if one.leaves_at is not None}
    back = [one for one in wanted if one.key.thumbprint in leaving]
    spends = possession.prove_each(  # 3
        proofs,
        [*fresh, *back],
        standing=names,
        client_id=client_id,
        issuer=issuer,
        now=now,
        vouchers=[one for one in read_jwks(before.jwks) if one.key.thumbprint not in leaving],
    )
    if not all(spending.spend(tx, one) for one in spends):
        raise RequestRefused("possession-unproven", "a proof was used before")
    refuse_anothers(tx, client_id, [one.key.thumbprint for one in fresh], also_own=True)  # 4
    until = now + timedelta(days=overlap_days) if overlap_days else None
    return _put(tx, before, jwks, until=until, actor=client_id, now=now)  # 5, 6


def replace(tx: Transaction, client_id: str, jwks: Mapping[str, Any], *, actor: str, now: datetime) -> bool:
    """Put a set that was read from the lender's address in the place of what stood; False if it is the same.

    Raises:
        RequestRefused: `key-anothers`; or `not-found`: the system is not active.
    """
    before = standing(tx, client_id, hold=True)
    if before is None:
        raise RequestRefused("not-found")
    had = {one.key.thumbprint for one in read_jwks(before.jwks)}
    wanted = {one.key.thumbprint for one in read_jwks(jwks)}
    if wanted == had:
        return False
    refuse_anothers(tx, client_id, sorted(wanted - had), also_own=True)
    _put(tx, before, jwks, until=None, actor=actor, now=now)
    return True


def _put(
    tx: Transaction, before: Standing, jwks: Mapping[str, Any], *, until: datetime | None, actor: str, now: datetime
) -> Standing:
    wanted = {one.key.thumbprint for one in read_jwks(jwks)}
    old = {one.key.thumbprint: jwk for one, jwk in zip(read_jwks(before.jwks), before.jwks["keys"], strict=True)}
    leaving = [thumbprint for thumbprint in old if thumbprint not in wanted]
    both = {"keys": [*kept(jwks)["keys"], *(old[one] for one in leaving if until is not None)]}
    written = read_jwks(both)  # both together are a set that anybody may register
    _note_dates(tx, before.client_id, [one for one in written if one.key.thumbprint in wanted], now)
    tx.execute(
        "UPDATE client SET jwks = %s::jsonb WHERE client_id = %s", (orjson.dumps(both).decode(), before.client_id)
    )
    if leaving and until is None:
        ending.all_of_before(tx, before.client_id, now=now)
    if leaving:
        _mark_leaving(tx, before.client_id, leaving, until or now)
    fields: dict[str, Any] = {
        "client_id": before.client_id,
        "added": sorted(wanted - old.keys()),
        "leaving": sorted(leaving),
        "leaves_at": None if until is None or not leaving else rfc3339(until),
    }
    log.append(tx, [log.Entry(Event.CLIENT_KEYS_CHANGED, at=now, actor=actor, fields=fields)])
    notes.leave(
        tx,
        before.client_id,
        "keys-changed",
        {"by": actor, **{k: v for k, v in fields.items() if k != "client_id"}},
        now=now,
    )
    return Standing(before.client_id, before.organisation, both, before.by_url)


def _mark_leaving(tx: Transaction, client_id: str, thumbprints: Sequence[str], at: datetime) -> None:
    """Say until when keys are taken; one that was to leave sooner still does."""
    tx.execute(
        "INSERT INTO client_key (client_id, thumbprint, added_at, leaves_at)"
        " SELECT c.client_id, t.thumbprint, c.created_at, %s FROM client c, unnest(%s::text[]) AS t(thumbprint)"
        " WHERE c.client_id = %s ON CONFLICT (client_id, thumbprint) DO UPDATE"
        " SET leaves_at = least(client_key.leaves_at, EXCLUDED.leaves_at)",
        (at, list(thumbprints), client_id),
    )


def _note_dates(tx: Transaction, client_id: str, keys: Sequence[RegisteredKey], now: datetime) -> None:
    """Note keys that are asked for; one that stood keeps its first day, and leaves no more."""
    tx.execute(
        "INSERT INTO client_key (client_id, thumbprint, added_at) SELECT %s, t, %s FROM unnest(%s::text[]) AS t"
        " ON CONFLICT (client_id, thumbprint) DO UPDATE SET leaves_at = NULL",
        (client_id, now, [one.key.thumbprint for one in keys]),
    )


def refuse_anothers(
    tx: Transaction, client_id: str | None, thumbprints: Sequence[str], *, also_own: bool = False
) -> None:
    """Refuse keys that are or were another system's, with `also_own` also those of its own that have gone.

    Raises:
        RequestRefused: `key-anothers`.
    """
    noted = tx.execute(
        "SELECT FROM client_key WHERE thumbprint = ANY(%s) AND (client_id IS DISTINCT FROM %s OR %s) LIMIT 1",
        (list(thumbprints), client_id, also_own),
    ).fetchone()
    if noted is not None:
        raise RequestRefused("key-anothers")


def let_leave(tx: Transaction, *, now: datetime) -> int:
    """Take out keys whose overlap is over (a job); say of how many systems."""
    due = tx.execute(
        "SELECT DISTINCT k.client_id FROM client_key k JOIN client c USING (client_id)"
        " WHERE k.leaves_at <= %s ORDER BY 1",
        (now,),
    ).fetchall()
    changed = 0
    for (client_id,) in due:
        gone = {one.thumbprint for one in dates(tx, client_id) if one.leaves_at is not None and one.leaves_at <= now}
        if gone and _take_out(tx, client_id, gone, now):
            changed += 1
        if changed == _AT_ONCE:
            break
    return changed


def _take_out(tx: Transaction, client_id: str, gone: set[str], now: datetime) -> bool:
    row = tx.execute("SELECT jwks FROM client WHERE client_id = %s FOR UPDATE", (client_id,)).fetchone()
    if row is None:
        return False
    pairs = list(zip(read_jwks(row[0]), row[0]["keys"], strict=True))
    left = [jwk for one, jwk in pairs if one.key.thumbprint not in gone]
    if not left or len(left) == len(pairs):
        return False
    tx.execute(
        "UPDATE client SET jwks = %s::jsonb WHERE client_id = %s", (orjson.dumps({"keys": left}).decode(), client_id)
    )
    fields: dict[str, Any] = {"client_id": client_id, "thumbprints": sorted(gone)}
    log.append(tx, [log.Entry(Event.CLIENT_KEYS_LEFT, at=now, actor="system", fields=fields)])
    return True
