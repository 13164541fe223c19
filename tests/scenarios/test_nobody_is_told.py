"""What a lender does not learn of a person: that it died, that it is known under two numbers, why a consent ended."""

from datetime import timedelta
from typing import Any

import httpx

from consent import receipt
from exchange import consents, subjects, telling
from registry import clock
from registry.clock import rfc3339
from registry.identifiers import ResidentId
from tests.people import held, sequenced
from tests.scenarios.stage import Scene, evidence, refuses, subject, today
from tests.telling import opened

DOCUMENT = b"\x07" * 32
OWN = {"consent_id", "receipt", "receipt_sm2", "receipt_sha256", "instance", "request_id", "notice_id", "queries"}


def dies(scene: Scene, who: ResidentId) -> None:
    held(scene.home, who)
    subjects.note_death(scene.home, who, document_sha256=DOCUMENT, actor="operator")


def shape(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """All of an answer that does not differ from one consent to the next."""
    return answer.status_code, {name: value for name, value in answer.json().items() if name not in OWN}


def confirms(scene: Scene, consent_id: str) -> httpx.Response:
    """Confirm a consent again, at the counter."""
    said = {"channel": "counter", "collector": "c-0", "captured_at": rfc3339(clock.now()), "evidence": evidence()}
    return scene.bank.call("POST", f"/v1/consents/{consent_id}/reconfirm", said)


@refuses("withdrawn")
def test_a_death_looks_like_a_withdrawal_at_every_door_of_the_lender(scene: Scene) -> None:
    alive, dead = scene.person(80), scene.person(80)
    made = {who: scene.recorded(who, valid_to=today(200))["consent_id"] for who in (alive, dead)}
    for who in made:
        held(scene.home, who)
        scene.permitted(scene.asks(who))
    withdraw = f"/v1/consents/{made[alive]}/withdraw"
    assert scene.bank.call("POST", withdraw, {"channel": "counter"}).status_code == 200
    dies(scene, dead)
    seen: dict[ResidentId, list[Any]] = {}
    for who, consent_id in made.items():
        path = f"/v1/consents/{consent_id}"
        answer = scene.asks(who)
        scene.refused(answer)
        seen[who] = [
            shape(answer)[0],
            shape(scene.bank.call("GET", path)),
            shape(confirms(scene, consent_id)),
            shape(scene.bank.call("POST", f"{path}/pause", {"channel": "counter"})),
            shape(scene.bank.call("POST", f"{path}/narrow", {"channel": "counter", "max_uses": 1})),
            shape(scene.bank.call("POST", f"{path}/withdraw", {"channel": "counter"})),
        ]
    assert seen[alive] == seen[dead]
    sequenced(scene.home)
    telling.spread_all(scene.home)
    told = scene.bank.call("POST", "/v1/events/poll", {"returnImmediately": True, "maxEvents": 200}).json()["sets"]
    claims = [opened(scene.door, token)[1] for token in told.values()]
    ends = {
        who: [one["events"] for one in claims if one["sub_id"]["id"] == consent_id][-1]
        for who, consent_id in made.items()
    }
    assert ends[alive] == ends[dead]
    notices = scene.bank.call("GET", "/v1/deletions").json()["notices"]
    asked = {
        who: [(one["reason"], one["due_at"]) for one in notices if one["consent_id"] == consent_id]
        for who, consent_id in made.items()
    }
    assert asked[alive] == asked[dead]
    assert [reason for reason, _ in asked[dead]] == ["withdrawn"]
    (kept,) = scene.consents(dead)
    assert kept.state.value == "expired"  # the ledger and the log say what it was


@refuses("expired")
def test_a_consent_whose_time_is_over_is_told_as_such(scene: Scene) -> None:
    who = scene.person()
    made = scene.recorded(who, valid_to=today(3))
    scene.permitted(scene.gate(who))
    with scene.at(clock.now() + timedelta(days=5)), scene.home.database.transaction() as tx:
        consents.expire_due(tx, now=clock.now())
    scene.refused(scene.gate(who))
    assert scene.bank.call("GET", f"/v1/consents/{made['consent_id']}").json()["state"] == "expired"


@refuses("REPRESENTATIVE_UNFIT", "ITEM_UNKNOWN", "TOO_MANY_USES", "EVIDENCE_REUSED")
def test_that_two_numbers_are_one_person_is_told_to_nobody_who_is_refused_anyway(scene: Scene) -> None:
    old, new, third = scene.person(60), scene.person(60), scene.person(60)
    paper = evidence()
    scene.recorded(scene.person(), evidence=paper)
    for who in (old, third):
        scene.recorded(who, purpose="GUARANTEE")
    subjects.renumber(scene.home, old, new, document_sha256=DOCUMENT, actor="operator")
    acted = {
        "kind": "proxy",
        "relation": "relative",
        "representative": subject(new),
        "document_sha256": "02" * 32,
        "until": today(5),
    }
    for bent in ({"items": ["NOTHING"]}, {"max_uses": 99}, {"evidence": paper}):
        linked, other = (scene.records(who, representation=acted, **bent) for who in (old, third))
        scene.refused(linked)
        assert shape(linked) == shape(other), bent
    scene.refused(scene.records(old, representation=acted))
    scene.permitted(scene.records(third, representation=acted))


@refuses("REFUSED_LATELY")
def test_who_came_of_its_own_will_stands_in_record_receipt_and_log(scene: Scene) -> None:
    """After a "no" the lender states that the person came by itself: whoever audits the cool-down finds that."""
    who = scene.person()
    said = {"channel": "counter", "subject": subject(who), "purpose": "LOAN_APPROVAL"}
    assert scene.bank.call("POST", "/v1/consents/refusals", said).status_code == 201
    scene.refused(scene.records(who))
    answer = scene.records(who, asked_by="subject")
    scene.permitted(answer)
    other = scene.recorded(scene.person())
    for consent_id, began in ((answer.json()["consent_id"], "subject"), (other["consent_id"], "lender")):
        with scene.home.database.transaction() as tx:
            row = tx.execute("SELECT asked_by, receipt FROM consent WHERE consent_id = %s", (consent_id,)).fetchone()
            entry = tx.execute(
                "SELECT fields->>'asked_by' FROM log_entry WHERE consent_id = %s AND event = 'consent:grant:recorded'",
                (consent_id,),
            ).fetchone()
        assert row is not None
        document = receipt.verify(row[1], scene.home.keyring.policy().receipt_keys).document
        assert (row[0], document["events"][0]["asked_by"], entry) == (began, began, (began,))
