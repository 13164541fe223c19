"""`qingqiao serve` puts the doors and the scheduled jobs together: what each counts is at one door."""

import asyncio
from collections.abc import Callable
from time import monotonic, sleep

import httpx
import pytest
from fastapi import FastAPI

from exchange.cli import running
from exchange.home import Home
from tests.feeding import NIGHTLY, write_feed

NAME = "yushu_rating"


def get(app: FastAPI, path: str) -> str:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://exchange") as client:
            return await client.get(path)

    response = asyncio.run(ask())
    assert response.status_code == 200
    return response.text


def metrics_when(app: FastAPI, holds: Callable[[str], bool], seconds: float = 20.0) -> str:
    end = monotonic() + seconds
    while not holds(text := get(app, "/metrics")):
        assert monotonic() < end, text
        sleep(0.05)
    return text


def test_metrics_tell_of_doors_jobs_and_feeds_together(exchange_home: Home) -> None:
    write_feed(exchange_home.settings.home, NAME, schedule=NIGHTLY)
    app, jobs = running.together(exchange_home, with_jobs=True)
    assert jobs is not None
    get(app, "/healthz")
    jobs.start()
    try:
        lag = f'qingqiao_feed_lag_seconds{{feed="{NAME}"}}'
        done = 'qingqiao_job_last_success_timestamp_seconds{job="feeds:look"}'
        text = metrics_when(app, lambda text: lag in text and done in text)
    finally:
        jobs.stop()
    assert "qingqiao_jobs_leader 1.0" in text
    assert 'qingqiao_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text


@pytest.mark.parametrize("what", ["qingqiao_jobs_leader", "qingqiao_feed"])
def test_without_jobs_nothing_is_told_of_them(exchange_home: Home, what: str) -> None:
    app, jobs = running.together(exchange_home, with_jobs=False)
    assert jobs is None
    assert what not in get(app, "/metrics")
