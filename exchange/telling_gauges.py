"""Prometheus gauges of consents, of what is told of them, and of subscriptions. Labels are states: nobody is named."""

from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from exchange import consent_figures
from exchange.home import Home
from registry import clock
from registry.database import Transaction

_WAITING: Final = (
    "SELECT count(*), coalesce(extract(epoch FROM %s::timestamptz - min(e.at)), 0)::float"
    " FROM lender_event l JOIN log_entry e USING (entry_id) WHERE l.settled_at IS NULL"
)


_WEBHOOKS: Final = (  # as `exchange.monitoring.webhooks.Webhook.state` says it
    "SELECT count(*) FILTER (WHERE paused_at IS NOT NULL),"
    " count(*) FILTER (WHERE paused_at IS NULL AND verified_at IS NOT NULL),"
    " count(*) FILTER (WHERE paused_at IS NULL AND verified_at IS NULL AND asked_at IS NOT NULL),"
    " count(*) FILTER (WHERE paused_at IS NULL AND verified_at IS NULL AND asked_at IS NULL) FROM webhook"
)
_STATES: Final = ("paused", "verified", "pending", "unproven")
_TOLD: Final = (  # without an address nothing waits to be sent
    "SELECT count(*), coalesce(extract(epoch FROM %s::timestamptz - min(e.made_at)), 0)::float FROM monitor_event e"
    " JOIN webhook w USING (organisation) WHERE e.settled_at IS NULL"
)


class TellingGauges:
    """The gauges of one process; those of the process that leads are kept up (a job)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._consents = Gauge("qingqiao_consents", "Consents by state", ["state"], registry=registry)
        self._waiting = Gauge("qingqiao_events_waiting", "Events that have not arrived", registry=registry)
        self._oldest = Gauge(
            "qingqiao_events_oldest_seconds", "Age of the oldest event that has not arrived", registry=registry
        )
        self._paused = Gauge("qingqiao_event_pushes_paused", "Lenders to whom pushing is paused", registry=registry)
        self._open = Gauge("qingqiao_deletions_open", "Deletion notices without an answer", registry=registry)
        self._overdue = Gauge(
            "qingqiao_deletions_overdue", "Deletion notices without an answer in time", registry=registry
        )

        self._subscriptions = Gauge("qingqiao_subscriptions", "Subscriptions that live", registry=registry)
        self._webhooks = Gauge(
            "qingqiao_webhooks", "Addresses for events of subscriptions by state", ["state"], registry=registry
        )
        self._to_send = Gauge(
            "qingqiao_webhook_events_waiting", "Events of subscriptions that have not arrived", registry=registry
        )
        self._longest = Gauge("qingqiao_webhook_events_oldest_seconds", "Age of the oldest of these", registry=registry)

    def look(self, home: Home) -> None:
        """Read the figures anew."""
        now = clock.now()
        with home.database.transaction() as tx:
            for state, count in consent_figures.standing_now(tx).items():
                self._consents.labels(state).set(count)
            waiting, oldest = tx.execute(_WAITING, (now,)).fetchall()[0]
            self._waiting.set(waiting)
            self._oldest.set(oldest)
            self._paused.set(_count(tx, "SELECT count(*) FROM event_push WHERE paused_at IS NOT NULL"))
            self._open.set(_count(tx, "SELECT count(*) FROM deletion_notice WHERE acknowledged_at IS NULL"))
            self._overdue.set(
                _count(
                    tx,
                    "SELECT count(*) FROM deletion_notice WHERE acknowledged_at IS NULL AND due_at <= %s",
                    now,
                )
            )
            self._look_at_subscriptions(tx, now)

    def _look_at_subscriptions(self, tx: Transaction, now: datetime) -> None:
        self._subscriptions.set(_count(tx, "SELECT count(*) FROM monitor_subscription WHERE ended_at IS NULL"))
        for state, count in zip(_STATES, tx.execute(_WEBHOOKS).fetchall()[0], strict=True):
            self._webhooks.labels(state).set(count)
        waiting, oldest = tx.execute(_TOLD, (now,)).fetchall()[0]
        self._to_send.set(waiting)
        self._longest.set(oldest)


def _count(tx: Transaction, statement: str, *values: object) -> int:
    return int(tx.execute(statement, values).fetchall()[0][0])
