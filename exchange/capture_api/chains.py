"""`/v1/consents/offline` and `/v1/capture-devices`: what devices signed without signal, uploaded as chains."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from consent import taking
from exchange import problems
from exchange.capture import devices, offline
from exchange.capture.devices import Device
from exchange.capture.offline import Said
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock
from registry.canonical import unb64url

UPLOAD_PATH: Final = "/v1/consents/offline"
DEVICES_PATH: Final = "/v1/capture-devices"
_DEVICE: Final = r"^dev-[0-9a-f]{16}$"
_MOST_RECORDS: Final = taking.bounds().records_at_once


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SignedModel(_Model):
    """A record as the device signed it, and the signature: base64url of 64 bytes."""

    record: dict[str, Any]
    signature: str = Field(max_length=200)


class UploadModel(_Model):
    """A segment of one device's chain, in its order."""

    device: str = Field(pattern=_DEVICE)
    records: list[SignedModel] = Field(min_length=1, max_length=_MOST_RECORDS)


class HeadModel(_Model):
    """A device's head as it signed it."""

    device: str = Field(pattern=_DEVICE)
    head: dict[str, Any]
    signature: str = Field(max_length=200)


class SaidModel(BaseModel):
    """A reason, with cause and mend in Chinese and English."""

    code: str
    zh: str
    en: str
    mend_zh: str
    mend_en: str


class OutcomeModel(BaseModel):
    """What became of a record: a consent, or a reason."""

    counter: int
    consent_id: str | None
    reason: SaidModel | None
    repeated: bool = Field(description="it had been received before; this is what came of it then")


class BreakModel(BaseModel):
    """From here on nothing was taken: place in the upload (from 0), number, reason. All before it stands."""

    place: int
    counter: int | None
    reason: SaidModel


class DeviceModel(BaseModel):
    """A device: how far its chain has been received, and how many records it announced beyond (`offline_pending`)."""

    device: str
    state: str
    algorithm: str
    received: int
    head: str
    announced: int | None
    offline_pending: int
    announced_at: datetime | None
    upload_within_days: int


class ReceivedModel(BaseModel):
    """What became of an upload."""

    device: DeviceModel
    records: list[OutcomeModel]
    broken: BreakModel | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(tags=["lender"])
    calling = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    @router.post(UPLOAD_PATH, summary="Upload a chain", responses=problems.responses(400, 401, 403, 404, 409, 422))
    def upload(given: UploadModel, caller: calling) -> ReceivedModel:
        """Take a segment of a device's chain in; send it again if the line was cut: nothing is taken twice."""
        records = [(one.record, _signature(one.signature)) for one in given.records]
        received = offline.upload(home, caller, given.device, records, now=clock.now())
        outcomes = [
            OutcomeModel(counter=one.counter, consent_id=one.consent_id, reason=_said(one.said), repeated=one.repeated)
            for one in received.outcomes
        ]
        broken = None
        if received.broken is not None:
            place, counter, said = received.broken
            broken = BreakModel(place=place, counter=counter, reason=_told(said))
        return ReceivedModel(device=_shown(received.device), records=outcomes, broken=broken)

    @router.post(
        f"{DEVICES_PATH}/heads", summary="Announce a head", responses=problems.responses(401, 403, 404, 409, 422)
    )
    def announce(given: HeadModel, caller: calling) -> DeviceModel:
        """Say how far a device's chain has come, before its records can be uploaded."""
        said = offline.announce(home, caller, given.device, given.head, _signature(given.signature), now=clock.now())
        return _shown(said)

    @router.get(DEVICES_PATH, summary="Devices of the organisation", responses=problems.responses(401, 403))
    def listing(caller: calling) -> list[DeviceModel]:
        """List the organisation's devices, and what is pending of each."""
        with home.database.transaction() as tx:
            return [_shown(one) for one in devices.listing(tx, caller.org_code)]

    return router


def _signature(text: str) -> bytes:
    try:
        return unb64url(text)
    except ValueError as error:
        raise RequestRefused("request-malformed", "a signature is base64url of 64 bytes") from error


def _said(said: Said | None) -> SaidModel | None:
    return None if said is None else _told(said)


def _told(said: Said) -> SaidModel:
    return SaidModel(code=said.reason, zh=said.zh, en=said.en, mend_zh=said.mend_zh, mend_en=said.mend_en)


def _shown(device: Device) -> DeviceModel:
    said = device.announced
    return DeviceModel(
        device=device.device_id,
        state=device.state.value,
        algorithm=device.algorithm,
        received=device.stands.counter,
        head=device.stands.link.hex(),
        announced=None if said is None else said.counter,
        offline_pending=device.pending,
        announced_at=None if said is None else said.at,
        upload_within_days=taking.bounds().upload_within.days,
    )
