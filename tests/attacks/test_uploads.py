"""Uploads: what arrived stays, what is another's does not exist, what is wrong is refused. tus 1.0.0."""

import csv
import io
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha1, sha256  # noqa: TID251  # an agency's own tool, not our cipher room
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid4

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import uploadfiles, uploading, uploads
from connectors.intake import Intake
from exchange.agency_api import progress
from exchange.home import Home
from exchange.oauth import guard
from exchange.oauth.guard import Caller as Admitted
from exchange.oauth.scopes import Role, Scope
from registry import clock
from registry.database import Transaction
from registry.suites import sm3
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.attacks.uploading import UPLOADS, Agency, patch_head, served
from tests.bombs import bomb
from tests.lines import answered
from tests.unit.connectors.consent_register import SAMPLES, basis_of_register, everybody, nobody

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
OURS, THEIRS = "玉树市财政局", "平安区农业农村局"
QUESTION = {
    "subject": {"type": "resident_id", "identifier": "632701196204270004"},
    "purpose": "LOAN_APPROVAL",
    "business_no": "1",
}
OFFSETS = (0, 1, 2, 1023, 65_535, 65_536, 65_537, 1_048_575, 1_048_576, 1_048_577)


@pytest.fixture
def agency(exchange_home: Home, door: Door) -> Agency:
    return Agency(door, registered(exchange_home, Caller("yushu-finance"), Role.AGENCY, OURS))


@pytest.fixture
def other(exchange_home: Home, door: Door) -> Agency:
    return Agency(door, registered(exchange_home, Caller("pingan-farm"), Role.AGENCY, THEIRS))


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


@pytest.fixture
def port(exchange_home: Home) -> Iterator[int]:
    with served(exchange_home) as listening:
        yield listening


def beginning(lines: int) -> bytes:
    """The first lines of the roster, header and title among them, as text."""
    sheet = openpyxl.load_workbook(ROSTER).active
    assert sheet is not None
    out = io.StringIO()
    csv.writer(out).writerows(sheet.iter_rows(max_row=lines, values_only=True))
    return out.getvalue().encode()


def kept(home: Home, url: str, size: int) -> bytes:
    """The bytes that lie sealed on our disk."""
    return b"".join(uploadfiles.find(home.uploads, home.sealing, UUID(url.rpartition("/")[2])).read(size))


def test_what_is_spoken_is_said(agency: Agency) -> None:
    answer = agency.door.call("OPTIONS", UPLOADS, headers=agency.caller.headers("OPTIONS", UPLOADS, agency.token))
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {"creation", "expiration", "checksum", "termination"}
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,sm3"
    assert int(answer.headers["Tus-Max-Size"]) == 512 << 20


