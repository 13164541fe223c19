"""The authorization server, on Authlib: the token endpoint for lenders' and regulators' systems.

Authlib carries the protocol: which grant, which client authentication, which errors. What it is
too lax in for FAPI 2.0 is ours: `authenticating` (client authentication, proofs), `spending` (single use), `pkce`,
`codes`, `tokens`. There are two grants: a system's own (`SystemGrant`), and that of a person who agreed on the page
(`CodeGrant`, after `par` and the confirmation page).

Steps of a token request (the numbers are used in the code and the tests):
  1. exactly one DPoP proof, and it holds; or none, and a certificate to bind to    (invalid_dpop_proof)
  2. the assertion, or the certificate, proves a registered client; what is bound to is its own  (invalid_client)
  3. the scopes asked for are this client's                       (invalid_scope)
  4. write the token
  5. spend assertion, proof and code in one transaction           (invalid_client, invalid_dpop_proof, invalid_grant)
`answer` does 1 to 4; what step 5 has to spend stands in the request. The endpoint has it spent together with
what others bring at that moment, and `settle` says what became of it. The token leaves after that commit, so whatever
is replayed has been recorded before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import BaseGrant, ClientCredentialsGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from exchange.oauth import codes, pkce, tokens
from exchange.oauth.authenticating import authenticate, owns, proof_of
from exchange.oauth.binding import Bound
from exchange.oauth.certificates import thumbprint
from exchange.oauth.clients import REGISTERED, Directory, NotRemembered, Registration
from exchange.oauth.codes import Granted
from exchange.oauth.profile import Profile
from exchange.oauth.refused import ClientNotProven, InvalidDpopProof
from exchange.oauth.scopes import OF_AN_AGREEMENT
from exchange.oauth.spending import Issue, Outcome, Redeem, Spend
from exchange.oauth.targets import refuse_elsewhere, scopes_of
from registry.suites.certificates import Certificate


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back. The endpoint adds Cache-Control: no-store to every answer."""

    status: int
    body: dict[str, Any]
    headers: Sequence[tuple[str, str]]

    @property
    def error(self) -> str | None:
        """The OAuth error code, None for a token."""
        code = self.body.get("error")
        return None if code is None else str(code)


class TokenRequest(OAuth2Request):
    """One call of the token endpoint: parameters that occur once each, the DPoP headers, and this instant."""

    def __init__(
        self,
        uri: str,
        form: Mapping[str, str],
        proofs: Sequence[str],
        *,
        now: datetime,
        certificate: Certificate | None = None,
    ) -> None:
        """Take what the endpoint has read; `uri` is the endpoint's address from configuration."""
        self.__dict__.update(_blank(uri))
        self.payload = BasicOAuth2Payload(form)
        self.parameters = form
        self.proofs = proofs
        self.now = now
        self.certificate = certificate
        self.bound: Bound | None = None
        self.assertion: Spend | None = None
        self.granted: Granted | None = None
        self.redeem: Redeem | None = None
        self.issue: Issue | None = None
        self.may_wait = False  # for the database, to find a client; else NotRemembered is raised


@lru_cache(maxsize=8)
def _blank(uri: str) -> Mapping[str, object]:
    """Give what Authlib lays out for a request to an endpoint; it looks at the address, which does not change."""
    laid_out: dict[str, object] = vars(OAuth2Request("POST", uri))
    return laid_out


def bound(request: TokenRequest) -> Bound:
    """Do step 1: say what the token will be bound to. A proof comes before a certificate."""
    if request.proofs or request.certificate is None:
        proof = proof_of(request.proofs, url=request.uri, now=request.now)
        return Bound(tokens.JKT, proof.thumbprint, proof.spend)
    return Bound(tokens.X5T, thumbprint(request.certificate), None)


def refuse_anothers(request: TokenRequest) -> None:
    """Do the end of step 2: a token is bound to no certificate but the client's own."""
    shown = request.certificate
    by_certificate = request.bound is not None and request.bound.by == tokens.X5T
    if by_certificate and (shown is None or not owns(request.client, shown, now=request.now)):
        raise ClientNotProven(description="client certificate: not registered for this client, or out of date")


class SystemGrant(ClientCredentialsGrant):
    """client_credentials: for what a registered system may do by itself."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = [REGISTERED]

    def validate_token_request(self) -> None:
        """Do steps 1 to 3."""
        request = self.request
        request.bound = bound(request)  # 1
        if "code_verifier" in request.parameters:
            raise InvalidRequestError("code_verifier goes with a code")
        super().validate_token_request()  # 2
        refuse_anothers(request)  # 2
        refuse_elsewhere(request.parameters.get("resource"), self.server.profile.resource)
        scopes_of(request.parameters.get("scope"), request.client)  # 3

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Do step 4, and prepare step 5."""
        request = self.request
        granted = scopes_of(request.parameters.get("scope"), request.client)
        bound_to = request.bound
        grant = tokens.Grant(request.client.client_id, granted, bound_to.thumbprint, by=bound_to.by)
        body = {
            "access_token": self.server.issuer.issue(grant, now=request.now),  # 4
            "token_type": tokens.TYPES[grant.by],
            "expires_in": tokens.LIFETIME_SECONDS,
            "scope": " ".join(sorted(granted)),
        }
        self.save_token(body)  # 5
        return 200, body, [("Content-Type", "application/json")]


