"""The one public door of persons: a phone is bound with the code that its owner was handed in person.

The phone sends whose it is, the code, and its public key, with a DPoP proof by that key. Whatever is wrong with the
person or the code, the answer is one and the same, after the same steps; five wrong tries end a code, and nobody
without its first half has any (`exchange.binding_codes`).
"""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from exchange import binding, binding_codes, problems
from exchange.errors import KeyRefused, ProofRefused, RequestRefused
from exchange.home import Home
from exchange.naming import Printable, SubjectModel, identifier_of
from exchange.oauth import dpop
from exchange.oauth.jwks import read_jwk
from exchange.oauth.profile import Profile
from registry import clock
from registry.clock import rfc3339
from registry.suites import OCRA_SUITE

BINDINGS_PATH: Final = "/subject/v1/bindings"
_NO_STORE: Final = "no-store"
_MEMBERS_MOST: Final = 16


class PersonModel(SubjectModel):
    """Whose phone it is: a person, by the resident id (公民身份号码)."""

    type: Literal["resident_id"]


class BindModel(BaseModel):
    """What the phone shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    subject: PersonModel
    code: Annotated[str, Field(pattern=r"^[0-9]{16}$", description="the sixteen digits that were handed out")]
    jwk: dict[Printable, Any] = Field(max_length=_MEMBERS_MOST, description="the phone's public key (RFC 7517)")


class PageCodesModel(BaseModel):
    """The secret of the codes that confirm on a page where the phone has no signal. Told this once."""

    secret: str = Field(description="base32")
    suite: Literal["OCRA-1:HOTP-SHA256-8:QN08-T30S"] = OCRA_SUITE


class BoundModel(BaseModel):
    """The phone's client. `waiting`: it is active from `active_from`, unless the phone before refuses it."""

    client_id: str
    state: Literal["active", "waiting"]
    active_from: str
    token_endpoint: str
    issuer: str
    page_codes: PageCodesModel


def build_router(home: Home) -> APIRouter:
    """Build the route over an installation."""
    router = APIRouter(tags=["subject: phones"])
    profile = Profile(home.settings.issuer)

    @router.post(
        BINDINGS_PATH, status_code=201, summary="Bind a phone", responses=problems.responses(401, 403, 422, 429, 503)
    )
    def bind(given: BindModel, request: Request, response: Response) -> BoundModel:
        """Bind the phone whose key signed the proof; a phone after the first waits 72 hours."""
        identifier = identifier_of(given.subject)
        now = clock.now()
        proofs = request.headers.getlist("dpop")
        if len(proofs) != 1 or not proofs[0].isascii():
            raise ProofRefused("DPoP proof: exactly one DPoP header is needed")
        proof = dpop.verify(proofs[0], method="POST", url=profile.address(BINDINGS_PATH), now=now)
        if _thumbprint(given.jwk) != proof.thumbprint:
            raise ProofRefused("DPoP proof: its key is not the one to be bound")
        source = request.client.host if request.client else ""
        with home.database.transaction() as tx:  # committed also where the answer is no: it counts tries
            bound = binding.bind(tx, home, identifier, given.code, _public(given.jwk), proof, source=source, now=now)
            slowed = binding_codes.slowed(tx, home, source, now=now)
        if bound is None:
            raise RequestRefused("too-often" if slowed else "binding-refused")
        response.headers["Cache-Control"] = _NO_STORE
        return BoundModel(
            client_id=bound.client_id,
            state="active" if bound.state is binding.State.ACTIVE else "waiting",
            active_from=rfc3339(bound.active_from),
            token_endpoint=profile.token_endpoint,
            issuer=profile.issuer,
            page_codes=PageCodesModel(secret=bound.page_secret),
        )

    return router


def _thumbprint(jwk: dict[str, Any]) -> str:
    try:
        return read_jwk(jwk).thumbprint
    except KeyRefused as error:
        raise ProofRefused(f"DPoP proof: {error}") from error


def _public(jwk: dict[str, Any]) -> dict[str, Any]:
    """Keep the members that make the key, and nothing that somebody might have written beside them."""
    return {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
