"""Who tries to get more than its own out of batches of questions, or to choke the exchange with them."""

import asyncio
import gzip
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
import structlog

from exchange import journal
from exchange.bulk import keeping, preparing, results
from exchange.bulk.questions import LINE_BYTES
from exchange.gate import Gate
from exchange.home import Home
from exchange.oauth.guard import Caller as Admitted
from exchange.oauth.guard import Presented
from exchange.oauth.scopes import Role
from registry import clock
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.bulking import Batcher, asked, batcher, file_of, outcomes, worked
from tests.people import BANK, LI, NOBODY, ZHANG, consented, held

STANDING = True
OTHER = "91630000MA0000000X"


@pytest.fixture
def bank(exchange_home: Home, door: Door) -> Batcher:
    return batcher(exchange_home, door)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    lines = io.StringIO()
    journal.set_up(lines)
    yield lines
    structlog.reset_defaults()


def test_another_lenders_batch_does_not_exist(exchange_home: Home, door: Door, bank: Batcher) -> None:
    content = file_of(asked(NOBODY))
    batch_id = bank.handed_in(content)
    worked(exchange_home)
    theirs = batcher(exchange_home, door, "other", OTHER)
    for method, path, headers in (
        ("GET", f"/v1/batches/{batch_id}", {}),
        ("DELETE", f"/v1/batches/{batch_id}", {}),
        ("GET", f"/v1/batches/{batch_id}/results/1", {}),
        ("GET", f"/v1/batches/{batch_id}/manifest", {}),
        ("HEAD", f"/v1/batches/{batch_id}/questions", {"Tus-Resumable": "1.0.0"}),
        (
            "PATCH",
            f"/v1/batches/{batch_id}/questions",
            {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        ),
    ):
        answer = theirs.call(method, path, headers=headers)
        assert answer.status_code == 404, (method, path)
        assert method == "HEAD" or answer.json()["code"] == "bulk-unknown"
        missing = theirs.call(method, path.replace(batch_id, "00000000-0000-4000-8000-000000000000"), headers=headers)
        said = [one.content.replace(one.headers["x-request-id"].encode(), b"") for one in (missing, answer)]
        assert missing.status_code == answer.status_code
        assert said[0] == said[1]
    assert theirs.call("GET", "/v1/batches").json()["batches"] == []
    assert theirs.announce(content).status_code == 201  # the same bytes of somebody else are another batch
    assert bank.state(batch_id)["state"] == "finished"


def test_another_system_of_the_same_lender_sees_only_its_own(exchange_home: Home, door: Door, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    second = Batcher(exchange_home, door, Caller("bank-two"))
    from exchange.oauth import clients  # noqa: PLC0415  # only here
    from registry import clock  # noqa: PLC0415  # only here

    with exchange_home.database.transaction() as tx:
        clients.register(
            tx, "bank-two", role=Role.LENDER, organisation=BANK, jwks=second.caller.jwks, now=clock.now(),
            same_organisation=True,
        )  # fmt: skip
    assert second.call("GET", f"/v1/batches/{batch_id}").status_code == 404


@pytest.mark.parametrize("role", [Role.REGULATOR, Role.AGENCY])
def test_who_is_no_lender_has_no_batches(exchange_home: Home, door: Door, role: Role) -> None:
    caller = registered(exchange_home, Caller("not-a-lender"), role, "沙箱监管局")
    answer = Batcher(exchange_home, door, caller).call("GET", "/v1/batches")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


def test_a_token_of_one_persons_agreement_opens_no_batch(
    door: Door, bank: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exchange.oauth import guard  # noqa: PLC0415  # where the token is read

    real = guard._of

    def bound(access: object, proof: object) -> Presented:
        found = real(access, proof)  # type: ignore[arg-type]
        return Presented(
            found.client_id, found.scopes, found.token_jti, found.proof, found.token_expires, None, "consent-1"
        )

    monkeypatch.setattr(guard, "_of", bound)
    answers = [bank.announce(file_of(asked(LI))), bank.call("GET", "/v1/batches")]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(403, "bulk-token")] * 2


def test_one_part_is_prepared_for_a_system_at_a_time_and_no_other_system_waits_for_its_next(
    exchange_home: Home, door: Door, bank: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = batcher(exchange_home, door, "other", OTHER)
    made = [(one, one.handed_in(file_of(asked(NOBODY)))) for one in (bank, theirs)]
    worked(exchange_home)
    prepared = results.part

    async def slow(*given: Any) -> bytes:
        await asyncio.sleep(0.5)
        return await prepared(*given)

    monkeypatch.setattr(results, "part", slow)
    fetches = [_fetch(one, batch_id) for one, batch_id in [made[0]] * 5 + [made[1]]]
    answers = door.together(*fetches)
    assert sorted(one.status_code for one in answers[:5]) == [200, 429, 429, 429, 429]
    busy = next(one for one in answers if one.status_code == 429)
    assert (busy.json()["code"], busy.headers["retry-after"]) == ("too-often", "1")
    assert answers[5].status_code == 200
    assert [one.fetch(batch_id).status_code for one, batch_id in made] == [200, 200]


@pytest.mark.parametrize("fault", [404, 409])
def test_a_part_that_could_not_be_prepared_keeps_its_system_from_no_other(
    exchange_home: Home, bank: Batcher, fault: int
) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    if fault == 404:
        worked(exchange_home)
    assert bank.fetch(batch_id, 2 if fault == 404 else 1).status_code == fault
    worked(exchange_home)
    assert bank.fetch(batch_id).status_code == 200


def _fetch(bank: Batcher, batch_id: str) -> tuple[str, str, dict[str, Any]]:
    url = f"{ISSUER}/v1/batches/{batch_id}/results/1"
    return "GET", url, {"headers": bank.caller.headers("GET", url, bank.caller.token(bank.door))}


@pytest.mark.parametrize("ends", ["the token", "the client", "the scope", "revoked"])
def test_who_may_ask_no_longer_when_the_turn_comes_gets_no_part(
    exchange_home: Home, bank: Batcher, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    consented(exchange_home)
    held(exchange_home)
    batch_id = bank.handed_in(file_of(asked()))
    worked(exchange_home)
    prepared = results.part

    async def later(home: Home, gate: Gate, caller: Admitted, batch: UUID, number: int) -> bytes:
        jti, client = caller.token_jti, caller.client_id
        with home.database.transaction() as tx:
            if ends == "the token":
                caller = replace(caller, token_expires=clock.now())
            elif ends == "revoked":
                tx.execute("INSERT INTO revoked_token (jti, expires_at) VALUES (%s, %s)", (jti, caller.token_expires))
            elif ends == "the client":
                tx.execute("UPDATE client SET state = 'suspended' WHERE client_id = %s", (client,))
            else:
                tx.execute("UPDATE client SET scopes = '{}' WHERE client_id = %s", (client,))
        return await prepared(home, gate, caller, batch, number)

    monkeypatch.setattr(results, "part", later)
    answer = bank.fetch(batch_id)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")
    with exchange_home.database.transaction() as tx:
        opened = tx.execute("SELECT FROM log_entry WHERE event = 'release:query:reopened'").fetchall()
        handed = tx.execute("SELECT FROM bulk_part").fetchall()
    assert (opened, handed) == ([], [])


def test_without_a_key_to_seal_to_nothing_is_taken(exchange_home: Home, door: Door) -> None:
    without = Batcher(exchange_home, door, registered(exchange_home, Caller("keyless"), organisation=BANK))
    answer = without.announce(file_of(asked()))
    assert (answer.status_code, answer.json()["code"]) == (409, "bulk-key-missing")


# ---- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Upload-Length": str(keeping.BATCH_BYTES + 1)}, "upload-too-large"),
        ({"Upload-Length": "0"}, "upload-header-malformed"),
        ({"Upload-Length": "-1"}, "upload-header-malformed"),
        ({"Upload-Metadata": ""}, "upload-header-malformed"),
        ({"Upload-Metadata": "sha256 !!"}, "upload-header-malformed"),
        ({"Idempotency-Key": "short"}, "idempotency-key-malformed"),
        ({"Tus-Resumable": "0.2.2"}, "tus-version-unsupported"),
    ],
)
def test_an_announcement_that_is_wrong_is_refused(bank: Batcher, headers: dict[str, str], code: str) -> None:
    assert bank.announce(file_of(asked()), **headers).json()["code"] == code
    assert bank.call("GET", "/v1/batches").json()["batches"] == []


def test_more_bytes_than_announced_are_not_taken(bank: Batcher) -> None:
    content = file_of(asked())
    where = bank.announce(content).headers["location"]
    answer = bank.send(where, content + b"x" * 100)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")


def test_compressed_bytes_are_not_taken_as_such(bank: Batcher) -> None:
    content = file_of(asked())
    where = bank.announce(content).headers["location"]
    answer = bank.send(where, content, 0, {"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "upload-media-type")
    assert bank.send(where, content, 0, {"Content-Type": "application/gzip"}).json()["code"] == "upload-media-type"


def test_a_bomb_is_lines_without_questions_and_never_unpacked(exchange_home: Home, bank: Batcher) -> None:
    bomb = gzip.compress(bytes(50 << 20), 9)  # 50 MiB in 50 KiB
    batch_id = bank.handed_in(bomb)
    worked(exchange_home)
    said = bank.state(batch_id)
    assert said["state"] == "finished"
    assert said["permitted"] == 0
    assert set(said["refused"]) <= {"line-too-long", "request-malformed"}


def test_a_file_that_is_not_the_announced_one_is_refused_whole(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consented(exchange_home)
    content = file_of(asked())
    announced = bank.announce(content)
    bank.send(announced.headers["location"], content.replace(b"LA-1", b"LA-2"))
    worked(exchange_home)
    said = bank.state(announced.json()["batch_id"])
    assert (said["state"], said["fault"], said["answered"]) == ("refused", "digest-differs", 0)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM query").fetchone() == (0,)


def test_too_many_lines_are_refused_whole(exchange_home: Home, bank: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LINES_MOST", preparing.BLOCK_LINES)
    fits = bank.handed_in(b"{\n" * preparing.BLOCK_LINES)
    over = bank.handed_in(b"{\n" * (preparing.BLOCK_LINES + 1))
    worked(exchange_home)
    assert bank.state(fits)["state"] == "finished"
    assert (bank.state(over)["state"], bank.state(over)["fault"]) == ("refused", "lines-too-many")


def test_a_line_that_is_too_long_is_refused_alone(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(b" " * (LINE_BYTES + 1), asked(NOBODY), asked(NOBODY) + b" " * LINE_BYTES))
    worked(exchange_home)
    assert outcomes(bank.fetched(batch_id)) == [(1, "line-too-long"), (2, "no-consent"), (3, "line-too-long")]


def test_a_system_has_so_many_batches_under_way_and_no_more(bank: Batcher) -> None:
    for number in range(keeping.OPEN_MOST):
        assert bank.announce(file_of(asked(business_no=f"LA-{number}"))).status_code == 201
    answer = bank.announce(file_of(asked(business_no="LA-one-more")))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "bulk-too-many", "60")


# ---- what is told of people ------------------------------------------------------------------------------------------

BAD = [
    orjson.dumps({"subject": {"type": "resident_id", "identifier": ZHANG.text}, "purpose": ZHANG.text}),
    orjson.dumps(
        {"subject": {"type": "resident_id", "identifier": ZHANG.text, ZHANG.text: 1}, "purpose": "LOAN_APPROVAL"}
    ),
    orjson.dumps({ZHANG.text: ZHANG.text}),
    orjson.dumps({"subject": {"type": ZHANG.text, "identifier": ZHANG.text}, "purpose": "LOAN_APPROVAL"}),
    orjson.dumps({"subject": {"type": "resident_id", "identifier": ZHANG.text[:-1] + "9"}, "purpose": "LOAN_APPROVAL"}),
    asked(business_no=ZHANG.text),
    asked(items=[ZHANG.text]),
    asked(mode="verify", claims=[{"item": "RATING.grade", "relation": "equals", "value": ZHANG.text, ZHANG.text: 1}]),
    ZHANG.text.encode(),
    b'{"subject": "' + ZHANG.text.encode(),
    b"\xff\xfe" + ZHANG.text.encode(),
    b"[" * 5000,
    b"null",
    b"1e999",
]


def test_what_is_wrong_with_a_line_is_said_without_anything_of_it(
    exchange_home: Home, bank: Batcher, written: io.StringIO
) -> None:
    batch_id = bank.handed_in(file_of(*BAD))
    worked(exchange_home)
    part = bank.fetched(batch_id)
    told = orjson.dumps(part) + orjson.dumps(bank.state(batch_id)) + bank.manifest(batch_id)
    assert len(part) == len(BAD)
    assert all("refusal" in line and "query_id" not in line for line in part)
    for place in range(len(ZHANG.text) - 8):
        assert ZHANG.text[place : place + 9].encode() not in told
    assert ZHANG.text not in written.getvalue()
    assert batch_id in orjson.dumps(bank.state(batch_id)).decode()


def test_a_name_of_a_member_that_a_caller_made_up_is_not_repeated_to_a_single_question_either(bank: Batcher) -> None:
    for body in BAD[:8]:
        answer = bank.call("POST", "/v1/queries", content=body)
        assert answer.status_code in {400, 422}
        assert ZHANG.text not in answer.text


def test_the_same_person_twice_in_one_batch_is_two_questions(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consented(exchange_home, max_uses=3)
    batch_id = bank.handed_in(file_of(*[asked()] * 4))
    worked(exchange_home)
    lines = bank.fetched(batch_id)
    assert [outcome for _, outcome in outcomes(lines)] == ["permitted"] * 3 + ["uses-exhausted"]
    assert len({line["query_id"] for line in lines}) == 4


def test_an_unknown_person_and_one_without_consent_cannot_be_told_apart(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home, LI)
    batch_id = bank.handed_in(file_of(asked(LI), asked(NOBODY)))
    worked(exchange_home)
    first, second = bank.fetched(batch_id)
    assert first.keys() == second.keys() == {"line", "query_id", "refusal"}
    assert first["refusal"] == second["refusal"] == "no-consent"


def test_no_question_asked_alone_takes_a_lines_place(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consented(exchange_home)
    batch_id = bank.handed_in(file_of(asked()))
    for key in (f"bulk|{batch_id}|1", f" bulk|{batch_id}|1"):
        bank.call("POST", "/v1/queries", content=asked(NOBODY), headers={"Idempotency-Key": key})
    bent = bank.call("POST", "/v1/queries", content=asked(), headers={"Idempotency-Key": f"\x00bulk|{batch_id}|1"})
    assert bent.json()["code"] == "idempotency-key-malformed"
    worked(exchange_home)
    assert outcomes(bank.fetched(batch_id)) == [(1, "permitted")]
