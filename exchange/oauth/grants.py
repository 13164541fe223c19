"""Which agreement a new one takes the place of (Grant Management for OAuth 2.0, FAPI WG). A grant is a consent.

`grant_management_action` is `create` (or left out) for a consent beside those that stand, and `replace` with `grant_id`
for one that ends another at the moment when the person agrees. `merge` is refused: consents are never added together,
since a person agreed to neither as a part of a whole (`consent.decision`).

Replaced is a consent of the same lender and purpose that is in force (`replaceable`), and of the same person, which is
seen when somebody has agreed, in the ledger: whoever else agrees ends the request without a word of why. Seeing and
giving up a grant is a door of its own (`exchange.grants_api`).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from authlib.oauth2.rfc6749.errors import InvalidRequestError

from consent.grant import ENDED
from exchange.oauth.refused import InvalidGrantId
from registry.database import Transaction

ACTIONS: Final = ("query", "revoke", "create", "replace")
_CREATE: Final = "create"
_REPLACE: Final = "replace"
_GRANT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_STANDS: Final = (
    "SELECT FROM consent WHERE consent_id = %s AND recipient = %s AND purpose = %s AND state <> ALL(%s)"
    " AND state <> 'requested' AND valid_until > %s"
)


def to_replace(form: Mapping[str, str]) -> str | None:
    """Read what a request says about grants; give the one that it is to replace, None for a new one beside others.

    Raises:
        InvalidRequestError: an action that is not supported, or a `grant_id` that does not go with it.
        InvalidGrantId: `grant_id` is no id of ours.
    """
    action, grant_id = form.get("grant_management_action"), form.get("grant_id")
    if action not in (None, _CREATE, _REPLACE):
        raise InvalidRequestError("grant_management_action is create or replace")
    if (grant_id is not None) != (action == _REPLACE):
        raise InvalidRequestError("grant_id goes with grant_management_action replace, and with no other")
    if grant_id is not None and not _GRANT_ID.fullmatch(grant_id):
        raise InvalidGrantId("grant_id: no grant of yours for this purpose that is in force")
    return grant_id


def replaceable(tx: Transaction, grant_id: str | None, organisation: str, purpose: str, *, now: datetime) -> bool:
    """Say whether what a request is to replace is a consent of its lender, for its purpose, in force; or nothing."""
    if grant_id is None:
        return True
    ended = [state.value for state in ENDED]
    return tx.execute(_STANDS, (grant_id, organisation, purpose, ended, now)).fetchone() is not None
