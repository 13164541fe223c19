"""The doors for what was found of limits: a regulator sees all of it, a lender's system what was found of itself.

A lender is told nothing of what others asked (`alerts.read_own`). No subject stands in an alert. That a
regulator read them is an entry of the log.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from exchange import paging, problems
from exchange.home import Home
from exchange.limits import alerts
from exchange.oauth.doors import require, require_own
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from registry import clock

_Limit = Annotated[int, Query(ge=1, le=alerts.PAGE_MOST)]


class AlertModel(BaseModel):
    """A rule that one system, or one user of it, ran into on one day."""

    alert_id: UUID
    rule: str = Field(description="AQ04, AQ05, AQ06, AQ10 or AQ17", examples=["AQ17"])
    code: str = Field(
        description="code of the problem that was answered; subject-crowded: none was", examples=["daily-cap"]
    )
    client_id: str
    organisation: str
    user_code: str | None = Field(description="the lender's own code of the user; null: no user's limit")
    window_seconds: int = Field(description="within which it was counted")
    counted: int = Field(description="how many raised it")
    refused: int = Field(description="questions of that day that were refused for it")
    raised_at: datetime
    last_at: datetime
    held_until: datetime | None = Field(description="until then nothing new is answered; null: nobody is held")


class AlertsModel(BaseModel):
    """A page of alerts, the newest first."""

    alerts: list[AlertModel]
    next: str | None


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()

    @router.get(
        "/audit/v1/alerts", tags=["regulator"], summary="Read alerts", responses=problems.responses(400, 401, 403, 422)
    )
    def all_alerts(
        caller: Annotated[Caller, Depends(require(Scope.AUDIT_READ))],
        rule: Annotated[str | None, Query(pattern=r"^AQ[0-9]{2}$", examples=["AQ17"])] = None,
        client_id: Annotated[str | None, Query(max_length=64)] = None,
        limit: _Limit = 50,
        cursor: paging.Cursor = None,
    ) -> AlertsModel:
        """Give a page of what was found of limits. That it was read is an entry of the log."""
        with home.database.transaction() as tx:
            page = alerts.read(tx, limit=limit, cursor=cursor, client_id=client_id, rule=rule)
            alerts.note_reading(tx, caller.client_id, len(page[0]), at=clock.now())
        return _page(*page)

    @router.get(
        "/v1/alerts", tags=["lender"], summary="Alerts of your system", responses=problems.responses(400, 401, 403, 422)
    )
    def own_alerts(
        caller: Annotated[Caller, Depends(require_own(Scope.QUERIES))], limit: _Limit = 50, cursor: paging.Cursor = None
    ) -> AlertsModel:
        """Give a page of what was found of the system that asks: which limits it ran into, and which of its users."""
        with home.database.transaction() as tx:
            return _page(*alerts.read_own(tx, caller.client_id, limit=limit, cursor=cursor))

    return router


def _page(shown: list[alerts.Alert], following: str | None) -> AlertsModel:
    return AlertsModel(alerts=[_model(one) for one in shown], next=following)


def _model(one: alerts.Alert) -> AlertModel:
    return AlertModel(
        alert_id=one.alert_id,
        rule=one.rule,
        code=one.code,
        client_id=one.client_id,
        organisation=one.organisation,
        user_code=one.user_code or None,
        window_seconds=one.window_seconds,
        counted=one.counted,
        refused=one.refused,
        raised_at=one.raised_at,
        last_at=one.last_at,
        held_until=one.held_until,
    )
