"""A session with one exchange: metadata, token, proofs, and the clock's difference. Flows only; `lender` runs them.

* metadata (RFC 8414) are read once; an issuer that is another's, or an endpoint elsewhere, is refused
* the token is asked for with private_key_jwt and bound to a key of this session (DPoP, RFC 9449); it is used until
  shortly before it ends, and asked for once even if many calls begin together
* a call that is refused with `token-invalid` gets a new token once; one whose proof or assertion was refused is made
  once more if the exchange's clock turns out to differ from ours
* `Date` of each answer says how the exchange's clock differs from this machine's. A difference of more than a quarter
  of an hour is not made up for: what is signed for a far day could be used on that day. Set the machine's clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
from joserfc.jwk import ECKey

from exchange.client.errors import NotGenuine, NotReached, refusal
from exchange.client.flow import Flow, Request, Wait, sent
from exchange.client.keys import Client, Json, proof, proof_key
from exchange.client.retrying import Retrying
from registry.trust import TrustPolicy

EARLY_SECONDS: Final = 20  # a token this near its end is not used any more
_METADATA: Final = "/.well-known/oauth-authorization-server"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DATE_RESOLUTION_SECONDS: Final = 2.0  # `Date` is whole seconds, and as old as its way
_FARTHEST_SECONDS: Final = 900.0
_TURN_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of an interface. `safe`: it may be sent twice without harm."""

    method: str
    path: str
    json: Any = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    safe: bool = False
    timeout_seconds: float | None = None


