"""Attacks on the letting in of lenders: at the door where anybody may ask, and on what two officers sign."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from exchange.admission import matters, officers, settling
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, State
from exchange.admission.officers import Decision, OfficerKey, Role
from exchange.home import Home
from registry import clock
from registry.keyring import Purpose
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.registering import (
    REGISTRATIONS,
    Applicant,
    Officers,
    appointed,
    approve,
    fresh_key,
    in_production,
    key_proof,
    let_in,
    matter_of,
    tried,
)


@pytest.fixture
def real(exchange_home: Home) -> Home:
    return in_production(exchange_home)


@pytest.fixture
def door(real: Home) -> Iterator[Door]:
    with Door(real) as opened:
        yield opened


@pytest.fixture
def two(real: Home) -> Officers:
    return appointed(real)


@pytest.fixture
def matter_id(real: Home, door: Door) -> UUID:
    """A request that both officers could approve."""
    applicant = Applicant()
    found = applicant.asked(door)
    tried(real, found, applicant)
    return found


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# ---- at the door ----------------------------------------------------------------------------------------------------


def test_a_request_is_taken_once(door: Door) -> None:
    body = Applicant().body()
    assert door.call("POST", REGISTRATIONS, json=body).status_code == 201
    assert code_of(door.call("POST", REGISTRATIONS, json=body)) == (403, "possession-unproven")


def test_nobody_registers_a_key_that_is_anothers(real: Home, door: Door, lender: Caller) -> None:
    assert code_of(Applicant(keys=[lender.key]).ask(door)) == (409, "key-anothers"), "who holds it, has it already"
    thief = Applicant(keys=[fresh_key("mine"), lender.key])
    stolen = {"request": thief.signed(), "proofs": [key_proof(lender.key, thief.keys, signer=thief.keys[0])]}
    assert code_of(door.call("POST", REGISTRATIONS, json=stolen)) == (403, "possession-unproven")
    with real.database.transaction() as tx:
        assert matters.waiting(tx) == []


def test_an_organisation_has_three_open_requests_and_all_together_have_a_bound(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(matters.OPEN_MOST_OF_ONE):
        Applicant().asked(door)
    full = Applicant().ask(door)
    assert code_of(full) == (429, "registrations-too-many")
    assert int(full.headers["retry-after"]) > 0
    Applicant(organisation="另一家银行").asked(door)
    monkeypatch.setattr(matters, "OPEN_MOST", 4)
    assert code_of(Applicant(organisation="第三家银行").ask(door)) == (429, "registrations-too-many")


def test_an_id_that_is_guessed_shows_nothing_and_other_matters_are_no_registrations(real: Home, door: Door) -> None:
    with real.database.transaction() as tx:
        resume = matters.open_(tx, Kind.RESUME, "x", {"client_id": "x"}, client_id="x", now=clock.now())
    for guessed in (uuid4(), resume.matter_id):
        assert code_of(door.call("GET", f"{REGISTRATIONS}/{guessed}")) == (404, "registration-unknown")


def test_a_body_that_is_too_long_or_no_request_is_refused(door: Door) -> None:
    for body in ({"request": "x" * 9000}, {"request": 1}, {}, {"request": "a.b.c", "proofs": ["x"] * 9}):
        assert door.call("POST", REGISTRATIONS, json=body).status_code == 422
    assert code_of(door.call("POST", REGISTRATIONS, json={"request": "a.b.c"})) == (403, "possession-unproven")


def test_what_nobody_decides_ends_and_what_was_decided_is_forgotten(real: Home, door: Door) -> None:
    found = Applicant().asked(door)
    now = clock.now()
    with real.database.transaction() as tx:
        assert matters.forget(tx, now=now) == 0
        assert matters.forget(tx, now=now + matters.OPEN_FOR + timedelta(seconds=1)) == 1
    assert door.call("GET", f"{REGISTRATIONS}/{found}").json()["state"] == State.EXPIRED
    with real.database.transaction() as tx:
        assert matters.forget(tx, now=now + matters.OPEN_FOR + matters.KEPT_FOR * 2) == 1
    assert door.call("GET", f"{REGISTRATIONS}/{found}").status_code == 404


# ---- what officers sign ---------------------------------------------------------------------------------------------


def test_one_person_is_not_two(real: Home, matter_id: UUID, two: Officers) -> None:
    for _ in range(3):
        assert approve(real, matter_id, two.operator).state is State.OPEN
    other = OfficerKey.make("o-3")
    with real.database.transaction() as tx:
        officers.add(tx, "o-3", Role.OPERATOR, other.public_jwk, now=clock.now())
    assert approve(real, matter_id, other).state is State.OPEN, "two of one role are not two roles"
    assert approve(real, matter_id, two.security).state is State.APPROVED


def test_an_approval_is_the_officers_own_of_this_matter_here_and_now(
    real: Home, matter_id: UUID, two: Officers, door: Door
) -> None:
    other = Applicant(organisation="另一家银行").asked(door)
    stranger = OfficerKey.make("o-1")  # the right code, another key
    unknown = OfficerKey.make("o-9")
    bent: list[tuple[dict[str, Any], str]] = [
        ({"signer": stranger}, "registered key"),
        ({"signer": unknown}, "no standing officer"),
        ({"named": other}, "another matter"),
        ({"issuer": "https://elsewhere.example"}, "another matter or another installation"),
        ({"decision": Decision.REFUSE}, "something else"),
        ({"digest": b"\x00" * 32}, "changed since"),
        ({"at": clock.now() - timedelta(minutes=11)}, "not signed now"),
        ({"at": clock.now() + timedelta(minutes=11)}, "not signed now"),
    ]
    for one, said in bent:
        with pytest.raises(NotApproved, match=said):
            approve(real, matter_id, two.operator, **one)
    for text in ("", "x", "a.b.c", "..", "e30.e30.e30"):
        with real.database.transaction() as tx, pytest.raises(NotApproved):
            settling.approve(real, tx, matter_id, text, now=clock.now())
    with real.database.transaction() as tx:
        assert tx.execute("SELECT FROM matter_approval").fetchall() == []


def test_a_key_of_the_exchange_is_no_officers(real: Home, matter_id: UUID) -> None:
    key = real.keyring.signing(Purpose.ANSWER)
    forged = OfficerKey.make(key.key_id)
    with pytest.raises(NotApproved, match="no standing officer"):
        approve(real, matter_id, forged)


def test_a_request_that_was_altered_has_no_approval(real: Home, matter_id: UUID, two: Officers) -> None:
    before = matter_of(real, matter_id).digest
    approve(real, matter_id, two.operator)
    with real.database.transaction() as tx:
        matter = matters.held(tx, matter_id)
        raised = matter.content | {"caps": {"daily": 10**6, "monthly": 10**6}}
        matters.change(tx, matter, raised, actor="operator", now=clock.now())
    with pytest.raises(NotApproved, match="changed since"):
        approve(real, matter_id, two.security, digest=before)
    assert approve(real, matter_id, two.security).state is State.OPEN, "the first has not agreed to this"
    assert approve(real, matter_id, two.operator).state is State.APPROVED


def test_content_that_was_changed_behind_the_digest_is_not_what_was_signed(
    real: Home, matter_id: UUID, two: Officers
) -> None:
    approve(real, matter_id, two.operator)
    with real.database.transaction() as tx:
        tx.execute(
            "UPDATE matter SET content = jsonb_set(content, '{caps,daily}', '5') WHERE matter_id = %s", (matter_id,)
        )
    with pytest.raises(NotApproved, match="not what its digest says"):
        approve(real, matter_id, two.security)


def test_an_officer_who_has_ended_counts_no_more(real: Home, matter_id: UUID, two: Officers) -> None:
    approve(real, matter_id, two.operator)
    second = OfficerKey.make("o-2")
    with real.database.transaction() as tx:
        officers.add(tx, "o-2", Role.OPERATOR, second.public_jwk, now=clock.now())
        officers.end(tx, "o-1", now=clock.now())
    with pytest.raises(NotApproved, match="no standing officer"):
        approve(real, matter_id, two.operator)
    assert approve(real, matter_id, two.security).state is State.OPEN
    assert approve(real, matter_id, second).state is State.APPROVED


def test_a_settled_matter_is_not_approved_again(real: Home, matter_id: UUID, two: Officers) -> None:
    let_in(real, matter_id, two)
    with pytest.raises(NotApproved, match="settled"):
        approve(real, matter_id, two.operator)


def test_one_officers_no_is_enough_and_is_the_officers_own(
    real: Home, door: Door, matter_id: UUID, two: Officers
) -> None:
    now, digest = clock.now(), matter_of(real, matter_id).digest

    def refuse(key: OfficerKey, decision: Decision) -> None:
        said = key.say(decision, matter_id, digest, issuer=ISSUER, now=now)
        with real.database.transaction() as tx:
            settling.refuse(real, tx, matter_id, said, matters.Reason.CAPS_TOO_HIGH, returned=True, now=now)

    with pytest.raises(NotApproved, match="something else"):
        refuse(two.security, Decision.APPROVE)
    with pytest.raises(NotApproved, match="registered key"):
        refuse(OfficerKey.make("s-1"), Decision.REFUSE)
    refuse(two.security, Decision.REFUSE)
    shown = door.call("GET", f"{REGISTRATIONS}/{matter_id}").json()
    assert (shown["state"], shown["reason"]) == ("returned", "caps-too-high")


def test_two_requests_with_one_key_let_one_system_in(real: Home, door: Door, two: Officers) -> None:
    applicant = Applicant()
    first, second = applicant.asked(door), applicant.asked(door, client_name="另一系统")
    for found in (first, second):
        tried(real, found, applicant)
    let_in(real, first, two)
    approve(real, second, two.operator)
    with pytest.raises(NotApproved, match="key-anothers"):
        approve(real, second, two.security)
