"""A consent confirmed again: by evidence that is new, later than what it confirms, and taken by somebody who may."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from exchange.capture import collectors
from registry import clock
from registry.clock import rfc3339
from registry.identifiers import ResidentId
from tests.capturing import collector
from tests.people import BANK
from tests.phones import bound
from tests.scenarios.stage import Scene, World, code, evidence, refuses, subject, today

MONITORED = {"purpose": "POST_LOAN", "valid_to": None}


@pytest.fixture(scope="module", autouse=True)
def collects(world: World) -> str:
    """Somebody collects for the first lender."""
    return collector(world.home)


def consented(scene: Scene, who: ResidentId, **terms: Any) -> str:
    """A consent that has to be confirmed each year, given 20 months of it ago in no more than a moment."""
    return str(scene.recorded(who, **({"purpose": "POST_LOAN", "valid_to": today(days=700)} | terms))["consent_id"])


def confirms(scene: Scene, consent_id: str, *, at: datetime | None = None, **changes: Any) -> httpx.Response:
    """Hand in a confirmation that was signed at the counter."""
    stated = {
        "channel": "counter",
        "collector": "c-1",
        "captured_at": rfc3339(at or clock.now()),
        "evidence": evidence(),
    }
    return scene.bank.call("POST", f"/v1/consents/{consent_id}/reconfirm", stated | changes)


def given_ago(scene: Scene, consent_id: str, days: int) -> None:
    """Let a consent have been given so many days ago."""
    with scene.home.database.transaction() as tx:
        tx.execute(
            "UPDATE consent SET created_at = created_at - %(d)s, valid_from = valid_from - %(d)s,"
            " captured_at = captured_at - %(d)s"
            " WHERE consent_id = %(c)s",
            {"d": timedelta(days=days), "c": consent_id},
        )


@refuses("EVIDENCE_REUSED")
def test_the_same_paper_confirms_no_second_time(scene: Scene) -> None:
    consent_id, paper = consented(scene, scene.person()), evidence()
    scene.permitted(confirms(scene, consent_id, evidence=paper))
    put_due_again(scene, consent_id)
    scene.refused(confirms(scene, consent_id, evidence=paper))
    scene.permitted(confirms(scene, consent_id))


def put_due_again(scene: Scene, consent_id: str) -> None:
    """Let the next confirmation be due."""
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent SET reconfirm_by = %s WHERE consent_id = %s", (clock.now(), consent_id))


@refuses("EVIDENCE_REUSED")
def test_the_paper_of_the_consent_itself_does_not_confirm_it(scene: Scene) -> None:
    paper = evidence()
    consent_id = consented(scene, scene.person(), evidence=paper)
    scene.refused(confirms(scene, consent_id, evidence=paper))
    scene.permitted(confirms(scene, consent_id))


@refuses("EVIDENCE_REUSED")
def test_one_persons_confirmation_confirms_nothing_of_another(scene: Scene) -> None:
    one, other, paper = consented(scene, scene.person()), consented(scene, scene.person()), evidence()
    scene.permitted(confirms(scene, one, evidence=paper))
    scene.refused(confirms(scene, other, evidence=paper))
    scene.permitted(confirms(scene, other))


@refuses("EVIDENCE_REUSED")
def test_a_confirmation_is_no_paper_for_a_consent(scene: Scene) -> None:
    who, paper = scene.person(), evidence()
    scene.permitted(confirms(scene, consented(scene, who), evidence=paper))
    scene.refused(scene.records(who, purpose="GUARANTEE", evidence=paper))
    scene.permitted(scene.records(who, purpose="GUARANTEE"))


@refuses("collector-unknown")
def test_a_confirmation_that_nobody_registered_has_taken_confirms_nothing(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    scene.refused(confirms(scene, consent_id, collector="c-nobody"))
    scene.permitted(confirms(scene, consent_id))


@refuses("collector-unknown")
def test_a_collector_who_has_left_confirms_nothing_of_before(scene: Scene) -> None:
    consent_id, code_ = consented(scene, scene.person()), collector(scene.home, "c-left", scene.person(30))
    signed = clock.now()
    with scene.home.database.transaction() as tx:
        assert collectors.end(tx, BANK, code_, now=clock.now())
    scene.refused(confirms(scene, consent_id, collector=code_, at=signed))
    scene.permitted(confirms(scene, consent_id, at=signed))


@refuses("PAPER_NEEDS_FOUR_EYES")
def test_a_paper_that_one_pair_of_eyes_has_seen_confirms_nothing(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    paper = evidence(kind="paper_scan", fingerprints_redacted=True)
    scene.refused(confirms(scene, consent_id, evidence=paper))
    scene.permitted(confirms(scene, consent_id))


@refuses("request-invalid")
def test_a_confirmation_says_who_took_it_and_when(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    for unsaid in ("collector", "captured_at", "evidence"):
        scene.refused(confirms(scene, consent_id, **{unsaid: None}))
    scene.permitted(confirms(scene, consent_id))


@refuses("DATE_UNREADABLE")
def test_nobody_confirms_tomorrow(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    scene.refused(confirms(scene, consent_id, at=clock.now() + timedelta(minutes=16)))
    scene.permitted(confirms(scene, consent_id, at=clock.now() + timedelta(minutes=14)))


@refuses("CONFIRMED_TOO_EARLY")
def test_a_paper_from_before_the_consent_or_its_last_confirmation_confirms_nothing(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    given_ago(scene, consent_id, 3)
    scene.refused(confirms(scene, consent_id, at=clock.now() - timedelta(days=5)))
    scene.permitted(confirms(scene, consent_id, at=clock.now() - timedelta(days=1)))
    put_due_again(scene, consent_id)
    scene.refused(confirms(scene, consent_id, at=clock.now() - timedelta(days=2)))
    scene.permitted(confirms(scene, consent_id))


@refuses("CONFIRMED_TOO_EARLY")
def test_a_paper_from_before_a_smaller_consents_last_confirmation_confirms_nothing(scene: Scene) -> None:
    consent_id = consented(scene, scene.person())
    given_ago(scene, consent_id, 3)
    scene.permitted(confirms(scene, consent_id, at=clock.now() - timedelta(days=1)))
    narrowed = scene.bank.call("POST", f"/v1/consents/{consent_id}/narrow", {"channel": "counter", "max_uses": 1})
    smaller = narrowed.json()["consent_id"]
    put_due_again(scene, smaller)
    scene.refused(confirms(scene, smaller, at=clock.now() - timedelta(days=2)))
    scene.permitted(confirms(scene, smaller))


@refuses("CONFIRMED_TOO_EARLY")
def test_a_paper_from_before_a_withdrawal_confirms_nothing_after_it(scene: Scene) -> None:
    who = scene.person()
    consent_id, other = consented(scene, who), consented(scene, who)
    for one in (consent_id, other):
        given_ago(scene, one, 3)
    before = clock.now() - timedelta(hours=1)
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{other}/withdraw", {"channel": "counter"}))
    scene.refused(confirms(scene, consent_id, at=before))
    scene.permitted(confirms(scene, consent_id))


@refuses("CONFIRMATION_OVER")
def test_a_paper_that_lay_a_year_in_a_drawer_confirms_nothing(scene: Scene) -> None:
    """Its period begins when it was signed, so that old papers are no stock of confirmations."""
    consent_id = consented(scene, scene.person())
    given_ago(scene, consent_id, 500)
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE collector SET valid_from = valid_from - interval '500 days'")
    put_due_again(scene, consent_id)
    scene.refused(confirms(scene, consent_id, at=clock.now() - timedelta(days=400)))
    signed = clock.now() - timedelta(days=340)
    scene.permitted(confirms(scene, consent_id, at=signed))
    with scene.home.database.transaction() as tx:
        (due,) = tx.execute("SELECT reconfirm_by FROM consent WHERE consent_id = %s", (consent_id,)).fetchone() or ()
    assert timedelta(days=360) < due - signed < timedelta(days=370)


@refuses("CONFIRMED_TOO_EARLY", "EVIDENCE_REUSED")
def test_a_phones_confirmation_is_kept_as_evidence_that_counts_once(scene: Scene) -> None:
    who = scene.person()
    consent_id = consented(scene, who)
    phone = bound(scene.home, scene.door, who)
    scene.permitted(phone.call("POST", f"/subject/v1/consents/{consent_id}/reconfirm"))
    with scene.home.database.transaction() as tx:
        kept = tx.execute(
            "SELECT f.device, f.evidence_kind, e.document, f.evidence_sha256 FROM consent_confirmation f"
            " JOIN capture_evidence e ON e.sha256 = f.evidence_sha256 WHERE f.consent_id = %s",
            (consent_id,),
        ).fetchone()
    assert kept is not None
    assert kept[:2] == (phone.client.client_id, "reliable_esign")
    assert who.text.encode() not in kept[2]
    put_due_again(scene, consent_id)
    used = evidence(kind="reliable_esign", sha256=kept[3].hex())
    scene.refused(confirms(scene, consent_id, evidence=used))
    scene.refused(confirms(scene, consent_id, at=clock.now() - timedelta(minutes=1)))
    scene.permitted(phone.call("POST", f"/subject/v1/consents/{consent_id}/reconfirm"))


@refuses("GUARDIAN_NEEDED")
def test_a_ward_does_not_confirm_alone_what_a_guardian_agreed_to(scene: Scene) -> None:
    ward, parent = scene.person(16), scene.person(45)
    acted = {"kind": "guardian", "relation": "parent", "representative": subject(parent), "document_sha256": "01" * 32}
    consent_id = consented(scene, ward, representation=acted, sensitive_agreed=True)
    assert code(scene.asks(ward, purpose="POST_LOAN")) == "permitted"
    phone = bound(scene.home, scene.door, ward)
    scene.refused(phone.call("POST", f"/subject/v1/consents/{consent_id}/reconfirm"))
    scene.permitted(confirms(scene, consent_id))


@refuses("GUARDIAN_NEEDED")
def test_a_ward_does_not_let_go_on_alone_what_a_guardian_has_paused(scene: Scene) -> None:
    ward, parent = scene.person(16), scene.person(45)
    acted = {"kind": "guardian", "relation": "parent", "representative": subject(parent), "document_sha256": "01" * 32}
    consent_id = consented(scene, ward, representation=acted, sensitive_agreed=True)
    phone, own = bound(scene.home, scene.door, ward), f"/subject/v1/consents/{consent_id}"
    scene.permitted(scene.bank.call("POST", f"/v1/consents/{consent_id}/pause", {"channel": "counter"}))
    scene.refused(phone.call("POST", f"{own}/resume"))
    smaller = phone.call("POST", f"{own}/narrow", json={"max_uses": 1})
    scene.permitted(smaller)
    assert smaller.json()["state"] == "paused"  # making it smaller lets nothing in
    now = smaller.json()["consent_id"]
    scene.refused(phone.call("POST", f"/subject/v1/consents/{now}/resume"))
    assert code(scene.asks(ward, purpose="POST_LOAN")) == "paused"
    again = consented(scene, ward, representation=acted, sensitive_agreed=True, previous=now)  # by the guardian
    assert code(scene.asks(ward, purpose="POST_LOAN")) == "permitted"
    for act, expected in (("pause", scene.permitted), ("resume", scene.refused), ("withdraw", scene.permitted)):
        expected(phone.call("POST", f"/subject/v1/consents/{again}/{act}"))
