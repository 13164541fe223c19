"""The authorization server, on Authlib: the token endpoint for lenders' and regulators' systems.

Authlib carries the protocol: which grant, which client authentication, which errors. What it is
too lax in for FAPI 2.0 is ours: `assertion` (client authentication), `dpop` (binding), `spending`
(single use), `tokens`. A grant added later (authorization code with PAR and PKCE) registers beside
`SystemGrant` and finds all of this in place.

Steps of a token request (the numbers are used in the code and the tests):
  1. exactly one DPoP proof, and it holds                         (invalid_dpop_proof)
  2. private_key_jwt: the assertion proves a registered client    (invalid_client)
  3. the scopes asked for are this client's                       (invalid_scope)
  4. write the token
  5. spend assertion and proof in one transaction                 (invalid_client, invalid_dpop_proof)
`answer` does 1 to 4; what step 5 has to spend stands in the request. The endpoint has it spent together with
what others bring at that moment, and `settle` says what became of it. The token leaves after that commit, so whatever
is replayed has been recorded before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from exchange.errors import AssertionRefused, ProofRefused
from exchange.oauth import assertion, dpop, tokens
from exchange.oauth.clients import Directory, Registration
from exchange.oauth.jwks import ALGORITHMS
from exchange.oauth.profile import Profile
from exchange.oauth.spending import Issue, Outcome, Spend

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CHALLENGE: Final = f'DPoP error="invalid_client", algs="{" ".join(ALGORITHMS)}"'
_OTHER_AUTHENTICATION: Final = ("client_secret", "code_verifier")


class InvalidDpopProof(OAuth2Error):
    """RFC 9449 §5: the proof at the token endpoint does not hold."""

    error = "invalid_dpop_proof"
    status_code = 400


class InvalidTarget(OAuth2Error):
    """RFC 8707 §2: tokens are for another resource than the one asked for."""

    error = "invalid_target"
    status_code = 400


class ClientNotProven(InvalidClientError):
    """RFC 6749 §5.2, always as 401: the client did not prove itself."""

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """Say which scheme would do; Authlib would say Basic."""
        return [("Content-Type", "application/json"), ("WWW-Authenticate", _CHALLENGE)]


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

    def __init__(self, uri: str, form: Mapping[str, str], proofs: Sequence[str], *, now: datetime) -> None:
        """Take what the endpoint has read; `uri` is the endpoint's address from configuration."""
        super().__init__("POST", uri)
        self.payload = BasicOAuth2Payload(form)
        self.parameters = form
        self.proofs = proofs
        self.now = now
        self.proof: dpop.Proof | None = None
        self.assertion: Spend | None = None
        self.issue: Issue | None = None
        self.may_wait = False  # for the database, to find a client; else NotRemembered is raised


class SystemGrant(ClientCredentialsGrant):
    """client_credentials, by private_key_jwt only, with a DPoP proof always."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["private_key_jwt"]

    def validate_token_request(self) -> None:
        """Do steps 1 to 3."""
        request = self.request
        request.proof = _proof(request)  # 1
        super().validate_token_request()  # 2
        resource = request.parameters.get("resource")
        if resource not in {None, self.server.profile.resource}:
            raise InvalidTarget("tokens are issued for one resource only")
        _scopes(request.parameters.get("scope"), request.client)  # 3

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Do step 4, and prepare step 5."""
        request = self.request
        granted = _scopes(request.parameters.get("scope"), request.client)
        grant = tokens.Grant(request.client.client_id, granted, request.proof.thumbprint)
        body = {
            "access_token": self.server.issuer.issue(grant, now=request.now),  # 4
            "token_type": "DPoP",
            "expires_in": tokens.LIFETIME_SECONDS,
            "scope": " ".join(sorted(granted)),
        }
        self.save_token(body)  # 5
        return 200, body, [("Content-Type", "application/json")]


class TokenServer(AuthorizationServer):
    """Authlib's server, with our clients, our proofs and our ledger put in.

    Args:
        profile: addresses, from configuration.
        issuer: writes the tokens.
        directory: finds clients.
    """

    def __init__(
        self,
        profile: Profile,
        issuer: tokens.Issuer,
        *,
        directory: Directory,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.issuer = issuer
        self._directory = directory
        self.register_client_auth_method("private_key_jwt", self._private_key_jwt)
        self.register_grant(SystemGrant)

    def answer(self, request: TokenRequest) -> Answer:
        """Do steps 1 to 4. Unless `request.issue` is None, the answer may leave only as `settle` returns it.

        Raises:
            NotRemembered: ask again with `request.may_wait`, where waiting is allowed.
            DatabaseUnavailable, psycopg.Error: the client's row could not be read.
        """
        request.issue = None
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
        if request.assertion is None or request.proof is None:
            raise ClientNotProven(description="client assertion and DPoP proof are needed")
        request.issue = Issue(client.client_id, client.jwks_text, request.assertion, request.proof.spend)

    def _private_key_jwt(self, _: object, request: TokenRequest) -> Registration:
        form = request.parameters
        if any(name in form for name in _OTHER_AUTHENTICATION):
            raise InvalidRequestError("one way of client authentication only")
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
            raise ClientNotProven(description="client authentication is private_key_jwt")
        try:
            claimed = assertion.read(form["client_assertion"])
            if form.get("client_id", claimed.client_id) != claimed.client_id:
                raise ClientNotProven(description="client assertion: of another client than client_id")
            client = self._directory.find(claimed.client_id, wait=request.may_wait)
            proven = client and assertion.prove(claimed, client)
            if client and not proven:
                client = self._directory.read_again(client, wait=request.may_wait)  # it may have new keys by now
                proven = client and assertion.prove(claimed, client)
            if not proven:
                raise ClientNotProven(description="client assertion: not signed with a registered key")
            request.assertion = assertion.check(proven, issuer=self.profile.issuer, now=request.now)
        except AssertionRefused as error:
            raise ClientNotProven(description=str(error)) from error
        return proven.client


_REFUSALS: Final[Mapping[Outcome, Callable[[], OAuth2Error]]] = {
    Outcome.ASSERTION_REPLAYED: partial(ClientNotProven, description="client assertion: used before"),
    Outcome.PROOF_REPLAYED: partial(InvalidDpopProof, "DPoP proof: used before"),
    Outcome.CLIENT_CHANGED: partial(ClientNotProven, description="client assertion: not signed with a registered key"),
}


def _proof(request: TokenRequest) -> dpop.Proof:
    if len(request.proofs) != 1:
        raise InvalidDpopProof("DPoP proof: exactly one DPoP header is needed")
    try:
        return dpop.verify(request.proofs[0], method="POST", url=request.uri, now=request.now)
    except ProofRefused as error:
        raise InvalidDpopProof(str(error)) from error


def _scopes(asked: str | None, client: Registration) -> frozenset[str]:
    if not asked:
        return client.scopes
    scopes = frozenset(asked.split(" "))
    if not scopes <= client.scopes:
        raise InvalidScopeError("a scope that this client may not hold")
    return scopes
