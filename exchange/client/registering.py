"""A lender's own registration: asked for, seen, its keys changed, its list of staff kept. Flows, but for the first.

`registration_request` is made before there are credentials: it signs what `POST /v1/registrations` takes, which may be
sent by anything that sends JSON, or handed to the operator as a file.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from joserfc import jwt

from exchange.client.flow import Flow
from exchange.client.keys import Client, Json, Key
from exchange.client.session import Ask, Session

CLIENT_PATH: Final = "/v1/client"
STAFF_PATH: Final = "/v1/staff"
_REQUEST: Final = "qq-registration+jwt"
_PROOF: Final = "qq-key-proof+jwt"


@dataclass(frozen=True, slots=True)
class Staff:
    """A page of a lender's list in its order; `next` is the cursor of the following one, None at the end."""

    staff: tuple[Json, ...] = field(repr=False)
    next: str | None


def registration_request(
    issuer: str, keys: Sequence[Key], stated: Mapping[str, Any], *, now: float | None = None
) -> dict[str, Any]:
    """Sign a request to be registered with each of the keys: the body of `POST /v1/registrations`.

    Args:
        issuer: the exchange's public address.
        keys: private keys of the system, as `new_client("any").key`; only their public halves are sent.
        stated: the other members, as docs/lenders.md lists them: client_name, organisation, uscc, contact …
        now: seconds since 1970, unless this machine's clock says so.
    """
    at = time.time() if now is None else now
    claims = {**stated, "jwks": {"keys": [_public(one) for one in keys]}, **_now_and_once(issuer, at)}
    proofs = [_proof(one, keys, issuer, at) for one in keys[1:]]
    return {"request": _signed(keys[0], _REQUEST, claims), "proofs": proofs}


def own_registration(session: Session) -> Flow[Json]:
    """See what is registered of this system, what of it ends soon, and what happened to it."""
    found: Json = (yield from session.call(Ask("GET", CLIENT_PATH, safe=True))).json()
    return found


def change_keys(session: Session, keys: Sequence[Key], *, overlap_days: int = 0) -> Flow[Json]:
    """Put keys in the place of those that stand; give the set. This session's key signs for it, as each new one does.

    A session whose own key is not among them goes on for `overlap_days`, and without any ends at once: open another
    with one of the new keys.

    Args:
        session: whose; its key stands, and was not replaced before.
        keys: private keys; only their public halves are sent. This session's own may be among them.
        overlap_days: for so long those that are left out are still taken.

    Raises:
        RequestWrong: keys that nobody may register, that are another's, or that were taken out; or somebody else
            changed them meanwhile.
    """
    path, mine = f"{CLIENT_PATH}/keys", session.client
    standing = yield from session.call(Ask("GET", path, safe=True))
    fresh = [one for one in keys if one.thumbprint() != mine.key.thumbprint()]
    proofs = [_proof(one, keys, session.issuer, session.now(), mine.client_id) for one in (mine.key, *fresh)]
    body = {"jwks": {"keys": [_public(one) for one in keys]}, "proofs": proofs, "overlap_days": overlap_days}
    headers = {"If-Match": standing.headers["ETag"]}
    changed: Json = (yield from session.call(Ask("PUT", path, json=body, headers=headers))).json()
    return changed


def put_staff(session: Session, user_id: str, department: str, *, last: str, first: str | None = None) -> Flow[Json]:
    """Put a person on the list, or other words in the place of what stood; days as 2026-06-01, a year at most."""
    body = {"department": department, "last": last} | ({} if first is None else {"first": first})
    kept: Json = (yield from session.call(Ask("PUT", _of(user_id), json=body, safe=True))).json()
    return kept


def end_staff(session: Session, user_id: str) -> Flow[None]:
    """Take a person off the list at once.

    Raises:
        RequestWrong: nobody of this code is on it.
    """
    yield from session.call(Ask("DELETE", _of(user_id)))


def staff(session: Session, cursor: str | None = None, *, most: int = 100, history: bool = False) -> Flow[Staff]:
    """List this lender's staff: a page behind a cursor; with `history` entries that were closed, too."""
    stated = {"limit": str(most), "history": str(history).lower()}
    params = stated | ({} if cursor is None else {"cursor": cursor})
    said = (yield from session.call(Ask("GET", STAFF_PATH, params=params, safe=True))).json()
    return Staff(tuple(said["staff"]), said["next"])


def _of(user_id: str) -> str:
    return f"{STAFF_PATH}/{quote(user_id, safe='')}"


def _public(key: Key) -> dict[str, Any]:
    jwk: dict[str, Any] = Client("", key).jwks["keys"][0]
    return jwk


def _proof(key: Key, keys: Sequence[Key], issuer: str, now: float, client_id: str | None = None) -> str:
    named = {} if client_id is None else {"client_id": client_id}
    thumbprints = sorted(one.thumbprint() for one in keys)
    return _signed(key, _PROOF, {"thumbprints": thumbprints, **named, **_now_and_once(issuer, now)})


def _now_and_once(issuer: str, now: float) -> dict[str, Any]:
    return {"aud": issuer.rstrip("/"), "iat": int(now), "jti": str(uuid4())}


def _signed(key: Key, typ: str, claims: Mapping[str, Any]) -> str:
    algorithm = Client("", key).algorithm
    header = {"alg": algorithm, "kid": key.thumbprint(), "typ": typ}
    return jwt.encode(header, dict(claims), key, algorithms=[algorithm])