class CodeGrant(BaseGrant, TokenEndpointMixin):
    """authorization_code: what a person agreed to on the page, fetched by whom it was given to.

    In place of step 3: the code is this client's, not too old, was given for this redirect URI and this key (or
    certificate), and the verifier answers the challenge (invalid_grant, one sentence for all). In step 5 the code is
    used up as well.
    """

    GRANT_TYPE = "authorization_code"
    TOKEN_ENDPOINT_AUTH_METHODS: Final = [REGISTERED]

    def validate_token_request(self) -> None:
        """Do steps 1 to 3."""
        request = self.request
        request.bound = bound(request)  # 1
        request.client = self.authenticate_token_endpoint_client()  # 2
        refuse_anothers(request)  # 2
        if not request.client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("codes are for lenders' systems")
        form = request.parameters
        refuse_elsewhere(form.get("resource"), self.server.profile.resource)
        if not {"code", "redirect_uri", "code_verifier"} <= form.keys():
            raise InvalidRequestError("code, redirect_uri and code_verifier are needed")
        if not request.may_wait:
            raise NotRemembered  # a code is always looked up
        found = self.server.granted_by(codes.digest_of_code(form["code"]))
        if (
            found is None
            or found.client_id != request.client.client_id
            or found.redirect_uri != form["redirect_uri"]
            or found.dpop_jkt != request.bound.key
            or found.until <= request.now
            or not pkce.answers(form["code_verifier"], found.code_challenge)
        ):
            raise InvalidGrantError("code: unknown, too old, or given for another client, address, key or challenge")
        request.granted = found  # 3

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Do step 4, and prepare step 5."""
        request, found = self.request, self.request.granted
        held = found.scopes & request.client.scopes & OF_AN_AGREEMENT
        jti = tokens.fresh_jti()
        details = agreement(found.authorization_details)
        grant = tokens.Grant(request.client.client_id, held, request.bound.thumbprint, details, by=request.bound.by)
        body = {
            "access_token": self.server.issuer.issue(grant, now=request.now, jti=jti),  # 4
            "token_type": tokens.TYPES[grant.by],
            "expires_in": tokens.LIFETIME_SECONDS,
            "scope": " ".join(sorted(held)),
            "authorization_details": [dict(found.authorization_details)],
            "grant_id": found.authorization_details[tokens.CONSENT],
        } | ({} if found.nonce is None else {"nonce": found.nonce})
        until = request.now + timedelta(seconds=tokens.LIFETIME_SECONDS)
        request.redeem = Redeem(codes.digest_of_code(request.parameters["code"]), jti, request.now, until)
        self.save_token(body)  # 5
        return 200, body, [("Content-Type", "application/json")]


def agreement(details: Mapping[str, Any]) -> dict[str, str]:
    """Say in a token which agreement it rests on: what it covers stands in the ledger, and may have become less."""
    return {name: str(details[name]) for name in ("type", tokens.CONSENT, "purpose", "mode")}


class TokenServer(AuthorizationServer):
    """Authlib's server, with our clients, our proofs and our ledger put in.

    Args:
        profile: addresses, from configuration.
        issuer: writes the tokens.
        directory: finds clients.
        granted_by: reads what a code stands for, by the code's digest.
    """

    def __init__(
        self,
        profile: Profile,
        issuer: tokens.Issuer,
        *,
        directory: Directory,
        granted_by: Callable[[bytes], Granted | None],
    ) -> None:
        super().__init__()
        self.granted_by = granted_by
        self.profile = profile
        self.issuer = issuer
        self._directory = directory
        self.register_client_auth_method(REGISTERED, self._proven)
        self.register_grant(SystemGrant)
        self.register_grant(CodeGrant)

    def answer(self, request: TokenRequest) -> Answer:
        """Do steps 1 to 4. Unless `request.issue` is None, the answer may leave only as `settle` returns it.

        Raises:
            NotRemembered: ask again with `request.may_wait`, where waiting is allowed.
            DatabaseUnavailable, psycopg.Error: the client's row could not be read.
        """
        request.issue = request.redeem = None
        answer: Answer = self.create_token_response(request)
        return answer

    def settle(self, answer: Answer, issue: Issue, outcome: Outcome) -> Answer:
        """Return what may leave, now that step 5 was done with this outcome."""
        if outcome is Outcome.ISSUED:
            return answer
        if outcome is Outcome.CLIENT_CHANGED:
            self._directory.forget(issue.client_id)
        refused: Answer = self.handle_error_response(None, _REFUSALS[outcome]())
        return refused

    def query_client(self, client_id: str) -> Registration | None:
        """Authlib asks for a client by its id."""
        return self._directory.find(client_id, wait=True)

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        """Authlib asks for its request; ours already is one."""
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Authlib tells of its steps; nobody listens."""

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:  # noqa: ANN401  # Authlib's
        """Authlib hands over its answer."""
        return Answer(status, body, headers)

    def save_token(self, token: Mapping[str, object], request: TokenRequest) -> None:
        """Prepare step 5. Nothing of the token is kept: it proves itself."""
        del token
        client: Registration = request.client
        if request.bound is None:
            raise ClientNotProven(description="a token is bound to a key or a certificate")
        request.issue = Issue(
            client.client_id,
            client.jwks_text,
            request.assertion,
            request.bound.spend,
            request.redeem,
            client.certificate_text,
        )

    def _proven(self, _: object, request: TokenRequest) -> Registration:
        client, request.assertion = authenticate(
            self._directory,
            request.parameters,
            issuer=self.profile.issuer,
            now=request.now,
            may_wait=request.may_wait,
            certificate=request.certificate,
        )
        return client


_REFUSALS: Final[Mapping[Outcome, Callable[[], OAuth2Error]]] = {
    Outcome.ASSERTION_REPLAYED: partial(ClientNotProven, description="client assertion: used before"),
    Outcome.PROOF_REPLAYED: partial(InvalidDpopProof, "DPoP proof: used before"),
    Outcome.CLIENT_CHANGED: partial(ClientNotProven, description="client assertion: not signed with a registered key"),
    Outcome.CODE_SPENT: partial(InvalidGrantError, "code: used before, or too old"),
}
