"""A bank's system (贷款机构) as the exchange meets it: OAuth over HTTP and nothing else.

`sandbox.caller` has the OAuth; here is what a lender asks. It sends an `Idempotency-Key` with every query, and waits
when evidence is not ready (202, Retry-After).

A regulator's system (监管部门) is the same client with another scope. Identifiers go in the body, never in a URL,
and stand in no error or representation here. Evidence is not verified here: `qingqiao verify` does that offline;
`signed_by` checks the signature of an answer.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote
from uuid import uuid4

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from sandbox.caller import EARLY_SECONDS, Caller, Client, Json, Refused, client_of, new_client

__all__ = [
    "EARLY_SECONDS",
    "Answer",
    "Client",
    "Lender",
    "NotReady",
    "Refused",
    "client_of",
    "new_client",
    "signed_by",
]

LENDER_SCOPE: Final = "queries"
REGULATOR_SCOPE: Final = "audit:read"
EVIDENCE_PATIENCE_SECONDS: Final = 30.0
_NOT_YET: Final = 202


class NotReady(Exception):
    """No checkpoint covered the query within the time that the client was willing to wait."""


@dataclass(frozen=True)
class Answer:
    """A permitted query: what was served, and the exchange's signature over its canonical bytes."""

    answer: Json = field(repr=False)
    signature: str
    idempotency_key: str

    @property
    def query_id(self) -> str:
        """The number under which evidence is fetched."""
        return str(self.answer["query_id"])


class Lender(Caller):
    """A session of one registered lender's or regulator's client with one exchange; not to be shared between threads.

    The arguments are those of `Caller`; the scope is a lender's unless it is said.
    """

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        scope: str = LENDER_SCOPE,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(issuer, client, scope=scope, http=http, clock=clock, pause=pause)

    def query(  # noqa: PLR0913  # what a query states
        self,
        subject_kind: Literal["resident_id", "uscc"],
        identifier: str,
        *,
        purpose: str,
        business_no: str,
        items: Sequence[str] | None = None,
        mode: Literal["verify", "summary"] = "summary",
        claims: Sequence[Json] | None = None,
        staff: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Ask for one subject (POST /v1/queries).

        Args:
            subject_kind: what `identifier` is.
            identifier: the resident ID or credit code; sent in the body.
            purpose: a published purpose, such as LOAN_APPROVAL.
            business_no: the bank's own number of the application.
            items: "SUBSIDY.amount_paid" and the like, or a class; without them all that the consent covers.
            mode: how much is wanted.
            claims: with mode verify, what is to be answered yes or no: `item`, `relation` and `value` each.
            staff: `user_id` and `department` of the person who asks.
            idempotency_key: the key of an earlier call to be repeated; a fresh one otherwise.

        Raises:
            Refused: with the published reason code.
            httpx.HTTPError: the exchange was not reached. Ask again with the same key.
        """
        key = idempotency_key or str(uuid4())
        body: dict[str, Any] = {
            "subject": {"type": subject_kind, "identifier": identifier},
            "purpose": purpose,
            "business_no": business_no,
            "mode": mode,
        }
        if items is not None:
            body["items"] = list(items)
        if claims is not None:
            body["claims"] = [dict(claim) for claim in claims]
        if staff is not None:
            body["staff"] = dict(staff)
        reply = self.call("POST", "/v1/queries", json_body=body, headers={"Idempotency-Key": key}).json()
        return Answer(reply["answer"], reply["signature"], key)

    def evidence(
        self,
        query_id: str,
        form: Literal["full", "redacted"] = "full",
        *,
        patience_seconds: float = EVIDENCE_PATIENCE_SECONDS,
    ) -> bytes:
        """Fetch the evidence of a query as it is served, waiting until a checkpoint covers it.

        Raises:
            Refused: not this client's query, or no longer to be had.
            NotReady: still 202 when patience ran out.
        """
        waited = 0.0
        while True:
            path = f"/v1/queries/{quote(query_id, safe='')}/evidence"
            response = self.call("GET", path, params={"form": form})
            if response.status_code != _NOT_YET:
                return response.content
            if waited >= patience_seconds:
                raise NotReady(f"query {query_id} is not covered by a checkpoint after {waited:.0f} s")
            delay = min(float(response.headers.get("Retry-After", "1")), max(patience_seconds - waited, 0.1))
            self._pause(delay)
            waited += delay

    def events(self, **filters: str) -> Json:
        """Read one page of the audit trail (GET /audit/v1/events); for a regulator's client.

        Raises:
            Refused: the client has no such scope, or a filter is not understood.
        """
        page: Json = self.call("GET", "/audit/v1/events", params=filters).json()
        return page


def signed_by(answer: Answer, public_keys: Mapping[str, str]) -> bool:
    """Say whether the answer is signed with a key from the trust policy.

    The signed bytes are the canonical JSON (RFC 8785) of the answer: keys sorted, no blanks; its numbers are whole.

    Args:
        answer: as it was served.
        public_keys: by key id, the base64url of 32 bytes of Ed25519, obtained apart from the exchange.
    """
    header, _, signature = answer.signature.partition("..")
    text = json.dumps(answer.answer, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    payload = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    try:
        signed = f"{header}.{payload}.{signature}".encode()
        key_id = str(jws.extract_compact(signed).headers().get("kid"))
        if key_id not in public_keys:
            return False
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public_keys[key_id]})
        jws.deserialize_compact(signed, key, algorithms=["Ed25519"])
    except (JoseError, ValueError):
        return False
    return True
