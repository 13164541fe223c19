"""The sandbox's agency client against the real doors, over a real line that is cut."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import gmalg
import httpx
import pytest

from connectors import manifests
from consent.scope import recipient_name
from exchange import consent_registers
from exchange.client import NotReached
from registry import clock
from registry.canonical import unb64url
from registry.database import Database
from registry.jws import Public
from sandbox import agency
from sandbox.agencies.faults import Fault
from sandbox.agency import LineBroken, Refused
from sandbox.manifests import Device, Seal, hashes_of, new_seal
from sandbox.people import settle
from sandbox.register import register
from sandbox.subsidy import farmland
from tests.serving import OFFICE, Exchange, exchange_behind_a_line

_DAY = date(2026, 6, 15)


@pytest.fixture
def exchange(home: Path, database: Database, keystore: Database) -> Iterator[Exchange]:
    with exchange_behind_a_line(home, database, keystore) as served:
        yield served


@pytest.fixture
def roster(exchange: Exchange, tmp_path: Path) -> tuple[str, bytes, dict[str, object]]:
    """A farmland roster, and what must become of it now that its people have consented."""
    people = settle(seed=7, households=600, as_of=_DAY)
    written = register(people.households, as_of=_DAY, seed=7).write(tmp_path)
    consent_registers.import_register(
        exchange.home, consent_registers.read_register(written.read_bytes()), actor="test"
    )
    file = farmland(people.farmers, as_of=_DAY, seed=7)
    return file.name, file.content(), dict(file.expected[file.name])


def test_a_cut_upload_goes_on_from_where_it_stopped_and_becomes_what_was_planted(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]]
) -> None:
    name, content, expected = roster
    with closing(exchange.clerk("office-li")) as clerk:
        upload_id = clerk.create(name, len(content))
        exchange.faults.on(Fault.RESET, times=1, amount=len(content) // 2)
        with pytest.raises(NotReached):
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


def device() -> Device:
    """An SM2 key of somebody who does not use our code."""
    private, public = gmalg.SM2().generate_keypair()
    signer = gmalg.SM2(private, b"1234567812345678", public)
    return Device(public, lambda message: b"".join(signer.sign(message)))


@pytest.mark.parametrize(("algorithm", "make"), [("Ed25519", new_seal), ("SM2", device)])
def test_a_signed_file_is_known_as_signed(
    exchange: Exchange,
    roster: tuple[str, bytes, dict[str, object]],
    algorithm: str,
    make: Callable[[], Seal | Device],
) -> None:
    name, content, expected = roster
    seal, found = make(), hashes_of(content)
    office = recipient_name(OFFICE)
    with exchange.home.database.transaction() as tx:
        public = Public(algorithm, unb64url(seal.public))
        key = manifests.add_key(tx, office, public, now=clock.now(), valid_until=None)
    assert key.key_id == seal.key_id
    file = {"sha256": found.sha256, "sm3": found.sm3, "size": found.size, "rows": expected["rows"]}
    signed = seal.sign(office, [file], made_at=clock.now())
    foreign = make().sign(office, [file], made_at=clock.now())
    with closing(exchange.clerk("office-li")) as clerk:
        for refused in (foreign, signed[:-4] + ("AAAA" if signed[-4:] != "AAAA" else "BBBB")):
            with pytest.raises(Refused, match="manifest-refused"):
                clerk.hand_in(refused)
        standing = clerk.wait(clerk.upload(name, content, manifest=signed))
        assert standing["signed"]
        (batch_id,) = standing["batches"]
        assert clerk.batch(batch_id)["signed"]


def test_a_clerk_mends_a_row_and_a_second_person_approves_it(
    exchange: Exchange, roster: tuple[str, bytes, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, expected = roster
    with closing(exchange.clerk("office-li")) as clerk, closing(exchange.clerk("office-wang")) as second:
        (batch_id,) = clerk.wait(clerk.upload(name, content))["batches"]
        rows = clerk.quarantine(batch_id, mask=False)
        assert len(rows) >= int(str(expected["quarantined"])) > 1
        mismatches = clerk.quarantine(batch_id, mask=False, code="AMOUNT_MISMATCH")
        assert mismatches == [one for one in rows if one["code"] == "AMOUNT_MISMATCH"]
        monkeypatch.setattr(agency, "_ROWS_AT_ONCE", len(rows) - 1)
        assert clerk.quarantine(batch_id, mask=False) == rows
        assert clerk.quarantine(batch_id, mask=False, most=1) == rows[:1]
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
