"""What a lender's system has shown in a sandbox: said by that sandbox, signed, and checked before it is let in.

The statement is a compact JWS of `typ` qq-trial+jws by the sandbox's key of answers over canonical JSON: the sandbox's
log, the organisation, the thumbprints of the system's keys there, and when it first went each step, read from the log:
  token      it asked for something with a token of its own
  permitted  a query was permitted
  refused    a query was refused
  evidence   evidence of an answer was fetched in full

A production installation takes it from the operator together with that sandbox's trust policy (`registry.trust`), and
only if the organisation is the same and one of the keys is: another lender's trial, or another system's, says nothing.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from exchange.admission.errors import NotApproved
from exchange.events import Event
from exchange.home import Home, Mode
from exchange.oauth.jwks import read_jwks
from registry import jws
from registry.canonical import canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.errors import SignatureInvalid
from registry.keyring import Purpose
from registry.trust import TrustPolicy

TYPE: Final = "qq-trial+jws"
STEPS: Final = ("token", "permitted", "refused", "evidence")
GOOD_FOR: Final = timedelta(days=180)
_AHEAD: Final = timedelta(minutes=5)
_STEPS: Final = (
    "SELECT min(at), min(at) FILTER (WHERE event = %(permitted)s), min(at) FILTER (WHERE event = %(refused)s),"
    " min(at) FILTER (WHERE event = %(reopened)s AND fields->'access'->>'form' = 'evidence')"
    " FROM log_entry WHERE event = ANY(%(events)s) AND actor = %(client)s"
)


def gone(tx: Transaction, client_id: str) -> dict[str, datetime | None]:
    """Say when a system first went each step; None: not yet."""
    events = {"permitted": Event.PERMITTED, "refused": Event.REFUSED, "reopened": Event.REOPENED}
    values = {name: one.value for name, one in events.items()}
    row = tx.execute(_STEPS, values | {"events": list(values.values()), "client": client_id}).fetchone()
    return dict(zip(STEPS, row or (None,) * len(STEPS), strict=True))


def stated(home: Home, tx: Transaction, client_id: str, *, now: datetime) -> str:
    """Sign what a system has shown here.

    Raises:
        NotApproved: not a sandbox, no such lender's system, or a step is missing; the sentence says which.
    """
    if home.installation.mode is not Mode.SANDBOX:
        raise NotApproved("a trial is gone in a sandbox")
    row = tx.execute(
        "SELECT organisation, jwks FROM client WHERE client_id = %s AND role = 'lender'", (client_id,)
    ).fetchone()
    if row is None:
        raise NotApproved("no lender's system of this id is registered")
    steps = gone(tx, client_id)
    missing = [name for name, at in steps.items() if at is None]
    if missing:
        raise NotApproved(f"not gone yet: {', '.join(missing)}; see docs/lenders.md")
    said = {
        "v": 1,
        "origin": home.keyring.origin,
        "client_id": client_id,
        "organisation": row[0],
        "thumbprints": sorted(one.key.thumbprint for one in read_jwks(row[1])),
        "steps": {name: rfc3339(at) for name, at in steps.items() if at is not None},
        "at": rfc3339(now),
    }
    key = home.keyring.signing(Purpose.ANSWER)
    return jws.sign(key, key.key_id, canonical(said), TYPE)


def read(
    statement: str, trust: TrustPolicy, *, organisation: str, thumbprints: Collection[str], now: datetime
) -> dict[str, Any]:
    """Check a statement of a sandbox for one organisation and its keys; give what a matter keeps of it.

    Raises:
        NotApproved: not signed by that sandbox, of another organisation or other keys, incomplete, or too old.
    """
    try:
        _, payload = jws.verify(statement, dict(trust.answer_keys), typ=TYPE)
        said = orjson.loads(payload)
        at = datetime.fromisoformat(said["at"])
        origin, steps, of, keys = said["origin"], said["steps"], said["organisation"], frozenset(said["thumbprints"])
    except (SignatureInvalid, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise NotApproved("the trial is not signed by a sandbox of this trust policy") from error
    if origin != trust.origin:
        raise NotApproved("the trial is of another sandbox than the trust policy")
    if of != organisation:
        raise NotApproved("the trial is of another organisation")
    if keys.isdisjoint(thumbprints):
        raise NotApproved(
            "the trial was gone with other keys; one of those that are to be registered must have gone it"
        )
    if not _complete(steps):
        raise NotApproved(f"the trial is not complete: {', '.join(STEPS)}")
    if at.tzinfo is None or not -GOOD_FOR <= at - now <= _AHEAD:
        raise NotApproved(f"the trial is older than {GOOD_FOR.days} days, or of a time to come")
    return {"origin": origin, "steps": steps, "at": said["at"], "statement": statement}


def _complete(steps: object) -> bool:
    return isinstance(steps, Mapping) and all(isinstance(steps.get(name), str) for name in STEPS)
