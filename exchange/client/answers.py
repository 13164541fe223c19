"""What a lender gets, typed; and the checks of its signatures against the trust policy. Pure.

Each value keeps the JSON that it was read from (`document`), since that is what is signed. Nothing here is shown by
`repr` but ids and codes. The trust policy (信任清单, docs/trust.md) comes from elsewhere than the exchange's own
answers; a key that came with what it signs would prove nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, Self, TypedDict

import orjson

from exchange.client.errors import NotGenuine
from exchange.client.keys import Json
from registry import jws
from registry import verify as evidence
from registry.canonical import canonical, unb64url
from registry.errors import RegistryError
from registry.suites import constant_time_equal, sha256
from registry.trust import TrustPolicy
from registry.verify import EvidenceRefused, Verdict

Mode = Literal["verify", "tags", "summary", "report"]
_REQUEST: Final = b"qq-request\x00"
_EVENT_TYPE: Final = "secevent+jwt"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a request is about; the identifier goes into bodies only."""

    kind: Literal["resident_id", "uscc"]
    identifier: str = field(repr=False)

    @classmethod
    def person(cls, identifier: str) -> Self:
        """A person, by resident id (公民身份号码)."""
        return cls("resident_id", identifier)

    @classmethod
    def organisation(cls, identifier: str) -> Self:
        """A collective or company, by credit code (统一社会信用代码)."""
        return cls("uscc", identifier)

    def as_json(self) -> dict[str, str]:
        """Write it as requests state it."""
        return {"type": self.kind, "identifier": self.identifier}


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement to be answered yes, no or unknown. Money in fen, areas in 1/10000 亩."""

    item: str
    relation: Literal["exists", "equals", "at_least", "at_most"] = "exists"
    value: str | int | bool | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Write it as requests state it."""
        said: dict[str, Any] = {"item": self.item, "relation": self.relation}
        return said if self.value is None else {**said, "value": self.value}


