"""The lenders' doors for subscriptions, their events, and the address that these are sent to.

Subscribing is a question in mode `monitor` and wants the scope of questions; following what happens wants the scope of
consents, which a token that rests on one person's agreement does not have. Another organisation's subscription is
answered as what does not exist.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response

from consent import purposes
from consent.record import midnight
from consent.scope import Mode as AnswerMode
from exchange import once, paging, problems
from exchange.errors import RequestRefused
from exchange.home import Home, Mode
from exchange.limits.shown import headers
from exchange.monitoring import keeping, reading, webhooks
from exchange.monitoring.keeping import Subscription
from exchange.monitoring.models import (
    AddressModel,
    AgainedModel,
    AgainModel,
    DeliveriesModel,
    DeliveryModel,
    EventsModel,
    SubscribeModel,
    SubscriptionModel,
    SubscriptionsModel,
    WebhookModel,
)
from exchange.monitoring.webhooks import Webhook
from exchange.naming import identifier_of, refuse_personal
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller, hold
from exchange.oauth.scopes import Scope
from exchange.release import Ask, Refused
from exchange.release.watching import Watch, subscribe
from registry import catalogue, clock
from registry.canonical import canonical
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction
from registry.errors import CatalogueError

PATH: Final = "/v1/subscriptions"
WEBHOOK_PATH: Final = "/v1/webhook"
EVENTS_PATH: Final = "/v1/events"
JSON: Final = "application/json"
_SUBSCRIPTIONS: Final = "subscription"
_EVENTS: Final = "event"
_DELIVERIES: Final = "delivery"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_Limit = Annotated[int, Query(ge=1, le=keeping.PAGE_MOST)]


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    router.routes.extend(_subscribing(home).routes)
    router.routes.extend(_following(home).routes)
    router.routes.extend(_webhook(home).routes)
    return router


# ---- subscriptions --------------------------------------------------------------------------------------------------


def _subscribing(home: Home) -> APIRouter:
    router = APIRouter(prefix=PATH, tags=["lender"])
    asking = Annotated[Caller, Depends(require(Scope.QUERIES))]
    following = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    @router.post(
        "",
        status_code=201,
        summary="Subscribe to what changes",
        response_model=SubscriptionModel,
        responses={200: {"model": SubscriptionModel}, **problems.responses(400, 401, 403, 409, 422, 429)},
    )
    def make(given: SubscribeModel, caller: asking, idempotency_key: once.Key = None) -> Response:
        """Subscribe, as a question in mode monitor: decided, logged, one use. The same key gives the same again."""
        fresh: list[bool] = []

        def keep(tx: Transaction, watch: Watch, now: datetime) -> None:
            until = None if given.until is None else midnight(given.until + timedelta(days=1))
            fresh.append(keeping.keep(tx, watch, given.events, until, now=now))

        outcome = subscribe(home, _ask(given, caller, idempotency_key), keep)
        if isinstance(outcome, Refused):
            refusal = problems.refusal(outcome.reason, outcome.query_id, issuer=home.settings.issuer)
            refusal.headers.update(headers(outcome.left))
            return refusal
        with home.database.transaction() as tx:
            shown = _shown(keeping.one_of(tx, caller.org_code, outcome.watch.subscription_id))
        told = {**_NO_STORE, **headers(outcome.left)}
        return Response(shown.model_dump_json(), 201 if fresh[-1] else 200, told, JSON)

    @router.get("", summary="Your subscriptions", responses=problems.responses(400, 401, 403, 422))
    def see(caller: following, cursor: paging.Cursor = None, limit: _Limit = 50) -> SubscriptionsModel:
        """List your organisation's subscriptions, ended ones too."""
        place = paging.place(_SUBSCRIPTIONS, cursor) or 0
        with home.database.transaction() as tx:
            found = keeping.of_lender(tx, caller.org_code, after=place, limit=limit + 1)
        page, more = paging.page(_SUBSCRIPTIONS, found, limit)
        return SubscriptionsModel(subscriptions=[_shown(one) for one in page], next=more)

    @router.get("/{subscription_id}", summary="One subscription", responses=problems.responses(401, 403, 404, 422))
    def see_one(subscription_id: UUID, caller: following) -> SubscriptionModel:
        """Show one subscription."""
        with home.database.transaction() as tx:
            return _shown(keeping.one_of(tx, caller.org_code, subscription_id))

    @router.delete(
        "/{subscription_id}",
        status_code=204,
        summary="End a subscription",
        responses=problems.responses(401, 403, 404, 422),
    )
    def end(subscription_id: UUID, caller: following) -> None:
        """Hear no more; what has not arrived is not sent. Ending it once more changes nothing."""
        with home.database.transaction() as tx:
            keeping.give_up(tx, caller.org_code, subscription_id, actor=caller.client_id, now=clock.now())

    return router