class Session:
    """What a client keeps between calls. Flows of several calls may be under way at once."""

    def __init__(  # how a session is set up
        self,
        issuer: str,
        client: Client,
        *,
        scope: str,
        trust: TrustPolicy | None,
        clock: Callable[[], float],
        retrying: Retrying,
    ) -> None:
        self.issuer = issuer.rstrip("/")
        self.client = client
        self.proof_key: ECKey = proof_key()
        self.remembered: dict[str, tuple[str, Any]] = {}  # by path: ETag, and what was read under it
        self.trust = trust
        self.clock = clock
        self.skew_seconds = 0.0
        self._scope = scope
        self._retrying = retrying
        self._token = ""
        self._token_until = 0.0
        self._metadata: Json = {}
        self._fetching = False

    # ---- calls ------------------------------------------------------------------------------------------------------

    def call(self, ask: Ask) -> Flow[httpx.Response]:
        """Call an interface with a bound token.

        Raises:
            Refused: in the family of what the exchange answered.
            NotReached: nobody answered, or the line broke.
        """
        response = yield from self._called(ask)
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        raise refusal(response)

    def _called(self, ask: Ask) -> Flow[httpx.Response]:
        fresh, corrected = False, False
        while True:
            token = yield from self.token()
            skew = self.skew_seconds
            response = yield from self._patiently(partial(self._asked, ask, token), safe=ask.safe)
            code = _code(response)
            if code == "token-invalid" and not fresh:
                fresh, self._token_until = True, 0.0 if self._token == token else self._token_until
            elif code == "proof-invalid" and not corrected and self.skew_seconds != skew:
                corrected = True
            else:
                return response

    def _asked(self, ask: Ask, token: str) -> Request:
        body = ask.content if ask.json is None else orjson.dumps(ask.json)
        typed = {} if ask.json is None else {"Content-Type": "application/json"}
        shown = {
            "Authorization": f"DPoP {token}",
            "DPoP": proof(self.proof_key, ask.method, self.issuer + ask.path, self.now(), token=token),
        }
        return Request(
            ask.method,
            ask.path,
            headers={**typed, **ask.headers, **shown},
            params=ask.params,
            content=body,
            timeout_seconds=ask.timeout_seconds,
        )

    def public(self, path: str, *, at_root: bool = False) -> Flow[Json]:
        """Read what needs no token.

        Raises:
            Refused, NotReached: as `call`.
        """
        response = yield from self._patiently(lambda: Request("GET", path, at_root=at_root), safe=True)
        return _object(response)

    # ---- authorization server ---------------------------------------------------------------------------------------

    def endpoint(self, name: str) -> Flow[str]:
        """Give the path of an endpoint that the metadata name.

        Raises:
            NotGenuine: the metadata are another issuer's (RFC 8414 §3.3), or lead elsewhere.
            Refused, NotReached: they could not be had.
        """
        if not self._metadata:
            found = yield from self.public(_METADATA + urlsplit(self.issuer).path, at_root=True)
            if found.get("issuer") != self.issuer:
                raise NotGenuine("metadata of another issuer")
            self._metadata = found
        address = str(self._metadata.get(name, ""))
        if not address.startswith(f"{self.issuer}/"):
            raise NotGenuine(f"the metadata name no {name} of this issuer")
        return address.removeprefix(self.issuer)

    def token(self, *, anew: bool = False) -> Flow[str]:
        """Give a token that is good for a while yet.

        Raises:
            AccessRefused: the client is not proven, or may not have the scope.
            Refused, NotReached: as `call`.
        """
        while self._fetching:  # another call of this session asks already
            yield Wait(_TURN_SECONDS)
        if not anew and self.clock() < self._token_until - EARLY_SECONDS:
            return self._token
        self._fetching = True
        try:
            path = yield from self.endpoint("token_endpoint")
            asked_at = self.clock()
            form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
            granted = yield from self.post_form(path, form)
            self._token = str(granted["access_token"])
            self._token_until = asked_at + float(granted["expires_in"])
        except (KeyError, ValueError):
            raise NotGenuine("the token endpoint's answer is no token") from None
        finally:
            self._fetching = False
        return self._token

    def forget_token(self) -> str:
        """Use the token no more; give it, "" if there is none."""
        token, self._token, self._token_until = self._token, "", 0.0
        return token

    def post_form(self, path: str, fields: Json, *, safe: bool = True, proven: bool = True) -> Flow[Json]:
        """Post a form as this client, each time with an assertion and, if `proven`, a proof of its own.

        Raises:
            Refused, NotReached: as `call`.
        """

        def made() -> Request:
            now = self.now()
            said = {
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": self.client.assertion(self.issuer, now),
            }
            headers = {"DPoP": proof(self.proof_key, "POST", self.issuer + path, now)} if proven else {}
            return Request("POST", path, headers=headers, form={**fields, **said})

        skew = self.skew_seconds
        response = yield from self._patiently(made, safe=safe)
        if _code(response) in {"invalid_client", "invalid_dpop_proof"} and self.skew_seconds != skew:
            response = yield from self._patiently(made, safe=safe)
        return _object(response)

    # ---- time and patience ------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970, by the exchange's clock as far as it is known."""
        return self.clock() + self.skew_seconds

    def _patiently(self, made: Callable[[], Request], *, safe: bool) -> Flow[httpx.Response]:
        """Send until something is said that is worth hearing; each try is made anew, for proofs are good once."""
        tried, waited = 0, 0.0
        while True:
            tried += 1
            try:
                response = yield from sent(made())
            except httpx.TransportError as error:
                wait = self._retrying.after_failure(error, tried=tried, waited=waited, safe=safe)
                if wait is None:
                    raise NotReached(f"not reached after {tried} tries: {type(error).__name__}") from None
            else:
                self._look_at_the_clock(response)
                wait = self._retrying.after_answer(response, tried=tried, waited=waited, safe=safe)
                if wait is None:
                    return response
            waited += wait
            yield Wait(wait)

    def _look_at_the_clock(self, response: httpx.Response) -> None:
        if "Age" in response.headers:  # kept by somebody between; its Date is of then
            return
        try:
            theirs = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except (ValueError, TypeError):
            return
        differs = theirs - self.clock()
        if abs(differs - self.skew_seconds) > _DATE_RESOLUTION_SECONDS and abs(differs) <= _FARTHEST_SECONDS:
            self.skew_seconds = differs if abs(differs) > _DATE_RESOLUTION_SECONDS else 0.0


def _object(response: httpx.Response) -> Json:
    if not response.is_success:
        raise refusal(response)
    try:
        said = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise NotGenuine("an answer that is no JSON object")
    return said


def _code(response: httpx.Response) -> str:
    return "" if response.is_success else refusal(response).code
