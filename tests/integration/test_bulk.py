"""Batches of questions, from the file to the sealed result, through the doors."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from consent.evidence import Channel
from exchange import consents, paging
from exchange.bulk import keeping, preparing, results, working
from exchange.home import Home
from exchange.oauth import clients
from exchange.release import recording
from exchange.settings import Settings
from registry import clock, verify_batch
from registry.canonical import b64url
from registry.suites import sha256
from tests.attacks.bent_client import Door
from tests.bulking import Batcher, asked, batcher, file_of, opened, outcomes, trust, worked
from tests.people import LI, NOBODY, ZHANG, consented, held

REFUSED_AFTERWARDS = [(1, "withdrawn"), (2, "permitted")]


@pytest.fixture
def bank(exchange_home: Home) -> Iterator[Batcher]:
    with Door(exchange_home) as door:
        yield batcher(exchange_home, door)


def uses(home: Home, consent_id: str) -> int:
    with home.database.transaction() as tx:
        row = tx.execute("SELECT uses FROM consent WHERE consent_id = %s", (consent_id,)).fetchone()
    assert row is not None
    return int(row[0])


def entries(home: Home, *events: str) -> list[tuple[str, dict[str, Any]]]:
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT event, fields FROM log_entry WHERE event = ANY(%s) ORDER BY at, entry_id", (list(events),)
        )
        return [(event, fields) for event, fields in rows.fetchall()]


def test_each_line_is_answered_or_refused_and_its_use_counted_once(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consent = consented(exchange_home)
    batch_id = bank.handed_in(file_of(asked(), asked(NOBODY), b"{", b"", asked()))
    assert bank.state(batch_id)["state"] == "received"
    worked(exchange_home)
    said = bank.state(batch_id)
    assert (said["state"], said["lines"], said["answered"], said["permitted"]) == ("finished", 5, 5, 2)
    assert said["refused"] == {"no-consent": 1, "request-malformed": 2}
    assert (said["parts"], said["parts_ready"]) == (1, 1)
    assert uses(exchange_home, consent.consent_id) == 2
    lines = bank.fetched(batch_id)
    assert outcomes(lines) == [
        (1, "permitted"), (2, "no-consent"), (3, "request-malformed"), (4, "request-malformed"), (5, "permitted"),
    ]  # fmt: skip
    assert bank.fetched(batch_id) == lines  # opened again: the same answers, and no other use
    assert uses(exchange_home, consent.consent_id) == 2
    assert lines[0]["answer"]["records"][0]["fields"]
    assert lines[0]["answer"]["query_id"] == lines[0]["query_id"] != lines[4]["query_id"]


def test_a_line_is_answered_as_the_same_question_asked_alone(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consented(exchange_home)
    question = asked(mode="verify", claims=[{"item": "RATING.score", "relation": "at_least", "value": 80}])
    alone = bank.call("POST", "/v1/queries", content=question).json()["answer"]
    batch_id = bank.handed_in(file_of(question))
    worked(exchange_home)
    (line,) = bank.fetched(batch_id)
    own = {"query_id", "decided_at", "request"}
    assert {k: v for k, v in line["answer"].items() if k not in own} == {k: v for k, v in alone.items() if k not in own}
    assert bank.call("GET", f"/v1/queries/{line['query_id']}/evidence").status_code in {200, 202}


def test_regulators_see_each_line_as_an_access_with_its_batch(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consented(exchange_home)
    batch_id = bank.handed_in(file_of(asked(), asked(NOBODY)))
    worked(exchange_home)
    bank.fetched(batch_id)
    found = entries(exchange_home, "release:query:permitted", "release:query:refused", "release:query:reopened")
    seen = [
        (event, access["batch_id"], access["line"], access.get("form")) for event, f in found if (access := f["access"])
    ]
    assert sorted(seen, key=str) == [
        ("release:query:permitted", batch_id, 1, None),
        ("release:query:refused", batch_id, 2, None),
        ("release:query:reopened", batch_id, 1, "batch"),
    ]
    received, ended = entries(exchange_home, "exchange:bulk:received", "exchange:bulk:ended")
    assert received[1]["batch_id"] == ended[1]["batch_id"] == batch_id
    assert ended[1]["counts"] == {"permitted": 1, "no-consent": 1}


# ---- once -----------------------------------------------------------------------------------------------------------


def test_the_same_file_again_is_the_same_batch(exchange_home: Home, bank: Batcher) -> None:
    content = file_of(asked())
    batch_id = bank.handed_in(content, "the-first-key")
    again = bank.announce(content, "the-first-key")
    assert (again.status_code, again.json()["batch_id"]) == (200, batch_id)
    another = bank.announce(content, "another-key-altogether")
    assert (another.status_code, another.json()["batch_id"]) == (200, batch_id)
    worked(exchange_home)
    assert bank.announce(content, "another-key-altogether").json()["state"] == "finished"


def test_another_file_under_the_same_key_is_refused(bank: Batcher) -> None:
    bank.handed_in(file_of(asked()), "the-first-key")
    answer = bank.announce(file_of(asked(LI)), "the-first-key")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")


def test_a_file_whose_batch_was_cancelled_may_come_again_under_another_key(bank: Batcher) -> None:
    content = file_of(asked())
    batch_id = bank.handed_in(content, "the-first-key")
    assert bank.call("DELETE", f"/v1/batches/{batch_id}").json()["state"] == "cancelled"
    assert bank.announce(content, "the-first-key").json()["batch_id"] == batch_id
    anew = bank.announce(content, "the-second-key")
    assert (anew.status_code, anew.json()["batch_id"] != batch_id) == (201, True)


def test_an_upload_that_was_cut_goes_on_where_it_stopped(exchange_home: Home, bank: Batcher) -> None:
    content = file_of(asked(), asked(NOBODY))
    announced = bank.announce(content)
    where = announced.headers["location"]
    assert bank.send(where, content[:70]).headers["upload-offset"] == "70"
    assert bank.send(where, content[90:], 90).json()["code"] == "upload-offset"
    head = bank.call("HEAD", where, headers={"Tus-Resumable": "1.0.0"})
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("70", str(len(content)))
    assert bank.send(where, content[70:], 70).status_code == 204
    worked(exchange_home)
    assert bank.state(announced.json()["batch_id"])["answered"] == 2


def test_progress_is_tagged_and_says_when_to_look_again(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(*[asked(NOBODY)] * (preparing.BLOCK_LINES + 1)))
    path = f"/v1/batches/{batch_id}"
    first = bank.call("GET", path)
    assert first.headers["retry-after"] == "5"
    same = bank.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    preparing.prepare_all(exchange_home)
    assert working.work_next(exchange_home)
    changed = bank.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["answered"]) == (200, preparing.BLOCK_LINES)
    worked(exchange_home)
    assert "retry-after" not in bank.call("GET", path).headers


def test_batches_are_listed_by_page_the_newest_first(bank: Batcher) -> None:
    made = [bank.handed_in(file_of(asked(business_no=f"LA-{number}"))) for number in range(3)]
    page = bank.call("GET", "/v1/batches?limit=2").json()
    rest = bank.call("GET", f"/v1/batches?limit=2&cursor={page['next']}").json()
    assert [one["batch_id"] for one in page["batches"] + rest["batches"]] == made[::-1]
    assert rest["next"] is None
    without_zone = b64url(orjson.dumps(["batch of questions", "2026-06-15T02:03:04", made[0]]))
    for bent in ("x", without_zone, paging.cursor("paper", clock.now(), UUID(made[0]))):
        assert bank.call("GET", f"/v1/batches?cursor={bent}").json()["code"] == "request-malformed"


def test_parts_can_be_fetched_as_they_come(exchange_home: Home, bank: Batcher) -> None:
    count = results.PART_LINES + 3
    batch_id = bank.handed_in(file_of(*(asked(NOBODY, business_no=f"LA-{n}") for n in range(count))))
    pending = bank.fetch(batch_id)
    assert (pending.status_code, pending.json()["code"], pending.headers["retry-after"]) == (409, "bulk-pending", "5")
    preparing.prepare_all(exchange_home)
    while not bank.state(batch_id)["parts_ready"]:
        assert working.work_next(exchange_home)
    assert bank.state(batch_id)["state"] == "working"
    assert [line["line"] for line in bank.fetched(batch_id)] == list(range(1, results.PART_LINES + 1))
    worked(exchange_home)
    assert [line["line"] for line in bank.fetched(batch_id, 2)] == list(range(results.PART_LINES + 1, count + 1))
    assert bank.fetch(batch_id, 3).json()["code"] == "bulk-unknown"


# ---- consents that change in between ---------------------------------------------------------------------------------


def test_a_consent_withdrawn_before_the_line_is_decided_refuses_it(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consent = consented(exchange_home)
    batch_id = bank.handed_in(file_of(asked()))
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    worked(exchange_home)
    assert bank.state(batch_id)["refused"] == {"withdrawn": 1}
    assert outcomes(bank.fetched(batch_id)) == [(1, "withdrawn")]


def test_a_consent_withdrawn_before_the_part_is_fetched_keeps_its_line_back(exchange_home: Home, bank: Batcher) -> None:
    for who in (ZHANG, LI):
        held(exchange_home, who)
    consent = consented(exchange_home)
    consented(exchange_home, LI)
    content = file_of(asked(), asked(LI))
    batch_id = bank.handed_in(content)
    worked(exchange_home)
    assert bank.state(batch_id)["permitted"] == 2
    before = bank.fetch(batch_id)
    assert outcomes(opened(bank.key, before.content)) == [(1, "permitted"), (2, "permitted")]
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    after = bank.fetch(batch_id)
    assert outcomes(opened(bank.key, after.content)) == REFUSED_AFTERWARDS
    for part in (before.content, after.content):  # both were handed out, and the manifest says so
        verify_batch.verify(bank.manifest(batch_id), {1: part}, trust(exchange_home), bank.key, questions=content)


def test_uses_that_run_out_in_the_middle_refuse_the_rest(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consent = consented(exchange_home, max_uses=5)
    batch_id = bank.handed_in(file_of(*(asked(business_no=f"LA-{n}") for n in range(preparing.BLOCK_LINES + 8))))
    worked(exchange_home)
    assert uses(exchange_home, consent.consent_id) == 5
    said = bank.state(batch_id)
    assert (said["permitted"], said["refused"]) == (5, {"uses-exhausted": preparing.BLOCK_LINES + 3})
    assert [outcome for _, outcome in outcomes(bank.fetched(batch_id))].count("permitted") == 5


def test_a_system_that_is_suspended_midway_gets_nothing_more(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(*(asked(NOBODY) for _ in range(preparing.BLOCK_LINES * 2))))
    preparing.prepare_all(exchange_home)
    assert working.work_next(exchange_home)
    with exchange_home.database.transaction() as tx:
        assert clients.set_state(tx, "bank", clients.SUSPENDED)
    assert worked(exchange_home) == 0
    with exchange_home.database.transaction() as tx:
        assert clients.set_state(tx, "bank", clients.ACTIVE)
    assert bank.state(batch_id)["answered"] == preparing.BLOCK_LINES
    worked(exchange_home)
    assert bank.state(batch_id)["state"] == "finished"


def test_a_system_suspended_while_its_block_is_at_the_gate_is_not_answered(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    preparing.prepare_all(exchange_home)

    def suspend(step: int) -> None:
        if step == 1:
            with exchange_home.database.transaction() as tx:
                assert clients.set_state(tx, "bank", clients.SUSPENDED)

    assert working.work_next(exchange_home, at_gate=suspend)
    assert entries(exchange_home, "release:query:refused") == []
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM bulk_line WHERE batch_id = %s", (UUID(batch_id),)).fetchone() == (0,)


def test_cancelling_midway_ends_the_batch_and_leaves_what_was_answered(exchange_home: Home, bank: Batcher) -> None:
    count = preparing.BLOCK_LINES * 2
    batch_id = bank.handed_in(file_of(*(asked(NOBODY, business_no=f"LA-{n}") for n in range(count))))
    preparing.prepare_all(exchange_home)
    assert working.work_next(exchange_home)
    said = bank.call("DELETE", f"/v1/batches/{batch_id}").json()
    assert (said["state"], said["answered"]) == ("cancelled", preparing.BLOCK_LINES)
    assert worked(exchange_home) == 0
    part = bank.fetch(batch_id).content
    assert len(opened(bank.key, part)) == preparing.BLOCK_LINES
    verdict = verify_batch.verify(bank.manifest(batch_id), {1: part}, trust(exchange_home), bank.key)
    assert (verdict.state, verdict.lines) == ("cancelled", preparing.BLOCK_LINES)
    assert bank.call("DELETE", f"/v1/batches/{batch_id}").json()["state"] == "cancelled"


def test_a_batch_cancelled_while_its_block_is_at_the_gate_is_not_answered(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    preparing.prepare_all(exchange_home)

    def cancel(step: int) -> None:
        if step == 3:
            bank.call("DELETE", f"/v1/batches/{batch_id}")

    assert working.work_next(exchange_home, at_step=cancel)
    assert entries(exchange_home, "release:query:refused") == []
    assert bank.state(batch_id)["answered"] == 0


def test_two_workers_on_one_block_decide_it_once(exchange_home: Home, bank: Batcher) -> None:
    held(exchange_home)
    consent = consented(exchange_home)
    batch_id = bank.handed_in(file_of(asked(), asked()))
    preparing.prepare_all(exchange_home)

    def another(step: int) -> None:
        if step == 3:
            assert working.work_next(exchange_home)

    assert working.work_next(exchange_home, at_step=another)
    worked(exchange_home)
    assert uses(exchange_home, consent.consent_id) == 2
    assert len(entries(exchange_home, "release:query:permitted")) == 2
    assert bank.state(batch_id)["permitted"] == 2


def test_a_line_that_is_to_blame_takes_nothing_from_the_others(
    exchange_home: Home, bank: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(exchange_home)
    consented(exchange_home)
    real = recording.record

    def broken(home: Home, tx: object, cases: list[object], now: object) -> None:
        if any(case.ask.line.number == 2 for case in cases):  # type: ignore[attr-defined]
            raise RuntimeError("a mistake")
        real(home, tx, cases, now)  # type: ignore[arg-type]

    monkeypatch.setattr("exchange.release.lines.record", broken)
    batch_id = bank.handed_in(file_of(asked(), asked(), asked()))
    worked(exchange_home)
    assert outcomes(bank.fetched(batch_id)) == [(1, "permitted"), (2, "internal"), (3, "permitted")]
    assert len(entries(exchange_home, "release:query:permitted")) == 2


# ---- what lies here, and for how long --------------------------------------------------------------------------------


def stored(home: Home) -> bytes:
    """Everything that lies in the database and in the home."""
    found = b""
    with home.database.transaction() as tx:
        tables = tx.execute("SELECT relname FROM pg_class WHERE relname LIKE 'bulk%%' AND relkind = 'r'").fetchall()
        for (name,) in tables:
            found += b"".join(row[0].encode() for row in tx.execute(f"SELECT t::text FROM {name} t").fetchall())
    return found + b"".join(path.read_bytes() for path in (home.settings.home / "bulk").rglob("*") if path.is_file())


def test_no_identifier_lies_in_clear_and_none_at_all_when_it_is_over(exchange_home: Home, bank: Batcher) -> None:
    content = file_of(asked(), asked(LI))
    batch_id = bank.handed_in(content)
    for _ in range(3):
        lying = stored(exchange_home)
        for who in (ZHANG, LI):
            assert who.text.encode() not in lying
            assert who.text.encode().hex().encode() not in lying
            assert base64.b64encode(who.text.encode()).rstrip(b"=") not in lying
        assert sha256(content).hex().encode() not in lying  # a short file could be found by trying
        preparing.prepare_all(exchange_home)
        working.work_next(exchange_home)
    assert bank.state(batch_id)["state"] == "finished"
    assert not list((exchange_home.settings.home / "bulk").iterdir())
    assert UUID(batch_id) not in exchange_home.datakeys.standing([UUID(batch_id)])


def test_when_its_time_is_over_nothing_is_left_but_the_counts(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    worked(exchange_home)
    assert bank.fetch(batch_id).status_code == 200
    later = clock.now() + timedelta(hours=72, minutes=1)
    keeping.tidy(exchange_home, now=later - timedelta(minutes=2))
    assert bank.fetch(batch_id).status_code == 200
    keeping.tidy(exchange_home, now=later)
    for path in ("results/1", "manifest"):
        answer = bank.call("GET", f"/v1/batches/{batch_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "bulk-over")
    said = bank.state(batch_id)
    assert (said["state"], said["refused"], said["parts_ready"]) == ("finished", {"no-consent": 1}, 0)
    with exchange_home.database.transaction() as tx:
        for table in ("bulk_line", "bulk_part", "bulk_block"):
            assert tx.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_how_long_is_the_operators_to_say() -> None:
    assert Settings(batch_results_hours=5).batch_results_hours == 5
    with pytest.raises(ValueError, match="batch_results_hours"):
        Settings(batch_results_hours=0)


def test_an_upload_that_nobody_finished_is_destroyed(exchange_home: Home, bank: Batcher) -> None:
    content = file_of(asked())
    announced = bank.announce(content)
    bank.send(announced.headers["location"], content[:10])
    keeping.tidy(exchange_home, now=clock.now() + timedelta(hours=73))
    batch_id = announced.json()["batch_id"]
    assert bank.state(batch_id)["state"] == "expired"
    assert bank.send(announced.headers["location"], content[10:], 10).json()["code"] == "bulk-over"
    assert UUID(batch_id) not in exchange_home.datakeys.standing([UUID(batch_id)])


def test_a_batch_whose_key_is_gone_ends_and_says_so(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    preparing.prepare_all(exchange_home)
    exchange_home.datakeys.erase(UUID(batch_id), now=clock.now())
    worked(exchange_home)
    said = bank.state(batch_id)
    assert (said["state"], said["fault"]) == ("refused", "bytes-lost")
