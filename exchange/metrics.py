"""Prometheus metrics of the doors. Labels are route templates, methods, codes: never who or about whom."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_COMBINATIONS: Final = 2048  # route templates × methods × codes: bounded by the program, not by callers
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one application; each has a registry of its own, so that two may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "qingqiao_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "qingqiao_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._token_errors = Counter(
            "qingqiao_token_errors", "Token requests refused", ["error"], registry=self.registry
        )
        self._limited = Counter("qingqiao_limited", "Questions over a limit", ["code"], registry=self.registry)
        self._children: Callable[[str, str, int], tuple[Counter, Histogram]] = lru_cache(_COMBINATIONS)(self._labelled)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is the template, such as `/v1/queries/{query_id}/evidence`."""
        counter, histogram = self._children(method if method in _METHODS else "OTHER", route, status)
        counter.inc()
        histogram.observe(seconds)

    def token_refused(self, error: str) -> None:
        """Count a refusal of the token endpoint by its OAuth error code."""
        self._token_errors.labels(error).inc()

    def limited(self, code: str) -> None:
        """Count a question that was over a limit, by the problem's code."""
        self._limited.labels(code).inc()

    def exposition(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self.registry)

    def _labelled(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, route, str(status)), self._durations.labels(route)