def test_an_upload_in_pieces_becomes_a_published_batch(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    raw = ROSTER.read_bytes()
    url = agency.begin(len(raw), filename=ROSTER.name)
    for first in range(0, len(raw), 5_000):
        answer = agency.send(url, first, raw[first : first + 5_000])
        assert answer.status_code == 204
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert int(answer.headers["Upload-Offset"]) == min(first + 5_000, len(raw))
    assert agency.json(url)["state"] == "waiting"
    assert uploading.take_all(intake, exchange_home.uploads) == 1
    status = agency.json(url)
    assert (status["state"], status["stage"], status["rows_read"]) == ("done", "done", 90)
    (batch_id,) = status["batches"]
    batch = agency.json(f"{ISSUER}/agency/v1/batches/{batch_id}")
    assert batch["state"] == "published"
    assert batch["label"] == ROSTER.name
    assert batch["rows"] == sum(batch[end] for end in ("accepted", "warned", "quarantined", "rejected"))
    assert all(one["cause"]["zh"] and one["mend"]["en"] for one in batch["codes"])
    assert not list(exchange_home.uploads.iterdir())


def test_figures_of_a_total_are_told_of_a_whole_table_of_many_rows_only(
    agency: Agency, intake: Intake, exchange_home: Home
) -> None:
    names = ("耕地地力保护补贴发放明细", "粮食直补发放明细")
    urls = [
        agency.upload(path.read_bytes(), filename=path.name) for name in names for path in SAMPLES.glob(f"*{name}*")
    ]
    uploading.take_all(intake, exchange_home.uploads)
    many, few = (agency.json(f"{ISSUER}/agency/v1/batches/{agency.json(url)['batches'][0]}") for url in urls)
    assert (many["rows"], few["rows"]) == (90, 8)
    amount = next(one for one in many["controls"] if one["column"] == "amount_due")
    assert (amount["declared"], amount["ours"], amount["agrees"]) == (10_963_914, 10_963_914, True)
    assert few["blocked"]["code"] == "TOTAL_MISMATCH"
    assert {one["declared"] for one in few["controls"]} | {one["ours"] for one in few["controls"]} == {None}
    assert False in {one["agrees"] for one in few["controls"]}


def test_no_remark_tells_of_a_missing_consent(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    uploading.take_all(intake, exchange_home.uploads)
    (batch_id,) = agency.json(url)["batches"]
    told = agency.json(f"{ISSUER}/agency/v1/batches/{batch_id}/remarks")["remarks"]
    assert "NO_CONSENT" not in {one["code"] for one in told}
    assert all(set(one) == {"sheet", "row_no", "outcome", "code", "column"} for one in told)


def test_a_small_table_tells_nobody_who_has_consented(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    url = agency.upload(beginning(12), filename="roster.csv")
    uploading.take_all(intake, exchange_home.uploads)
    status = agency.json(url)
    assert status["state"] == "done"
    for batch_id in status["batches"]:
        batch = agency.json(f"{ISSUER}/agency/v1/batches/{batch_id}")
        assert batch["without_consent"] is None
        assert batch["rows"] == sum(batch[end] for end in ("accepted", "warned", "quarantined", "rejected"))
        assert "NO_CONSENT" not in {one["code"] for one in batch["codes"]}


def test_who_has_consented_changes_one_total_and_nothing_else(
    agency: Agency, intake: Intake, exchange_home: Home
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    uploading.take_all(replace(intake, basis_of=nobody), exchange_home.uploads)
    status = agency.json(url)
    (batch_id,) = status["batches"]
    address = f"{ISSUER}/agency/v1/batches/{batch_id}"

    def seen() -> tuple[dict[str, Any], object]:
        batch = agency.json(address)
        told = {name: said for name, said in batch.items() if not name.endswith("_at")}
        return told, agency.json(f"{address}/remarks")

    before, remarks = seen()
    replace(intake, basis_of=everybody).reevaluate()
    after, remarks_then = seen()
    without = before["rows"] - sum(one["rows"] for one in before["codes"] if one["outcome"] == "rejected")
    assert without % 10  # of no use otherwise
    assert before.pop("without_consent") == without // 10 * 10
    assert after.pop("without_consent") == 0
    assert before == after
    assert remarks == remarks_then
    assert status["rows_accepted"] == after["accepted"] + after["warned"]


def test_nothing_of_an_upload_lies_open_on_disk(agency: Agency, exchange_home: Home) -> None:
    secret = b"\xe5\xa4\xae\xe9\x87\x91 630222199901010001"
    url = agency.begin(100_000, filename="央金的补贴.csv")
    agency.send(url, 0, secret * 100)
    files = [path for path in exchange_home.uploads.rglob("*") if path.is_file()]
    assert files
    assert all(b"630222199901010001" not in path.read_bytes() and path.stat().st_mode & 0o077 == 0 for path in files)
    assert all(str(path.relative_to(exchange_home.uploads)).isascii() for path in files)


@pytest.mark.parametrize("cut", OFFSETS)
def test_a_line_cut_at_any_byte_keeps_what_arrived(agency: Agency, exchange_home: Home, port: int, cut: int) -> None:
    raw = bytes(range(256)) * 5_000
    url = agency.begin(len(raw))
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(patch_head(agency, url, 0, len(raw)) + raw[:cut])
    reached = settled(agency, url, cut)
    assert reached == cut
    assert kept(exchange_home, url, reached) == raw[:cut]
    assert resumed(agency, url, reached, raw[reached:]) == 204
    assert kept(exchange_home, url, len(raw)) == raw


def settled(agency: Agency, url: str, expected: int) -> int:
    """Ask until the server has noticed that the line is gone."""
    until = time.monotonic() + 20
    while (reached := agency.offset(url)) != expected and time.monotonic() < until:
        time.sleep(0.02)
    return reached


def resumed(agency: Agency, url: str, offset: int, rest: bytes) -> int:
    """Send the rest, again while the server still reads the line that was cut."""
    until = time.monotonic() + 20
    while (status := agency.send(url, offset, rest).status_code) == 423 and time.monotonic() < until:
        time.sleep(0.02)
    return status


@pytest.mark.slow
def test_cut_again_and_again_at_random_bytes_it_finishes_whole(agency: Agency, exchange_home: Home, port: int) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 200_000), max_size=5), st.booleans())
    def run(cuts: list[int], hard: bool) -> None:  # noqa: FBT001  # hypothesis hands it in
        raw = sha256(bytes(cuts[:1]) if cuts and cuts[0] < 256 else b"").digest() * 20_000
        url = agency.begin(len(raw))
        for cut in cuts:
            offset = agency.offset(url)
            line = socket.create_connection(("127.0.0.1", port))
            if hard:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            line.sendall(patch_head(agency, url, offset, len(raw) - offset) + raw[offset : offset + cut])
            line.close()
        answer = agency.send(url, agency.offset(url), b"")
        until = time.monotonic() + 10
        while answer.status_code in {204, 409, 423} and time.monotonic() < until:
            offset = agency.offset(url)
            answer = agency.send(url, offset, raw[offset:])
            if answer.status_code == 204 and int(answer.headers["Upload-Offset"]) == len(raw):
                break
        assert kept(exchange_home, url, len(raw)) == raw

    run()


def test_a_wrong_offset_is_a_conflict(agency: Agency) -> None:
    url = agency.begin(10)
    assert agency.send(url, 5, b"12345").status_code == 409
    assert agency.send(url, 0, b"12345").status_code == 204
    answer = agency.send(url, 0, b"12345")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload-offset")
    assert agency.offset(url) == 5


def test_of_two_connections_at_once_one_writes(agency: Agency, exchange_home: Home, port: int) -> None:
    url = agency.begin(100)
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(patch_head(agency, url, 0, 100) + b"x" * 40)
        until = time.monotonic() + 20
        while agency.offset(url) != 40 and time.monotonic() < until:
            time.sleep(0.02)
        answer = agency.send(url, 40, b"y" * 60)
        assert (answer.status_code, answer.json()["code"]) == (423, "upload-busy")
        assert answer.headers["retry-after"]
        first.sendall(b"x" * 60)
        assert answered(first)[0] == 204
    assert kept(exchange_home, url, 100) == b"x" * 100


def test_many_at_once_never_mix_their_bytes(agency: Agency, exchange_home: Home, port: int) -> None:
    url = agency.begin(4_000)
    heads = [patch_head(agency, url, 0, 4_000) for _ in range(6)]
    start, codes = Barrier(6), list[int]()

    def send(number: int) -> None:
        start.wait()
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(heads[number] + bytes([number]) * 4_000)
            codes.append(answered(line)[0])

    threads = [Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(204) == 1
    assert set(codes) <= {204, 409, 423}
    assert len(set(kept(exchange_home, url, 4_000))) == 1


@pytest.mark.parametrize(("name", "digest"), [("sha256", sha256), ("sha1", sha1), ("sm3", None)])
def test_a_checksum_is_held_to(agency: Agency, exchange_home: Home, name: str, digest: object) -> None:
    body = b"row\n" * 500
    right = sm3(body) if digest is None else digest(body).digest()  # type: ignore[operator]  # one of hashlib's
    url = agency.begin(len(body))
    bent = bytes([right[0] ^ 1]) + right[1:]
    refused = agency.send(url, 0, body, **{"Upload-Checksum": f"{name} {b64encode(bent).decode()}"})
    assert (refused.status_code, refused.json()["code"]) == (460, "upload-checksum")
    assert agency.offset(url) == 0
    assert agency.send(url, 0, body, **{"Upload-Checksum": f"{name} {b64encode(right).decode()}"}).status_code == 204
    assert kept(exchange_home, url, len(body)) == body


@pytest.mark.parametrize("text", ["md5 AAAA", "sha256", "sha256 ***", "sha256 AAAA", ""])
def test_a_checksum_that_cannot_be_read_is_refused(agency: Agency, text: str) -> None:
    url = agency.begin(4)
    answer = agency.send(url, 0, b"1234", **{"Upload-Checksum": text})
    assert (answer.status_code, answer.json()["code"]) == (400, "upload-header-malformed")
    assert agency.offset(url) == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412, "tus-version-unsupported"),
        ({"Content-Type": "text/csv"}, 415, "upload-media-type"),
        ({"Upload-Offset": "-1"}, 400, "upload-header-malformed"),
        ({"Upload-Offset": "1e3"}, 400, "upload-header-malformed"),
        ({"Upload-Offset": "00"}, 400, "upload-header-malformed"),
    ],
)
def test_a_bent_header_changes_nothing(agency: Agency, headers: dict[str, str], status: int, code: str) -> None:
    url = agency.begin(4)
    answer = agency.send(url, 0, b"1234", **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert agency.offset(url) == 0


def test_more_than_was_announced_is_refused(agency: Agency) -> None:
    assert agency.create((512 << 20) + 1).status_code == 413
    url = agency.begin(4)
    assert agency.send(url, 0, b"12345").status_code == 413

    async def unannounced() -> object:
        for _ in range(3):
            yield b"12"

    assert agency.send(url, 0, unannounced()).status_code == 413  # type: ignore[arg-type]  # httpx takes it
    assert agency.offset(url) < 4


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b.xlsx", "c:\\x.csv", "\x00", "\u202e\u200b", "x" * 201])
def test_a_file_name_is_no_path(agency: Agency, name: str) -> None:
    answer = agency.create(4, filename=name)
    assert (answer.status_code, answer.json()["code"]) == (400, "upload-header-malformed")
    assert name not in answer.text


@pytest.mark.parametrize("text", ["filename ***", "a b c d", "name YQ==,name Yg==", "filename /w==", "\x7f YQ=="])
def test_metadata_that_cannot_be_read_is_refused(agency: Agency, text: str) -> None:
    headers = {"Upload-Length": "1", "Upload-Metadata": text}
    answer = agency.call("POST", UPLOADS, headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "upload-header-malformed")


def test_metadata_comes_back_as_it_was_sent(agency: Agency) -> None:
    url = agency.begin(4, filename="花名册.xlsx", filetype="text/csv")
    answer = agency.call("HEAD", url)
    said = dict(pair.split(" ") for pair in answer.headers["Upload-Metadata"].split(","))
    assert said["filename"] == b64encode("花名册.xlsx".encode()).decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Length"] == "4"
    assert answer.headers["Upload-Expires"].endswith("GMT")


def test_another_agencys_upload_is_an_unknown_one(agency: Agency, other: Agency) -> None:
    url = agency.begin(4)
    unknown = f"{UPLOADS}/{uuid4()}"
    for address in (url, unknown):
        for method in ("HEAD", "DELETE", "GET"):
            assert other.call(method, address).status_code == 404
        assert other.send(address, 0, b"1234").status_code == 404
        assert other.call("GET", f"{address}/events").status_code == 404
    assert other.json(UPLOADS) == []
    assert agency.offset(url) == 0


def test_another_agencys_batch_is_an_unknown_one(
    agency: Agency, other: Agency, intake: Intake, exchange_home: Home
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    uploading.take_all(intake, exchange_home.uploads)
    (batch_id,) = agency.json(url)["batches"]
    for address in (batch_id, uuid4()):
        for path in (f"{ISSUER}/agency/v1/batches/{address}", f"{ISSUER}/agency/v1/batches/{address}/remarks"):
            answer = other.call("GET", path)
            assert (answer.status_code, answer.json()["code"]) == (404, "batch-unknown")
    assert other.json(f"{ISSUER}/agency/v1/batches")["batches"] == []
    assert len(agency.json(f"{ISSUER}/agency/v1/batches?state=published&class_code=SUBSIDY")["batches"]) == 1
    assert agency.json(f"{ISSUER}/agency/v1/batches?state=blocked")["batches"] == []


def test_a_lenders_token_opens_no_agency_door(door: Door, lender: Caller, exchange_home: Home) -> None:
    intruder = Agency(door, lender)
    assert intruder.create(4).status_code == 403
    assert intruder.call("GET", UPLOADS).status_code == 403
    assert intruder.call("GET", f"{ISSUER}/agency/v1/batches").status_code == 403


def test_an_agencys_token_opens_no_lenders_door(agency: Agency) -> None:
    assert agency.call("GET", f"{ISSUER}/audit/v1/events").status_code == 403
    assert agency.call("POST", f"{ISSUER}/v1/queries", json=QUESTION).status_code == 403


def test_given_up_it_is_gone_with_its_bytes(agency: Agency, exchange_home: Home) -> None:
    url = agency.begin(4)
    agency.send(url, 0, b"12")
    assert agency.call("DELETE", url).status_code == 204
    assert agency.call("HEAD", url).status_code == 410
    assert agency.send(url, 2, b"34").status_code == 410
    assert agency.call("DELETE", url).status_code == 410
    assert agency.json(url)["why"]["code"] == "GIVEN_UP"
    assert not list(exchange_home.uploads.iterdir())


def test_expired_it_is_gone_with_its_bytes(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    url = agency.begin(4)
    agency.send(url, 0, b"12")
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE upload SET expires_at = %s", (clock.now() - timedelta(seconds=1),))
    assert agency.call("HEAD", url).status_code == 410
    assert agency.send(url, 2, b"34").status_code == 410
    uploading.clean(intake, exchange_home.uploads)
    assert agency.json(url)["why"]["code"] == "EXPIRED"
    assert not list(exchange_home.uploads.iterdir())


def test_an_agency_has_so_many_uploads_under_way_and_no_more(agency: Agency, other: Agency) -> None:
    for _ in range(uploads.MOST_OPEN):
        agency.begin(4)
    answer = agency.create(4)
    assert (answer.status_code, answer.json()["code"]) == (429, "uploads-too-many")
    assert other.create(4).status_code == 201


def test_bytes_of_another_hash_than_announced_are_refused(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    raw = ROSTER.read_bytes()
    url = agency.upload(raw, filename=ROSTER.name, sha256=sha256(b"another file").hexdigest())
    uploading.take_all(intake, exchange_home.uploads)
    status = agency.json(url)
    assert (status["state"], status["why"]["code"]) == ("refused", "CHECKSUM_MISMATCH")
    assert agency.json(f"{ISSUER}/agency/v1/batches")["batches"] == []


def test_what_is_no_table_is_refused_with_a_reason(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    urls = [agency.upload(b"\x89PNG\r\n\x1a\n" + b"\x00" * 99), agency.begin(0)]
    uploading.take_all(intake, exchange_home.uploads)
    for url in urls:
        assert agency.json(url)["why"]["code"] == "NOT_A_TABLE"


def test_a_zip_of_death_is_a_blocked_batch(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    sheets = {f"xl/worksheets/sheet{number}.xml": 800 for number in range(3)}
    url = agency.upload(bomb({"[Content_Types].xml": 1, **sheets}, b" "), filename="bomb.xlsx")
    uploading.take_all(intake, exchange_home.uploads)
    (batch_id,) = agency.json(url)["batches"]
    batch = agency.json(f"{ISSUER}/agency/v1/batches/{batch_id}")
    assert (batch["state"], batch["blocked"]["code"]) == ("blocked", "FILE_UNREADABLE")


def test_a_watched_upload_tells_each_change_until_it_is_over(
    agency: Agency, intake: Intake, exchange_home: Home
) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    uploading.take_all(intake, exchange_home.uploads)
    answer = agency.call("GET", f"{url}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: upload\ndata: {")
    assert '"state":"done"' in answer.text


def test_uploads_and_their_ends_are_entries_without_names(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    url = agency.upload(ROSTER.read_bytes(), filename=ROSTER.name)
    agency.call("DELETE", agency.begin(4))
    uploading.take_all(intake, exchange_home.uploads)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT event, actor, fields::text FROM log_entry WHERE event LIKE 'connectors:%'").fetchall()
    events = [event for event, _, _ in rows]
    assert events.count("connectors:upload:opened") == 2
    assert events.count("connectors:upload:completed") == 1
    assert events.count("connectors:upload:ended") == 1
    assert {actor for event, actor, _ in rows if event.startswith("connectors:upload")} == {"yushu-finance"}
    assert all("花名册" not in fields for _, _, fields in rows)
    assert url.rpartition("/")[2] in "".join(fields for _, _, fields in rows)


def test_headers_of_tus_are_asked_for_on_every_request(agency: Agency) -> None:
    url = agency.begin(4)
    bare = agency.caller.headers("HEAD", url, agency.token)
    answer = agency.door.call("HEAD", url, headers=bare)
    assert answer.status_code == 412
    assert answer.headers["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("ends", ["the token", "the client", "the scope", "revoked"])
def test_watching_ends_with_the_right_to_watch(
    agency: Agency, exchange_home: Home, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    url = agency.begin(100)  # open: it would be watched for ten minutes
    looks = 0
    still = guard.still_admitted

    def looked(tx: Transaction, caller: Admitted, *, scope: Scope, now: datetime) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            if ends == "the token":
                now += timedelta(hours=1)
            elif ends == "revoked":
                tx.execute("INSERT INTO revoked_token (jti, expires_at) VALUES (%s, %s)", (caller.token_jti, now))
            elif ends == "the client":
                tx.execute("UPDATE client SET state = 'suspended' WHERE client_id = %s", (caller.client_id,))
            else:
                tx.execute("UPDATE client SET scopes = '{agency:upload}' WHERE client_id = %s", (caller.client_id,))
        return still(tx, caller, scope=scope, now=now)

    monkeypatch.setattr(progress, "still_admitted", looked)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress, "WATCHED_SECONDS", 5.0)
    text = agency.call("GET", f"{url}/events").text
    assert looks == 3
    assert text.count("event: upload") == 1
