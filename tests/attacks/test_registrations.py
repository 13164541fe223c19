"""Attacks on the letting in of lenders: at the door where anybody may ask, and on what two officers sign."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from exchange.admission import arriving, matters, officers, registration, settling, suspending
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, State
from exchange.admission.officers import Decision, OfficerKey, Role
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import clock
from registry.keyring import Purpose
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
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
from tests.standing import Standing

OTHER_USCC = "91630000MA0000015U"


@pytest.fixture
def real(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(arriving, "AN_HOUR", 10**6)  # one door for all tests of this file
    return in_production(standing.emptied())


@pytest.fixture
def door(standing: Standing, real: Home) -> Door:
    return standing.door(home=real)


@pytest.fixture
def lender(real: Home) -> Caller:
    return registered(real, Caller("lender-one"))


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


def test_what_has_a_trial_takes_up_no_place_and_what_is_handed_in_by_hand_is_not_counted(
    real: Home, door: Door
) -> None:
    first = Applicant()
    for place in range(matters.OPEN_MOST_OF_ONE):
        found = (Applicant() if place else first).asked(door)
        if not place:
            tried(real, found, first)
    Applicant().asked(door)
    assert Applicant().ask(door).status_code == 429, "a stranger shuts the door in the bank's name"
    bank = Applicant()
    old = int(time.time()) - 3 * 86_400
    asked = registration.read(bank.signed(iat=old), [], issuer=ISSUER, sandbox=False, now=clock.now(), by_hand=True)
    with real.database.transaction() as tx:
        kept = arriving.keep(tx, asked, by_hand=True, now=clock.now())
        assert kept.state is State.OPEN
        with pytest.raises(RequestRefused, match="used before"):
            arriving.keep(tx, asked, by_hand=True, now=clock.now())
    with pytest.raises(RequestRefused, match="too old"):
        registration.read(bank.signed(iat=old), [], issuer=ISSUER, sandbox=False, now=clock.now())


def test_so_many_come_through_the_door_in_an_hour_and_more_in_the_next() -> None:
    seconds = [0.0]
    pace = arriving.Pace(lambda: seconds[0])
    for _ in range(arriving.AN_HOUR):
        pace.take()
    with pytest.raises(RequestRefused) as refused:
        pace.take()
    assert refused.value.retry_after_seconds == 3600 // arriving.AN_HOUR
    seconds[0] += 3600 / arriving.AN_HOUR
    pace.take()
    with pytest.raises(RequestRefused):
        pace.take()


def test_a_flood_is_refused_at_the_door_before_anything_is_written(
    real: Home, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "AN_HOUR", 1e-6)
    refused = [Applicant(organisation=f"第{place}家银行").ask(door) for place in "一二"]
    assert {code_of(one) for one in refused} == {(429, "registrations-too-many")}
    with real.database.transaction() as tx:
        assert matters.waiting(tx) == []


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


def test_a_yes_that_was_written_into_the_database_is_none(real: Home, matter_id: UUID, two: Officers) -> None:
    matter, now = matter_of(real, matter_id), clock.now()
    forger = OfficerKey.make("o-1")
    mine = two.security.say(Decision.APPROVE, matter_id, matter.digest, issuer=ISSUER, now=now)
    forged = forger.say(Decision.APPROVE, matter_id, matter.digest, issuer=ISSUER, now=now)
    other = two.operator.say(Decision.APPROVE, uuid4(), matter.digest, issuer=ISSUER, now=now)
    for statement, said in ((mine, "another officer's code"), (forged, "registered key"), (other, "another matter")):
        with real.database.transaction() as tx:
            matters.keep_approval(tx, matter, "o-1", statement, now=now)
        with pytest.raises(NotApproved, match=said):
            approve(real, matter_id, two.security)
    assert approve(real, matter_id, two.operator).state is State.OPEN
    assert approve(real, matter_id, two.security).state is State.APPROVED


def test_a_row_that_names_another_lender_than_its_content_is_not_what_was_signed(
    real: Home, matter_id: UUID, two: Officers
) -> None:
    approve(real, matter_id, two.operator)
    with real.database.transaction() as tx:
        tx.execute("UPDATE matter SET organisation = '另一家银行' WHERE matter_id = %s", (matter_id,))
    with pytest.raises(NotApproved, match="not what its digest says"):
        approve(real, matter_id, two.security)


def test_a_bank_is_not_registered_under_another_credit_code(real: Home, door: Door, two: Officers) -> None:
    def ready(applicant: Applicant, **bent: Any) -> UUID:
        found = applicant.asked(door, **bent)
        tried(real, found, applicant)
        return found

    let_in(real, ready(Applicant()), two)
    stranger = ready(Applicant(), uscc=OTHER_USCC)
    with pytest.raises(NotApproved, match="another credit code"):
        approve(real, stranger, two.operator)
    renamed = ready(Applicant(organisation="另一家银行"))
    with real.database.transaction() as tx:
        content = matter_of(real, renamed).content
        assert settling.known_otherwise(tx, content) == ([], ["青海测试农商银行"]), "officers are shown it"
    assert let_in(real, ready(Applicant()), two).startswith("lender-"), "a second system of the same bank"


# ---- officers -------------------------------------------------------------------------------------------------------


def test_a_code_in_other_case_and_a_key_under_another_code_are_the_same_persons(real: Home, two: Officers) -> None:
    for code, key in (("O-1", OfficerKey.make("O-1")), ("o-9", two.operator)):
        with real.database.transaction() as tx, pytest.raises(NotApproved, match="somebody's already"):
            officers.add(tx, code, Role.SECURITY_ADMIN, key.public_jwk, now=clock.now())


def test_two_who_are_ended_at_once_leave_one(real: Home, two: Officers) -> None:
    second = OfficerKey.make("o-2")
    with real.database.transaction() as tx:
        officers.add(tx, "o-2", Role.OPERATOR, second.public_jwk, now=clock.now())

    def end(code: str) -> bool:
        try:
            with real.database.transaction() as tx:
                officers.end(tx, code, now=clock.now())
                time.sleep(0.05)  # so that the other one has looked before this one is written
        except NotApproved:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(end, ("o-1", "o-2"))) == [False, True]
    with real.database.transaction() as tx:
        assert officers.roles_standing(tx) == {Role.OPERATOR: 1, Role.SECURITY_ADMIN: 1}


def test_nobody_refuses_to_be_ended(real: Home, two: Officers) -> None:
    third, now = OfficerKey.make("o-2"), clock.now()
    with real.database.transaction() as tx:
        officers.add(tx, "o-2", Role.OPERATOR, third.public_jwk, now=now)
        matter = settling.change_officers(tx, Kind.OFFICER_END, "o-1", {"officer_id": "o-1"}, now=now)
    assert matter is not None
    said = two.operator.say(Decision.REFUSE, matter.matter_id, matter.digest, issuer=ISSUER, now=now)
    with real.database.transaction() as tx, pytest.raises(NotApproved, match="nobody refuses to be ended"):
        settling.refuse(real, tx, matter.matter_id, said, matters.Reason.NOT_NEEDED, returned=False, now=now)
    approve(real, matter.matter_id, third)
    assert approve(real, matter.matter_id, two.security).state is State.APPROVED


def test_who_agreed_to_let_a_system_in_again_has_not_agreed_after_it_was_sent_away_anew(
    real: Home, matter_id: UUID, two: Officers
) -> None:
    client_id, now = let_in(real, matter_id, two), clock.now()
    with real.database.transaction() as tx:
        assert suspending.suspend(tx, client_id, actor="operator", now=now)
        content = {"client_id": client_id}
        resume = matters.open_(tx, Kind.RESUME, "青海测试农商银行", content, client_id=client_id, now=now)
    approve(real, resume.matter_id, two.operator)
    with real.database.transaction() as tx:
        assert suspending.suspend(tx, client_id, actor="operator", now=now), "something else was found out"
    with pytest.raises(NotApproved, match="settled: expired"):
        approve(real, resume.matter_id, two.security)
