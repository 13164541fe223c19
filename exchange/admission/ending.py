"""What ends when a system is sent away or its credentials are replaced: whoever had them may be somebody else.

  tokens     those that are issued until the change commits (`client.tokens_from`). The moment is taken with the
             client's row held, and `oauth.spending.issue` shares that row until its own commit: a token was written
             before the moment, or sees what stands after it. The clocks of those who write both agree within seconds
  webhook    an address that this system registered is unproven, until it is asked for (`POST /v1/webhook/test`) and
             answers. It is another one from then on, so a challenge or an event that is under way proves nothing

Not here: codes and pushed requests (`suspending`), which no other key can use.
"""

from datetime import datetime
from uuid import uuid4

from exchange.admission import notes
from registry import clock
from registry.database import Transaction


def tokens_of_before(tx: Transaction, client_id: str) -> None:
    """End all tokens of a system that have been issued."""
    tx.execute("SELECT FROM client WHERE client_id = %s FOR NO KEY UPDATE", (client_id,))
    tx.execute("UPDATE client SET tokens_from = %s WHERE client_id = %s", (clock.now(), client_id))


def all_of_before(tx: Transaction, client_id: str, *, now: datetime) -> None:
    """End all tokens of a system, and the proof of the address that it registered; leave a note of that."""
    tokens_of_before(tx, client_id)
    unproven = tx.execute(
        "UPDATE webhook SET webhook_id = %s, verified_at = NULL, asked_at = NULL, challenges = 0"
        " WHERE client_id = %s AND (verified_at IS NOT NULL OR asked_at IS NOT NULL)",
        (uuid4(), client_id),
    )
    if unproven.rowcount:
        notes.leave(tx, client_id, "webhook-unproven", {}, now=now)
