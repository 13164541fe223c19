"""A lender's request to be registered, before it has credentials: one JWS that its own key signed. Pure.

Steps (the numbers are used in the code and the tests):
  1. it is a compact JWS of `typ` qq-registration+jwt
  2. its members are those of RFC 7591 where it has them, and ours; no others
  3. its keys: a JWK set, or an https address where one lies; one of the two
  4. it is signed with a key of that set; with an address, by the key that its header shows (`jwk`), which has to be
     found there before anybody can approve. Every other key of the set proves itself beside it (`possession`)
  5. names, contacts, regions, redirect URIs, scopes and caps are what a registration may state

Contacts are offices and role mailboxes, nobody's own. Errors name the member and repeat nothing of it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from consent.errors import ContactInvalid
from consent.parties import Contact
from consent.scope import names_one, recipient_name
from exchange import push_targets
from exchange.errors import RequestRefused
from exchange.oauth import compact, possession, redirects
from exchange.oauth.jwks import PublicKey, choose, kept, read_jwk, read_jwks
from exchange.oauth.scopes import SCOPES_OF, Role
from exchange.oauth.spending import Spend
from registry import divisions
from registry.errors import MalformedIdentifier
from registry.identifiers import CreditCode

TYPE: Final = "qq-registration+jwt"
REQUEST_CHARACTERS: Final = compact.MAX_CHARACTERS
BY_HAND_SECONDS: Final = 7 * 86_400  # a file is on its way that long at most
MOST_PROOFS: Final = 8
MOST_REGIONS: Final = 100
MOST_A_MONTH: Final = 10_000_000
_MAILBOX: Final = r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
_REGION: Final = re.compile(r"[0-9]{6}([0-9]{3}([0-9]{3})?)?", re.ASCII)


def _visible(text: str) -> str:
    """Refuse marks that are not seen: two officers decide by what they see."""
    if not text.isprintable():
        raise ValueError("visible characters only")
    return text


Short = Annotated[str, Field(min_length=2, max_length=120), AfterValidator(_visible)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class RoleModel(_Strict):
    """Who answers for a matter: an office, its telephone and its mailbox. No person's name, nobody's mobile."""

    office: Short
    phone: str = Field(max_length=24)
    email: str = Field(pattern=_MAILBOX, max_length=200)


class ContactModel(_Strict):
    """How the lender is reached by people; they are told of it before they agree (个人信息保护法 §23)."""

    office: Short
    phone: str = Field(max_length=24)
    address: Short
    email: str | None = Field(default=None, max_length=200)
    url: str | None = Field(default=None, max_length=200)


class CapsModel(_Strict):
    """Questions of one day and of one calendar month (Beijing), asked singly or in batches."""

    daily: int = Field(ge=1, le=MOST_A_MONTH)
    monthly: int = Field(ge=1, le=MOST_A_MONTH)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.daily > self.monthly:
            raise ValueError("a day has no more than its month")
        return self


class RegistrationModel(_Strict):
    """The members of a registration request. Those of RFC 7591 have its names."""

    client_name: Short
    organisation: Short = Field(description="full name, exactly as consents name it")
    uscc: str = Field(description="unified social credit code (统一社会信用代码)", max_length=18)
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = Field(default=None, max_length=300)
    redirect_uris: list[str] = Field(default_factory=list, max_length=redirects.MOST)
    contacts: list[Annotated[str, Field(pattern=_MAILBOX, max_length=200)]] = Field(min_length=1, max_length=4)
    scope: str | None = Field(default=None, max_length=300)
    contact: ContactModel
    technical_contact: RoleModel
    security_contact: RoleModel
    service_regions: list[str] = Field(min_length=1, max_length=MOST_REGIONS)
    caps: CapsModel


_MEMBERS: Final = frozenset(
    name for model in (RegistrationModel, ContactModel, RoleModel, CapsModel) for name in model.model_fields
)
_CLAIMS: Final = frozenset({"aud", "iat", "exp", "nbf", "jti", "iss", "sub"})  # of the JWT, not of the registration


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that holds by itself: its content as two officers will see it, and what has to be spent with it."""

    organisation: str
    content: dict[str, Any]
    thumbprints: tuple[str, ...]
    spends: tuple[Spend, ...]