class Label(TypedDict):
    """What is said of an item: whose it is, as of when, how good and how whole."""

    sources: list[str]
    as_of: str | None
    quality: str | None
    completeness: Literal["COMPLETE", "PARTIAL", "STALE"]
    records: int
    disputed: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """A permitted query. `document` is what is signed; docs/trust.md describes each part of it."""

    query_id: str
    document: Json = field(repr=False)
    signature: str = field(repr=False)
    idempotency_key: str = field(repr=False)

    @classmethod
    def read(cls, reply: Json, *, asked: bytes, idempotency_key: str) -> Self:
        """Read a reply, and hold it against the question that was put.

        Raises:
            NotGenuine: it is no answer, or answers another question.
        """
        try:
            document, signature = reply["answer"], reply["signature"]
            query_id, request = str(document["query_id"]), document["request"]
            digest = sha256(_REQUEST + unb64url(request["salt"]) + asked)
            same = constant_time_equal(digest.hex().encode(), str(request["sha256"]).encode())
        except (KeyError, TypeError, ValueError):
            raise NotGenuine("not an answer") from None
        if not same:
            raise NotGenuine("an answer to another question")
        return cls(query_id, document, str(signature), idempotency_key)

    @property
    def consent_id(self) -> str:
        """On which consent it rests."""
        return str(self.document["consent_id"])

    @property
    def mode(self) -> str:
        """How much it says."""
        return str(self.document["mode"])

    @property
    def items(self) -> Mapping[str, Label]:
        """By item, what is said of it."""
        labels: Mapping[str, Label] = self.document["items"]
        return labels

    @property
    def records(self) -> list[Json]:
        """The records with their fields; in mode verify their commitments alone."""
        found: list[Json] = self.document["records"]
        return found

    @property
    def claims(self) -> Mapping[str, bool | None]:
        """In mode verify: by item, whether the claim holds; None is unknown."""
        return {one["item"]: one["holds"] for one in self.document.get("claims", [])}

    @property
    def summary(self) -> Json:
        """Figures over the records; empty in mode verify."""
        said: Json = self.document.get("summary", {})
        return said

    @property
    def withheld(self) -> Mapping[str, str]:
        """By item, why it is not in the answer."""
        return {one["item"]: one["reason"] for one in self.document.get("withheld", [])}

    @property
    def disputed(self) -> frozenset[str]:
        """Items that the person disputes; say so wherever they are used."""
        return frozenset(item for item, label in self.items.items() if label.get("disputed"))

    def check(self, policy: TrustPolicy) -> None:
        """Check the signature.

        Raises:
            NotGenuine: no key of the policy signed these bytes as an answer.
        """
        try:
            payload = canonical(dict(self.document))
            jws.verify(self.signature, policy.answer_keys, payload, typ=evidence.ANSWER_TYPE)
        except (RegistryError, ValueError):
            raise NotGenuine("the answer's signature does not hold") from None


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as its lender sees it; `receipt` is for the subject."""

    consent_id: str
    state: str
    document: Json = field(repr=False)

    @classmethod
    def read(cls, document: Json) -> Self:
        """Read what the consents' door answered.

        Raises:
            NotGenuine: it is no consent.
        """
        try:
            return cls(str(document["consent_id"]), str(document["state"]), document)
        except KeyError:
            raise NotGenuine("not a consent") from None

    @property
    def purpose(self) -> str:
        """For what."""
        return str(self.document["purpose"])

    @property
    def items(self) -> frozenset[str]:
        """Over what."""
        return frozenset(self.document["items"])

    @property
    def valid_until(self) -> str:
        """Until when, exclusive."""
        return str(self.document["valid_until"])

    @property
    def uses_left(self) -> int:
        """How many uses are left."""
        return int(self.document["max_uses"]) - int(self.document["uses"])

    @property
    def receipt(self) -> str:
        """The signed receipt: a compact JWS."""
        return str(self.document["receipt"])

    def check(self, policy: TrustPolicy) -> Json:
        """Check the receipt: signed as one, and of this consent; give what it says.

        Raises:
            NotGenuine: it is not.
        """
        try:
            _, payload = jws.verify(self.receipt, policy.receipt_keys, typ=evidence.RECEIPT_TYPE)
            said: Json = orjson.loads(payload)
        except (RegistryError, ValueError):
            raise NotGenuine("the receipt's signature does not hold") from None
        if said.get("jti") != self.consent_id:
            raise NotGenuine("the receipt of another consent")
        return said


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a consent, or of a request: `kind` as "granted" or "withdrawn", `about` its id."""

    jti: str
    kind: str
    about: str
    at: int
    facts: Json = field(repr=False)

    @classmethod
    def read(cls, text: str, keys: Mapping[str, jws.Public], *, issuer: str, audience: str) -> Self:
        """Read a Security Event Token (RFC 8417) and check whose it is and for whom.

        Raises:
            NotGenuine: not signed by a key of the exchange, or not for this client.
        """
        try:
            _, payload = jws.verify(text, keys, typ=_EVENT_TYPE)
            said = orjson.loads(payload)
            ((address, facts),) = said["events"].items()
            prefix = f"{issuer}/events/consent/"
            if said["iss"] != issuer or said["aud"] != audience or not address.startswith(prefix):
                raise NotGenuine("an event of another exchange, or for another client")
            return cls(said["jti"], address.removeprefix(prefix), said["sub_id"]["id"], int(said["toe"]), facts)
        except (RegistryError, ValueError, KeyError, TypeError, AttributeError):
            raise NotGenuine("an event whose signature or form does not hold") from None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of notices: iterate it; `next` is the cursor of the following one, None at the end."""

    notices: tuple[Json, ...] = field(repr=False)
    next: str | None

    def __iter__(self) -> Iterator[Json]:
        return iter(self.notices)

    def __len__(self) -> int:
        return len(self.notices)


def check_evidence(raw: bytes, policy: TrustPolicy) -> Verdict:
    """Check a file of evidence, offline, by the steps of docs/trust.md; say what it shows and what it does not.

    Raises:
        NotGenuine: it does not hold; the message names the step that broke.
    """
    try:
        return evidence.verify(raw, policy)
    except EvidenceRefused as error:
        raise NotGenuine(f"evidence: {error}") from None


def signing_keys(jwks: Json) -> dict[str, jws.Public]:
    """Read the P-256 keys of a JWK set by their id; others are passed over."""
    found = {}
    for one in jwks.get("keys", []):
        if isinstance(one, dict) and one.get("kty") == "EC" and one.get("crv") == "P-256":
            found[str(one.get("kid"))] = jws.Public("ES256", b"\x04" + unb64url(one["x"]) + unb64url(one["y"]))
    return found