def _ask(given: SubscribeModel, caller: Caller, key: str | None) -> Ask:
    """Turn a request into the gate's question.

    Raises:
        RequestRefused: a purpose, an item or a day that there is not, or a token that rests on another consent.
    """
    staff = (given.staff.user_id, given.staff.department) if given.staff else None
    refuse_personal(given.business_no, *(staff or ()))
    if purposes.current().get(given.purpose) is None:
        raise RequestRefused("purpose-unknown")
    if given.until is not None and given.until < beijing_day(clock.now()):
        raise RequestRefused("request-malformed", "until lies in the past")
    try:
        items = None if given.items is None else catalogue.current().expand(given.items)
    except CatalogueError as error:
        raise RequestRefused("item-unknown", "an item that the catalogue does not have; see /v1/catalogue") from error
    if given.consent_id is not None and caller.consent_id not in (None, given.consent_id):
        raise RequestRefused("other-consent")
    return Ask(
        presented=caller if given.consent_id is None else replace(caller, consent_id=given.consent_id),
        identifier=None if given.subject is None else identifier_of(given.subject),
        purpose=given.purpose,
        mode=AnswerMode.MONITOR,
        items=items,
        body=canonical(given.model_dump(mode="json")),
        business_no=given.business_no,
        staff=staff,
        idempotency_key=key,
    )


def _shown(one: Subscription) -> SubscriptionModel:
    watch = one.watch
    return SubscriptionModel(
        subscription_id=watch.subscription_id,
        consent_id=watch.consent_id,
        purpose=watch.purpose,
        business_no=watch.business_no,
        items=sorted(watch.items),
        events=sorted(one.events),
        made_at=rfc3339(one.made_at),
        until=rfc3339(one.until) if one.until else None,
        latest=one.sequence,
        ended_at=rfc3339(one.ended_at) if one.ended_at else None,
        ended=one.ended,
    )


# ---- events ---------------------------------------------------------------------------------------------------------


def _following(home: Home) -> APIRouter:
    router = APIRouter(tags=["lender"])
    written = orjson.dumps(reading.schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @router.get(EVENTS_PATH, summary="What happened", responses=problems.responses(400, 401, 403, 422))
    def events(
        caller: Annotated[Caller, Depends(require(Scope.CONSENTS))],
        response: Response,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=reading.PAGE_MOST)] = 50,
    ) -> EventsModel:
        """Read what your subscriptions told, in order, kept 90 days; what no consent permits now is left out."""
        response.headers.update(_NO_STORE)
        place = paging.place(_EVENTS, cursor) or 0
        with home.database.transaction() as tx:
            found, reached, more = reading.page(tx, caller.org_code, after=place, limit=limit)
        said = [reading.envelope(home.settings.issuer, one) for one in found]
        return EventsModel(events=said, next=paging.placed(_EVENTS, reached), more=more)

    @router.get(reading.SCHEMA_PATH, summary="The form of an event", response_class=Response)
    def schema() -> Response:
        """Give the JSON Schema of an event and of a challenge."""
        return Response(written, 200, {"Cache-Control": "public, max-age=3600"}, "application/schema+json")

    return router


