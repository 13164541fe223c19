"""The public log over HTTP: what is signed can be fetched, what is spelled wrongly or not reached cannot."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI, Response

from exchange import log_api
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import log, merkle, tiles
from registry.checkpoint import Checkpoint
from registry.database import Database
from registry.keyring import Keyring

NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
ORIGIN = "log.example/test"
ENTRIES = 600  # two full tiles and one of 88


def fill(database: Database, keyring: Keyring, count: int) -> Checkpoint:
    with database.transaction() as tx:
        log.append(tx, [log.Entry("test:entry:written", NOON, "system", {"n": number}) for number in range(count)])
    made = log.sequence_all(database, keyring.log_signers(), ORIGIN, now=NOON)
    assert made is not None
    return made


@pytest.fixture
def keyring(home: Path) -> Keyring:
    return Keyring.create(home, origin=ORIGIN, now=NOON)


class Reader:
    """Somebody who reads the log over HTTP, without a network."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._get(path))

    async def _get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://log") as client:
            return await client.get(path)


@pytest.fixture
def client(database: Database) -> Reader:
    app = FastAPI()

    @app.exception_handler(RequestRefused)
    def refused(_: Any, error: RequestRefused) -> Response:
        return Response(error.code, 404)

    app.include_router(log_api.build_router(cast("Home", SimpleNamespace(database=database))))
    return Reader(app)


def test_before_the_first_entry_there_is_no_checkpoint(client: Reader) -> None:
    assert client.get("/log/checkpoint").status_code == 404


def test_anybody_can_rebuild_the_signed_root_from_what_is_served(
    client: Reader, database: Database, keyring: Keyring
) -> None:
    signed = fill(database, keyring, ENTRIES)
    note = client.get("/log/checkpoint")
    assert note.headers["content-type"].startswith("text/plain")
    assert note.text.split("\n")[:2] == [ORIGIN, str(ENTRIES)]
    entries: list[bytes] = []
    hashes = b""
    for path in ("000", "001", "002.p/88"):
        entries += tiles.unbundle(client.get(f"/log/tile/entries/{path}").content)
        hashes += client.get(f"/log/tile/0/{path}").content
    leaves = merkle.leaf_hashes(entries)
    assert b"".join(leaves) == hashes
    assert merkle.root(leaves) == signed.root
    assert client.get("/log/tile/1/000.p/2").content == merkle.root(leaves[:256]) + merkle.root(leaves[256:512])


def test_only_a_full_tile_is_called_immutable(client: Reader, database: Database, keyring: Keyring) -> None:
    fill(database, keyring, ENTRIES)
    assert "immutable" in client.get("/log/tile/0/000").headers["cache-control"]
    assert "immutable" not in client.get("/log/tile/0/002.p/88").headers["cache-control"]
    assert client.get("/log/checkpoint").headers["cache-control"] == "no-cache"


def test_a_width_once_published_stays_when_the_tile_has_grown(
    client: Reader, database: Database, keyring: Keyring
) -> None:
    fill(database, keyring, 5)
    before = [client.get(f"/log/tile/{level}/000.p/5").content for level in ("0", "entries")]
    fill(database, keyring, 300)
    assert [client.get(f"/log/tile/{level}/000.p/5").content for level in ("0", "entries")] == before
    assert len(before[0]) == 5 * merkle.HASH_BYTES


@pytest.mark.parametrize(
    "path",
    [
        "0/002",  # partial, asked for as full
        "0/002.p/89",  # not reached
        "0/003.p/1",
        "entries/003.p/1",
        "2/000.p/1",
        "0/0",
        "00/000",
        "-1/000",
        "0/x000/000",  # not the shortest spelling
        "0/000.p/256",
        "0/000.p/0",
        "64/000",
        "entries/000/",
        "x/000",
        "0/x999/x999/x999/x999/x999/999",
    ],
)
def test_what_is_not_there_or_misspelled_is_not_found(
    client: Reader, database: Database, keyring: Keyring, path: str
) -> None:
    fill(database, keyring, ENTRIES)
    assert client.get(f"/log/tile/{path}").status_code == 404