def read(
    text: str, proofs: Sequence[str], *, issuer: str, sandbox: bool, now: datetime, by_hand: bool = False
) -> Asked:
    """Do steps 1 to 5. What is handed in `by_hand` may have been signed days ago.

    Raises:
        RequestRefused: `registration-malformed`, `possession-unproven`, `client-unregistrable` (a redirect URI).
        KeyRefused: a key that nobody may register.
    """
    parts = possession.read(text)  # 1
    stated = _stated({name: value for name, value in parts.claims.items() if name not in _CLAIMS})  # 2
    if (stated.jwks is None) == (stated.jwks_uri is None):  # 3
        raise _malformed("jwks or jwks_uri: one of the two")
    age = BY_HAND_SECONDS if by_hand else possession.MAX_AGE_SECONDS
    key, spends, thumbprints = _signer(
        parts, stated, proofs, partial(possession.prove_each, issuer=issuer, now=now, max_age_seconds=age)
    )  # 4
    if stated.jwks_uri is not None:
        _refuse_address(stated.jwks_uri, sandbox=sandbox)
    content = _content(stated) | {"signed_by": key.thumbprint, "thumbprints": sorted(thumbprints)}  # 5
    proven = possession.prove(parts, key, typ=TYPE, issuer=issuer, now=now, max_age_seconds=age)
    return Asked(content["organisation"], content, tuple(sorted(thumbprints)), (proven.spend, *spends))


def _stated(members: Mapping[str, Any]) -> RegistrationModel:
    try:
        return RegistrationModel.model_validate(members)
    except ValidationError as error:
        places = sorted({place for one in error.errors(include_input=False) if (place := _place(one["loc"]))})
        raise _malformed(", ".join(places) or "unknown members") from error


def _place(steps: Sequence[object]) -> str:
    """Name a place by names of ours alone."""
    known = [str(step) for step in steps if isinstance(step, int) or step in _MEMBERS]
    return ".".join(known) if known and known[0] in RegistrationModel.model_fields else ""


def _signer(
    parts: compact.Compact, stated: RegistrationModel, proofs: Sequence[str], prove_each: Callable[..., list[Spend]]
) -> tuple[PublicKey, list[Spend], tuple[str, ...]]:
    """Find the key that signed; check the proofs of the others."""
    if stated.jwks is None:
        if proofs:
            raise _malformed("jwks_uri: its keys prove themselves by lying there")
        return read_jwk(parts.header.get("jwk")), [], ()
    keys = read_jwks(stated.jwks)
    key = choose(keys, parts.header)
    if key is None:
        raise RequestRefused("possession-unproven", "the request is signed with none of its keys")
    names = [entry.key.thumbprint for entry in keys]
    if len(set(names)) != len(names):
        raise _malformed("jwks: a key stands twice")
    others = [entry for entry in keys if entry.key.thumbprint != key.thumbprint]
    spends = prove_each(proofs, others, standing=names, client_id=None)
    return key, spends, tuple(names)


def _refuse_address(uri: str, *, sandbox: bool) -> None:
    try:
        push_targets.check(uri, sandbox=sandbox)
    except RequestRefused as refused:
        raise _malformed("jwks_uri: https with a public host, without user, query or fragment") from refused
    if urlsplit(uri).scheme != "https" and not sandbox:
        raise _malformed("jwks_uri: https")


def _content(stated: RegistrationModel) -> dict[str, Any]:
    """Do step 5: write what is asked for the one way in which it is decided of."""
    if not names_one(stated.organisation):
        raise _malformed("organisation: the name of one organisation, in visible characters")
    try:
        code = CreditCode.parse(stated.uscc)
    except MalformedIdentifier as error:
        raise _malformed("uscc: it does not pass its check") from error
    reached = _reached("contact", stated.contact.model_dump())
    for name, role in (("technical_contact", stated.technical_contact), ("security_contact", stated.security_contact)):
        _reached(name, role.model_dump() | {"address": stated.contact.address})
    regions = sorted(set(stated.service_regions))
    if not all(_REGION.fullmatch(one) and divisions.division(one) is not None for one in regions):
        raise _malformed("service_regions: codes of divisions of this province, of 6, 9 or 12 digits, as of today")
    held = SCOPES_OF[Role.LENDER]
    scopes = sorted(held if stated.scope is None else set(stated.scope.split()))
    if not scopes or not held.issuperset(scopes):
        raise _malformed("scope: scopes of lenders only")
    return {
        "client_name": " ".join(stated.client_name.split()),
        "organisation": recipient_name(stated.organisation),
        "uscc": code.text,
        "jwks": None if stated.jwks is None else kept(stated.jwks),
        "jwks_uri": stated.jwks_uri,
        "redirect_uris": sorted({redirects.check(uri) for uri in stated.redirect_uris}),
        "contacts": sorted(set(stated.contacts)),
        "scopes": [str(one) for one in scopes],
        "contact": reached.as_json(),
        "technical_contact": stated.technical_contact.model_dump(),
        "security_contact": stated.security_contact.model_dump(),
        "service_regions": regions,
        "caps": stated.caps.model_dump(),
        "trial": None,
    }


def _reached(name: str, given: Mapping[str, Any]) -> Contact:
    try:
        return Contact.read(given)
    except ContactInvalid as error:
        raise _malformed(f"{name}: {error}") from error  # its sentences repeat nothing


def _malformed(detail: str) -> RequestRefused:
    return RequestRefused("registration-malformed", detail)
