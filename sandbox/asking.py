"""How a bank's system asks a person for consent: pushed requests and codes (RFC 9126, 7636, 9396, 9449), or a phone.

    ask = asker.push(credit_data, redirect_uri=…)        # over the bank's own connection
    → send the person's browser to `ask.page`
    ← it comes back to redirect_uri with `code`, `iss` and `state`, or with `error`
    granted = asker.redeem(ask, the query of that address)

`redeem` compares `state` and `iss` before anything is sent anywhere (RFC 9207: another server's answer is not ours).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from sandbox.caller import Caller, Client, Json, Refused, checked

ASKING_SCOPE: Final = "consents"


@dataclass(frozen=True)
class Asked:
    """A request that was pushed, and what has to be remembered until the person comes back."""

    page: str
    request_uri: str
    redirect_uri: str
    state: str
    verifier: str = field(repr=False)


class Asker(Caller):
    """A session of one registered lender's client that asks persons; not to be shared between threads."""

    def __init__(self, issuer: str, client: Client, *, http: httpx.Client | None = None) -> None:
        super().__init__(issuer, client, scope=ASKING_SCOPE, http=http)

    def push(self, credit_data: Json, *, redirect_uri: str) -> Asked:
        """Push a request for one consent.

        Raises:
            Refused: with OAuth's error.
        """
        verifier, state = uuid4().hex + uuid4().hex, uuid4().hex
        path = self.metadata_path("pushed_authorization_request_endpoint")
        reply = self.post_form(
            path,
            {
                "client_id": self.client_id,
                "response_type": "code",
                "redirect_uri": redirect_uri,
                "state": state,
                "code_challenge": create_s256_code_challenge(verifier),
                "code_challenge_method": "S256",
                "authorization_details": _json_list({"type": "credit_data", **credit_data}),
            },
        )
        request_uri = str(checked(reply).json()["request_uri"])
        query = urlencode({"client_id": self.client_id, "request_uri": request_uri})
        page = f"{self.issuer}{self.metadata_path('authorization_endpoint')}?{query}"
        return Asked(page, request_uri, redirect_uri, state, verifier)

    def redeem(self, asked: Asked, answer: Mapping[str, str]) -> Json:
        """Fetch what the person agreed to: the first of the granted `authorization_details`.

        Raises:
            Refused: the person refused, the answer is not for this request, or the code does not hold.
        """
        if answer.get("state") != asked.state or answer.get("iss") != self.issuer:
            raise Refused(400, {"error": "answer-of-another-request-or-server"})
        if "error" in answer:
            raise Refused(403, {"error": answer["error"]})
        reply = self.post_form(
            self.metadata_path("token_endpoint"),
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": asked.redirect_uri,
                "code_verifier": asked.verifier,
            },
        )
        granted: Json = checked(reply).json()["authorization_details"][0]
        return granted

    def ask_phone(self, identifier: str, credit_data: Json, message: str = "") -> Json:
        """Ask a person on the phone that was bound in person; poll with `look`."""
        body = {
            "subject": {"identifier": identifier},
            "terms": {"type": "credit_data", **credit_data},
            "message": message,
        }
        offered: Json = self.call("POST", "/v1/consent-requests", json_body=body).json()
        return offered

    def look(self, request_id: str) -> Json:
        """See what became of a request to a phone."""
        seen: Json = self.call("GET", f"/v1/consent-requests/{request_id}").json()
        return seen


def _json_list(value: Mapping[str, Any]) -> str:
    return json.dumps([dict(value)])
