"""How a lender asks a person on the page: pushed requests and codes (RFC 9126, 7636, 9396, 9449, 9207). Flows.

    asked = lender.push({…}, redirect_uri=…)       # over the lender's own connection
    → send the person's browser to `asked.page`
    ← it comes back to redirect_uri with `code`, `iss` and `state`, or with `error`
    granted = lender.redeem(asked, the query of that address)

`redeem` compares `state` and `iss` before anything is sent anywhere: another server's answer is not ours. The code is
bound to this session's key: who pushed must redeem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import orjson

from exchange.client.consents import CreditData
from exchange.client.errors import NotAgreed, NotGenuine
from exchange.client.flow import Flow
from exchange.client.keys import Json, s256
from exchange.client.session import Ask, Session
from registry.suites import constant_time_equal


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was pushed, and what has to be remembered until the person comes back."""

    page: str
    request_uri: str
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a person agreed to, and a token that serves this one agreement until it ends."""

    consent_id: str | None
    details: Json = field(repr=False)
    token: str = field(repr=False)
    expires_in: float


def push(session: Session, wanted: CreditData, *, redirect_uri: str) -> Flow[Asked]:
    """Push a request for one consent.

    Raises:
        RequestWrong, AccessRefused: with OAuth's error; the terms would not do, or the redirect URI is not registered.
        Refused, NotReached: as every call.
    """
    verifier, state = uuid4().hex + uuid4().hex, uuid4().hex
    path = yield from session.endpoint("pushed_authorization_request_endpoint")
    page = yield from session.endpoint("authorization_endpoint")
    reply = yield from session.post_form(
        path,
        {
            "client_id": session.client.client_id,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
            "authorization_details": orjson.dumps([{"type": "credit_data", **wanted}]).decode(),
        },
    )
    request_uri = str(reply.get("request_uri", ""))
    query = urlencode({"client_id": session.client.client_id, "request_uri": request_uri})
    return Asked(f"{session.issuer}{page}?{query}", request_uri, redirect_uri, state, verifier)


def redeem(session: Session, asked: Asked, answer: Mapping[str, str]) -> Flow[Granted]:
    """Fetch what the person agreed to, once, within a minute.

    Raises:
        NotAgreed: the person refused, or the answer is for another request or from another server.
        RequestWrong: the code does not hold (any more).
        Refused, NotReached: as every call.
    """
    if not constant_time_equal(answer.get("state", "").encode(), asked.state.encode()):
        raise NotAgreed("answer-of-another-request")
    if answer.get("iss") != session.issuer:
        raise NotAgreed("answer-of-another-server")
    if "code" not in answer:
        raise NotAgreed(answer.get("error", ""))
    path = yield from session.endpoint("token_endpoint")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": asked.redirect_uri,
        "code_verifier": asked.verifier,
    }
    reply = yield from session.post_form(path, form, safe=False)
    try:
        details: dict[str, Any] = reply["authorization_details"][0]
        token, expires_in = str(reply["access_token"]), float(reply["expires_in"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise NotGenuine("the token endpoint's answer grants nothing") from None
    return Granted(details.get("consent_id"), details, token, expires_in)


def introspect(session: Session, token: str | None = None) -> Flow[Json]:
    """Ask what a token of this client is worth now (RFC 7662); without one, the session's own."""
    path = yield from session.endpoint("introspection_endpoint")
    asked = token or (yield from session.token())
    said = yield from session.post_form(path, {"token": asked}, proven=False)
    return said


def revoke(session: Session, token: str | None = None) -> Flow[None]:
    """Take a token of this client back (RFC 7009); without one, the session's own, which is forgotten."""
    path = yield from session.endpoint("revocation_endpoint")
    taken = token or session.forget_token()
    if taken:
        yield from session.post_form(path, {"token": taken}, proven=False)


def see_grant(session: Session, consent_id: str) -> Flow[Json]:
    """See what a consent that was agreed to permits now (Grant Management §6.3): `scopes`, `authorization_details`.

    Raises:
        RequestWrong: none of this lender's stands under the id.
    """
    path = yield from session.endpoint("grant_management_endpoint")
    response = yield from session.call(Ask("GET", f"{path}/{quote(consent_id, safe='')}", safe=True))
    seen: Json = response.json()
    return seen


def give_up_grant(session: Session, consent_id: str) -> Flow[None]:
    """Give a consent up (Grant Management §6.4): it ends, and every token that rests on it.

    Raises:
        RequestWrong: none of this lender's stands under the id.
    """
    path = yield from session.endpoint("grant_management_endpoint")
    yield from session.call(Ask("DELETE", f"{path}/{quote(consent_id, safe='')}"))