# ---- the address ----------------------------------------------------------------------------------------------------


def _webhook(home: Home) -> APIRouter:
    router = APIRouter(prefix=WEBHOOK_PATH, tags=["lender"])
    following = Annotated[Caller, Depends(require(Scope.CONSENTS))]

    @contextmanager
    def changing(caller: Caller) -> Iterator[Transaction]:
        with home.database.transaction() as tx:
            hold(tx, caller, scope=Scope.CONSENTS, now=clock.now())
            yield tx

    @router.put("", summary="Have events sent to an address", responses=problems.responses(401, 403, 422, 429))
    def register(given: AddressModel, caller: following) -> WebhookModel:
        """Register your organisation's address. It is challenged within a second; until it answers nothing is sent."""
        sandbox = home.installation.mode is Mode.SANDBOX
        with changing(caller) as tx:
            return _address(
                webhooks.register(tx, caller.org_code, caller.client_id, given.url, sandbox=sandbox, now=clock.now())
            )

    @router.get("", summary="The address and how it fares", responses=problems.responses(401, 403, 404))
    def see(caller: following) -> WebhookModel:
        """Show your organisation's address."""
        with home.database.transaction() as tx:
            found = webhooks.find(tx, caller.org_code)
        if found is None:
            raise RequestRefused("webhook-unknown")
        return _address(found)

    @router.delete("", status_code=204, summary="Send nothing any more", responses=problems.responses(401, 403))
    def remove(caller: following) -> None:
        """Take the address back; events can be read as before."""
        with changing(caller) as tx:
            webhooks.remove(tx, caller.org_code, caller.client_id, now=clock.now())

    @router.post(
        "/test",
        status_code=202,
        summary="Have the address challenged again",
        responses=problems.responses(401, 403, 404, 429),
    )
    def test(caller: following) -> WebhookModel:
        """Challenge the address once more: to see that it works, and to end a pause."""
        with changing(caller) as tx:
            return _address(webhooks.ask(tx, caller.org_code, now=clock.now()))

    @router.post(
        "/replay",
        status_code=202,
        summary="Have events sent again",
        responses=problems.responses(400, 401, 403, 404, 422),
    )
    def replay(given: AgainModel, caller: following) -> AgainedModel:
        """Send all events behind a cursor again, under the same ids and in the same order."""
        place = paging.place(_EVENTS, given.after) or 0
        with changing(caller) as tx:
            count = webhooks.replay(tx, caller.org_code, caller.client_id, after=place, now=clock.now())
        return AgainedModel(events=count)

    @router.get("/deliveries", summary="The delivery log", responses=problems.responses(400, 401, 403, 422))
    def deliveries(caller: following, cursor: paging.Cursor = None, limit: _Limit = 50) -> DeliveriesModel:
        """List attempts to send something to your address, the latest first, kept 90 days."""
        place = paging.place(_DELIVERIES, cursor)
        with home.database.transaction() as tx:
            found = webhooks.deliveries(tx, caller.org_code, before=place, limit=limit + 1)
        page, more = paging.page(_DELIVERIES, found, limit)
        shown = [
            DeliveryModel(
                event_id=one.event_id,
                at=rfc3339(one.at),
                attempt=one.attempt,
                outcome=one.outcome,
                milliseconds=one.milliseconds,
            )
            for one in page
        ]
        return DeliveriesModel(deliveries=shown, next=more)

    return router


def _address(one: Webhook) -> WebhookModel:
    return WebhookModel.model_validate(
        {
            "url": one.url,
            "state": one.state,
            "since": rfc3339(one.since),
            "verified_at": rfc3339(one.verified_at) if one.verified_at else None,
            "failures": one.failures,
            "next_at": rfc3339(one.next_at),
            "paused_at": rfc3339(one.paused_at) if one.paused_at else None,
            "paused": one.paused,
        }
    )
