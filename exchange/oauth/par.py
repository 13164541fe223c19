"""Pushed authorization requests (RFC 9126): a lender asks, over its own connection, for a person's agreement. Pure.

Steps (the numbers are used in the code and the tests):
  1. the client proves itself (`authenticating`)                                (invalid_client)
  2. it is a lender's, and asks for itself; nothing is taken by reference       (unauthorized_client, invalid_request)
  3. response_type is code, PKCE is there and is S256       (unsupported_response_type, invalid_request)
  4. the code will be bound to a key: a DPoP proof, `dpop_jkt`, or both alike; without them to the client's certificate
                                                                                (invalid_dpop_proof, invalid_request)
  5. scopes and resource are this client's                                      (invalid_scope, invalid_target)
  6. `authorization_details` is one credit_data whose terms a consent may have  (invalid_authorization_details)
  7. a grant to be replaced is named as Grant Management has it          (invalid_request, invalid_grant_id; `grants`)
  8. in one transaction: assertion and proof are spent, the client is active with the same keys, the redirect URI is one
     of its own letter by letter, it is known how the lender is reached, a grant to be replaced is its own, in force and
     for the same purpose, the request is kept                                  (`codes.push`, `grants.replaceable`)
     unless the organisation has too many                       (temporarily_unavailable; `codes.full_for_seconds`)

Terms are refused here, before a person is asked: nobody shall agree to what cannot be recorded. Parameters that are not
known are ignored, as RFC 6749 §3.1 wants.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from authlib.oauth2.rfc6749.errors import InvalidRequestError, UnauthorizedClientError, UnsupportedResponseTypeError

from consent.errors import TermsRefused
from exchange import credit_data
from exchange.credit_data import CreditData
from exchange.errors import RequestRefused
from exchange.oauth import grants, pkce
from exchange.oauth.authenticating import authenticate, owns, proof_of
from exchange.oauth.binding import Bound
from exchange.oauth.certificates import thumbprint
from exchange.oauth.clients import Directory, Registration
from exchange.oauth.profile import Profile
from exchange.oauth.refused import InvalidAuthorizationDetails
from exchange.oauth.scopes import Role, Scope
from exchange.oauth.spending import Spend
from exchange.oauth.targets import refuse_elsewhere, scopes_of
from exchange.oauth.tokens import JKT, X5T
from registry.suites.certificates import Certificate

LIFETIME_SECONDS: Final = 590  # FAPI 2.0 §5.3.2.2: less than 600
URN: Final = "urn:ietf:params:oauth:request_uri:"
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_OPAQUE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_BY_REFERENCE: Final = ("request", "request_uri")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A request that holds by itself, and what has to be spent with it. `dpop_jkt` is `binding.Bound.key`."""

    client: Registration
    spends: tuple[Spend, ...]
    redirect_uri: str
    state: str | None
    nonce: str | None
    code_challenge: str
    dpop_jkt: str
    scopes: frozenset[str]
    wanted: CreditData
    replaces: str | None = None


def read(  # what came, and what it is held against
    form: Mapping[str, str],
    proofs: Sequence[str],
    *,
    directory: Directory,
    profile: Profile,
    now: datetime,
    may_wait: bool,
    certificate: Certificate | None = None,
) -> Pushed:
    """Do steps 1 to 7.

    Args:
        form: the parameters, each once.
        proofs: the DPoP headers.
        directory: finds clients.
        profile: addresses, from configuration.
        now: this instant.
        may_wait: for the database, to find a client.
        certificate: what the connection was made with, if a trusted proxy says so.

    Raises:
        OAuth2Error: of the kind that the step names.
        NotRemembered, DatabaseUnavailable, psycopg.Error: see `authenticate`.
    """
    client, spent = authenticate(
        directory, form, issuer=profile.issuer, now=now, may_wait=may_wait, certificate=certificate
    )  # 1
    if client.role != Role.LENDER or Scope.CONSENTS not in client.scopes:  # 2
        raise UnauthorizedClientError("only a lender's system asks persons for consent")
    if form.get("client_id") != client.client_id:
        raise InvalidRequestError("client_id is missing")
    if any(name in form for name in _BY_REFERENCE):
        raise InvalidRequestError("a request is pushed as parameters, not by reference")
    challenge = _asked_for_a_code(form)  # 3
    shown = certificate if certificate is not None and owns(client, certificate, now=now) else None
    bound = _bound(form, proofs, profile, now, shown)  # 4
    scopes = scopes_of(form.get("scope"), client)  # 5
    refuse_elsewhere(form.get("resource"), profile.resource)
    for name in ("state", "nonce"):
        if name in form and not _OPAQUE.fullmatch(form[name]):
            raise InvalidRequestError(f"{name} is longer than 512, or not printable ASCII")
    if "redirect_uri" not in form:
        raise InvalidRequestError("redirect_uri is missing")
    return Pushed(
        client=client,
        spends=tuple(one for one in (spent, bound.spend) if one is not None),
        redirect_uri=form["redirect_uri"],
        state=form.get("state"),
        nonce=form.get("nonce"),
        code_challenge=challenge,
        dpop_jkt=bound.key,
        scopes=scopes,
        wanted=_details(form, client, profile, now),  # 6
        replaces=grants.to_replace(form),  # 7
    )


def _asked_for_a_code(form: Mapping[str, str]) -> str:
    if form.get("response_type") != "code":
        raise UnsupportedResponseTypeError(form.get("response_type"))
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode is query")
    challenge = form.get("code_challenge", "")
    if form.get("code_challenge_method") != pkce.METHOD or not pkce.is_challenge(challenge):
        raise InvalidRequestError("PKCE with code_challenge_method S256 is needed")
    return challenge


def _bound(
    form: Mapping[str, str], proofs: Sequence[str], profile: Profile, now: datetime, shown: Certificate | None
) -> Bound:
    stated = form.get("dpop_jkt")
    if stated is not None and not _THUMBPRINT.fullmatch(stated):
        raise InvalidRequestError("dpop_jkt is a SHA-256 thumbprint (RFC 7638)")
    if not proofs:
        if stated is not None:
            return Bound(JKT, stated, None)
        if shown is None:
            raise InvalidRequestError("a DPoP proof, dpop_jkt or a certificate of yours is needed")
        return Bound(X5T, thumbprint(shown), None)
    proof = proof_of(proofs, url=profile.par_endpoint, now=now)
    if stated not in {None, proof.thumbprint}:
        raise InvalidRequestError("dpop_jkt is not the thumbprint of the proof's key")
    return Bound(JKT, proof.thumbprint, proof.spend)


def _details(form: Mapping[str, str], client: Registration, profile: Profile, now: datetime) -> CreditData:
    try:
        wanted = credit_data.read_details(
            form.get("authorization_details", ""), organisation=client.organisation, resource=profile.resource
        )
        credit_data.refuse_unsettled(wanted, recipient=client.organisation, now=now)
    except RequestRefused as refused:
        raise InvalidAuthorizationDetails(str(refused)) from refused
    except TermsRefused as refused:
        raise InvalidAuthorizationDetails(refused.code.value) from refused  # never what was sent
    return wanted
