"""One step by which a system is out, in every process, from its commit on; and the way back in.

What ends, and where it is looked at:
  tokens            `oauth.guard` (7) reads `client.state` with every request; `tokens_from` keeps those of before out
                    for good, also after a resumption (`ending`)
  codes             `oauth.spending` (`client_stands`) when one is redeemed; they are dropped here too
  pushed requests   `oauth.codes.find` joins active clients; they are ended here too, and stay so
  batches           `bulk.working` asks with each block; results need a token. What is not answered waits: after a
                    resumption it goes on, unless its days are over
  pushes            `pushing` asks with each event
  webhook           `monitoring.delivering` serves active clients; the address has to prove itself anew (`ending`)
"""

from datetime import datetime
from typing import Any

from exchange import binding
from exchange.admission import ending, matters, notes
from exchange.events import Event
from exchange.oauth import clients, codes
from registry import log
from registry.database import Transaction


def suspend(tx: Transaction, client_id: str, *, actor: str, now: datetime) -> bool:
    """Send a system away; False if there is none of this id. A person's phone is ended, for ever."""
    binding.end_client(tx, client_id, by=actor, now=now)
    if not clients.set_state(tx, client_id, clients.SUSPENDED):
        return False
    ending.all_of_before(tx, client_id, now=now)
    matters.end_open(tx, matters.Kind.RESUME, client_id, now=now)  # who agreed to let it in did not know of this
    ended = codes.end_all(tx, client_id, now=now)
    fields: dict[str, Any] = {"client_id": client_id, "requests_ended": ended}
    log.append(tx, [log.Entry(Event.CLIENT_SUSPENDED, at=now, actor=actor, fields=fields)])
    notes.leave(tx, client_id, "suspended", {}, now=now)
    return True


def resume(tx: Transaction, client_id: str, *, actor: str, now: datetime) -> bool:
    """Let a system in again; False if there is none of this id."""
    if not clients.set_state(tx, client_id, clients.ACTIVE):
        return False
    ending.tokens_of_before(tx, client_id)  # what slipped out meanwhile
    fields: dict[str, Any] = {"client_id": client_id}
    log.append(tx, [log.Entry(Event.CLIENT_RESUMED, at=now, actor=actor, fields=fields)])
    notes.leave(tx, client_id, "resumed", {}, now=now)
    return True
