"""The sandbox's agency client against the real doors, over a real line that is cut."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from socket import create_connection

import httpx
import pytest
import uvicorn

from connectors import manifests, uploading
from consent.scope import recipient_name
from exchange import consents
from exchange.cli.running import server
from exchange.home import SANDBOX, Home
from exchange.jobs import intake_of
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.canonical import unb64url
from registry.database import Database
from registry.datakeys import DataKeys
from registry.jws import Public
from registry.keyring import Keyring
from sandbox.agencies.faults import Fault, Faults
from sandbox.agencies.line import line
from sandbox.agency import Agency, LineBroken, Refused, hashes_of, new_seal
from sandbox.caller import new_client
from sandbox.people import settle
from sandbox.register import register
from sandbox.subsidy import farmland
from tests.agencies import permitted

_DAY = date(2026, 6, 15)
_OFFICE = "民和县农业农村局（沙箱）"


class Exchange:
    """An exchange that serves behind a line that can break."""

    def __init__(self, home: Home, faults: Faults) -> None:
        self.home = home
        self.faults = faults
        permitted(home, _OFFICE)

    def clerk(self, name: str) -> Agency:
        """Register one person of the office, and give its client."""
        client = new_client(name)
        with self.home.database.transaction() as tx:
            clients.register(tx, name, role=Role.AGENCY, organisation=_OFFICE, jwks=client.jwks, now=clock.now())
        fresh = httpx.Limits(max_keepalive_connections=0)  # each request a connection, as over a bad line
        http = httpx.Client(base_url=self.home.settings.issuer, timeout=20, limits=fresh)
        return Agency(self.home.settings.issuer, client, http=http, pause=lambda _: self.take())

    def take(self) -> None:
        """Do what the scheduled job does."""
        uploading.take_all(intake_of(self.home), self.home.uploads)


@pytest.fixture
def exchange(home: Path, database: Database, keystore: Database, tmp_path: Path) -> Iterator[Exchange]:
    keyring = Keyring.create(home, origin="exchange.example/log", now=clock.now())
    faults = Faults([Fault.RESET, Fault.SLOW])
    served: list[uvicorn.Server] = []
    with line(lambda: create_connection(("127.0.0.1", _port(served[0]))), faults) as port:
        settings = Settings(home=home, issuer=f"http://127.0.0.1:{port}")
        installation = Home(settings, SANDBOX, keyring, database, DataKeys(keystore, keyring))
        web = server(installation)
        web.config.port = 0
        served.append(web)
        thread = threading.Thread(target=web.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not web.started and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield Exchange(installation, faults)
        finally:
            web.should_exit = True
            thread.join()


def _port(web: uvicorn.Server) -> int:
    port: int = web.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.fixture
def roster(exchange: Exchange, tmp_path: Path) -> tuple[str, bytes, dict[str, object]]:
    """A farmland roster, and what must become of it now that its people have consented."""
    people = settle(seed=7, households=600, as_of=_DAY)
    written = register(people.households, as_of=_DAY, seed=7).write(tmp_path)
    consents.import_register(exchange.home, consents.read_register(written.read_bytes()), actor="test")
    file = farmland(people.farmers, as_of=_DAY, seed=7)
    return file.name, file.content(), dict(file.expected[file.name])


def test_a_cut_upload_goes_on_from_where_it_stopped_and_becomes_what_was_planted(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]]
) -> None:
    name, content, expected = roster
    with closing(exchange.clerk("office-li")) as clerk:
        upload_id = clerk.create(name, len(content))
        exchange.faults.on(Fault.RESET, times=1, amount=len(content) // 2)
        with pytest.raises(httpx.TransportError):
            clerk.send(upload_id, 0, content, checksum=False)
        arrived = _settled(lambda: clerk.offset(upload_id))
        assert 0 < arrived < len(content)
        clerk.resume(upload_id, content)
        standing = clerk.wait(upload_id)
        assert standing["state"] == "done"
        (batch_id,) = standing["batches"]
        batch = clerk.batch(batch_id)
    assert batch["rows"] == expected["rows"]
    assert batch["quarantined"] == expected["quarantined"]
    assert batch["sha256"] == hashes_of(content).sha256


def _settled(offset: Callable[[], int]) -> int:
    """Ask until the exchange has let go of the broken connection."""
    before = -1
    for _ in range(50):
        now = offset()
        if now == before and now:
            return now
        before = now
        time.sleep(0.1)
    return before


def test_an_upload_survives_a_line_that_keeps_breaking(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]]
) -> None:
    name, content, _ = roster
    with closing(exchange.clerk("office-li")) as clerk:
        upload_id = clerk.upload(name, content, piece_bytes=1500, cut=_breaking(every=2))
        assert clerk.status(upload_id)["received_bytes"] == len(content)
        with pytest.raises(LineBroken):
            clerk.upload(name, content, piece_bytes=1500, tries=3, cut=_breaking(every=1))


def _breaking(*, every: int) -> Callable[[], None]:
    count = 0

    def cut() -> None:
        nonlocal count
        count += 1
        if count % every == 0:
            raise httpx.ReadError("cut")

    return cut


def test_bytes_that_do_not_have_their_checksum_do_not_count(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, _ = roster
    with closing(exchange.clerk("office-li")) as clerk:
        upload_id = clerk.create(name, len(content))
        call = clerk.call

        def bent(method: str, path: str, **more: object) -> httpx.Response:
            if method == "PATCH":
                more["content"] = content[:10] + bytes([content[10] ^ 1]) + content[11:]
            return call(method, path, **more)  # type: ignore[arg-type]  # as it was called

        monkeypatch.setattr(clerk, "call", bent)
        with pytest.raises(Refused, match="upload-checksum"):
            clerk.send(upload_id, 0, content)
        monkeypatch.undo()
        assert clerk.offset(upload_id) == 0


def test_a_signed_file_is_known_as_signed(exchange: Exchange, roster: tuple[str, bytes, dict[str, object]]) -> None:
    name, content, expected = roster
    seal, found = new_seal(), hashes_of(content)
    office = recipient_name(_OFFICE)
    with exchange.home.database.transaction() as tx:
        key = manifests.add_key(tx, office, Public("Ed25519", unb64url(seal.public)), now=clock.now(), valid_until=None)
    assert key.key_id == seal.key_id
    file = {"sha256": found.sha256, "sm3": found.sm3, "size": found.size, "rows": expected["rows"]}
    signed = seal.sign(office, [file], made_at=clock.now())
    foreign = new_seal().sign(office, [file], made_at=clock.now())
    with closing(exchange.clerk("office-li")) as clerk:
        with pytest.raises(Refused, match="manifest-refused"):
            clerk.hand_in(foreign)
        standing = clerk.wait(clerk.upload(name, content, manifest=signed))
        assert standing["signed"]
        (batch_id,) = standing["batches"]
        assert clerk.batch(batch_id)["signed"]


def test_a_clerk_mends_a_row_and_a_second_person_approves_it(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]]
) -> None:
    name, content, expected = roster
    with closing(exchange.clerk("office-li")) as clerk, closing(exchange.clerk("office-wang")) as second:
        (batch_id,) = clerk.wait(clerk.upload(name, content))["batches"]
        rows = clerk.quarantine(batch_id, mask=False)
        assert len(rows) >= int(str(expected["quarantined"]))
        assert clerk.annotated(batch_id)[:2] == b"PK"
        assert clerk.template("SUBSIDY")[:2] == b"PK"
        row = next(one for one in rows if one["code"] == "AMOUNT_MISMATCH")
        clerk.want_four_eyes()
        rate = next(heading for heading in row["cells"] if heading.startswith("补贴标准"))
        made = clerk.correct(batch_id, row["sheet"], row["row"], {rate: "78.60"}, "录入错误，已核对原表")
        assert made["state"] == "proposed"
        with pytest.raises(Refused):
            clerk.approve(made["proposal_id"])
        assert second.approve(made["proposal_id"])["state"] == "decided"
        left = [(one["sheet"], one["row"]) for one in clerk.quarantine(batch_id)]
    assert (row["sheet"], row["row"]) not in left
    assert len(left) == len(rows) - 1
