"""Signed manifests, sent before or after the bytes they speak of, and the keys that count for an organisation."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from connectors import manifests
from connectors.errors import ManifestRefused
from exchange import problems
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock


class SignedManifest(BaseModel):
    """A manifest as it is sent: compact JWS, payload inside."""

    model_config = ConfigDict(extra="forbid")

    manifest: Annotated[str, Field(max_length=manifests.MOST_CHARACTERS, examples=["eyJhbGciOiJFZDI1NTE5Ii…"])]


class ManifestReceipt(BaseModel):
    """What was kept. `manifest_id` is the SHA-256 of the JWS; the log's entry names it and the key."""

    manifest_id: str = Field(examples=["b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"])
    key_id: str = Field(examples=["5f2c1e9a0b7d4c6e8f1a2b"])
    files: int = Field(examples=[1])


class SigningKey(BaseModel):
    """A key registered for the organisation. It counts from `valid_from` until it ends or was revoked."""

    key_id: str
    algorithm: str = Field(examples=["Ed25519"], description="Ed25519 or SM2")
    valid_from: datetime
    valid_until: datetime | None
    revoked_at: datetime | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1", tags=["agency: signatures"])

    @router.post(
        "/manifests", status_code=201, summary="Send a signed manifest",
        responses=problems.responses(400, 401, 403, 413, 422),
    )  # fmt: skip
    def send(body: SignedManifest, caller: Annotated[Caller, Depends(require(Scope.AGENCY_UPLOAD))]) -> ManifestReceipt:
        """Keep a manifest. Files that it lists and that are here already are weighed again under it."""
        try:
            with home.database.transaction() as tx:
                kept = manifests.receive(
                    tx, body.manifest, agency=caller.org_code, client_id=caller.client_id, now=clock.now()
                )
        except ManifestRefused as error:
            raise RequestRefused("manifest-refused", str(error)) from error
        return ManifestReceipt(manifest_id=kept.manifest_id, key_id=kept.key_id, files=kept.files)

    @router.get("/keys", summary="The organisation's signing keys", responses=problems.responses(401, 403))
    def keys(caller: Annotated[Caller, Depends(require(Scope.AGENCY_READ))]) -> list[SigningKey]:
        """List the keys whose signatures count, or counted."""
        with home.database.transaction() as tx:
            found = manifests.keys_of(tx, caller.org_code)
        return [
            SigningKey(
                key_id=one.key_id,
                algorithm=one.public.algorithm,
                valid_from=one.valid_from,
                valid_until=one.valid_until,
                revoked_at=one.revoked_at,
            )
            for one in found
        ]

    return router
