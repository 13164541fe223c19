"""A tus client that is not ours (tuspy, of the tus project) uploads to the real server, is cut, and goes on.

All that is added to it are the credentials of each request: a DPoP proof names the method and the address.
"""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.uploader.uploader import Uploader

from registry.database import Database
from registry.suites import sha256
from sandbox.agencies.faults import Fault
from sandbox.agency import ALL_SCOPES, Agency
from sandbox.manifests import hashes_of
from tests.corpus.workbooks import FILE, HEADER, one, rows
from tests.serving import Exchange, exchange_behind_a_line

CONTENT = one([HEADER, *rows(400)])


@pytest.fixture
def exchange(home: Path, database: Database, keystore: Database) -> Iterator[Exchange]:
    with exchange_behind_a_line(home, database, keystore) as served:
        yield served


@pytest.fixture
def sender(exchange: Exchange) -> Iterator["Sender"]:
    made = Sender(exchange)
    with closing(made.clerk):
        yield made


class Sender:
    """A system of the office with a token; `uploader` makes tuspy's uploader with its credentials."""

    def __init__(self, exchange: Exchange) -> None:
        self.issuer = exchange.home.settings.issuer
        self.clerk = Agency(self.issuer, exchange.enrolled("office-gateway"), scope=ALL_SCOPES)
        self.token, self.key = self.clerk.credentials()

    def headers(self, method: str, url: str) -> dict[str, str]:
        said = {"htm": method, "htu": url, "iat": int(time.time()), "jti": str(uuid4()), "ath": _hashed(self.token)}
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return {"Authorization": f"DPoP {self.token}", "DPoP": _proof(head, said, self.key)}

    def uploader(self, **how: Any) -> Uploader:
        sender, uploads = self, f"{self.issuer}/agency/v1/uploads"

        class Proving(Uploader):
            method = "PATCH"

            def get_headers(self) -> dict[str, str]:
                where = uploads if self.method == "POST" else str(self.url)
                plain = super().get_headers()  # type: ignore[no-untyped-call]  # published with few types
                return {**plain, **sender.headers(self.method, where)}

            def get_url_creation_headers(self) -> dict[str, str]:
                return dict(self._as("POST", super().get_url_creation_headers))

            def get_offset(self) -> int:
                return int(self._as("HEAD", super().get_offset))

            def _as(self, method: str, what: Any) -> Any:
                self.method = method
                try:
                    return what()
                finally:
                    self.method = "PATCH"

        return Proving(client=TusClient(uploads), file_stream=BytesIO(CONTENT), metadata={"filename": FILE}, **how)


def _hashed(token: str) -> str:
    return urlsafe_b64encode(sha256(token.encode())).decode().rstrip("=")


def _proof(head: dict[str, Any], said: dict[str, Any], key: ECKey) -> str:
    return jwt.encode(head, said, key)


@pytest.mark.parametrize("how", [{}, {"chunk_size": 4_096, "upload_checksum": True}], ids=["whole", "checked pieces"])
def test_it_uploads_a_file_that_is_then_taken_in(exchange: Exchange, sender: Sender, how: dict[str, Any]) -> None:
    uploader = sender.uploader(**how)
    uploader.upload()
    assert uploader.offset == len(CONTENT)
    standing = _taken_in(exchange, sender, uploader)
    assert (standing["state"], standing["received_bytes"]) == ("done", len(CONTENT))
    (batch_id,) = standing["batches"]
    batch = sender.clerk.batch(batch_id)
    assert (batch["rows"], batch["sha256"]) == (400, hashes_of(CONTENT).sha256)


def test_cut_in_the_middle_it_goes_on_by_itself_from_what_had_arrived(exchange: Exchange, sender: Sender) -> None:
    uploader = sender.uploader(retries=20, retry_delay=0.2)
    uploader.upload(stop_at=1)  # created, a first byte sent
    exchange.faults.on(Fault.RESET, times=2, amount=len(CONTENT) // 2)
    uploader.upload()
    assert _taken_in(exchange, sender, uploader)["state"] == "done"


def test_another_run_of_it_resumes_at_the_address_that_the_first_one_was_given(
    exchange: Exchange, sender: Sender
) -> None:
    first = sender.uploader(chunk_size=2_000)
    first.upload(stop_at=6_000)
    exchange.faults.on(Fault.RESET, times=1, amount=1_500)
    with pytest.raises((TusUploadFailed, TusCommunicationError)):
        first.upload()
    again = sender.uploader(url=first.url)
    assert 6_000 <= again.offset < len(CONTENT)
    again.upload()
    assert _taken_in(exchange, sender, again)["state"] == "done"


def _taken_in(exchange: Exchange, sender: Sender, uploader: Uploader) -> Any:
    exchange.take()
    return sender.clerk.status(str(uploader.url).rpartition("/")[2])
