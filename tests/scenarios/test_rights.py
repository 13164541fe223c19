"""A person's own door: nobody else's consents, disputes and messages, no lender, no agency, no stolen phone."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from joserfc.jwk import ECKey

from exchange import binding
from exchange.oauth.scopes import Role
from exchange.release import Permitted
from registry import clock
from registry.identifiers import ResidentId
from tests.agencies import AGENCY, OTHER_AGENCY
from tests.attacks.bent_client import ISSUER, Caller, registered
from tests.people import consented, held
from tests.phones import Phone, bound, code_for, try_binding
from tests.phones import shown as code_shown
from tests.scenarios.stage import Scene, code, refuses, subject

DISPUTES = "/subject/v1/disputes"


def somebody(scene: Scene) -> tuple[ResidentId, Phone]:
    """A person with records, a consent and a phone."""
    who = scene.person()
    consented(scene.home, who)
    held(scene.home, who)
    return who, bound(scene.home, scene.door, who)


def dispute(phone: Phone, **changes: Any) -> dict[str, Any]:
    """What a phone sends to dispute its owner's subsidy."""
    record = next(one for one in phone.get("/subject/v1/records")["records"] if one["kind"] == "SUBSIDY")
    stated = {"record_id": record["record_id"], "version": record["version"], "item": "SUBSIDY.project"}
    return stated | {"reason": "wrong_value", "evidence_sha256": uuid4().hex * 2} | changes


def listed(phone: Phone, part: str) -> list[Any]:
    return list(phone.get(f"/subject/v1/{part}")[part])


# ---- other people ---------------------------------------------------------------------------------------------------


@refuses("consent-unknown")
def test_another_persons_consent_is_not_there(scene: Scene) -> None:
    (who, phone), (_, stranger) = somebody(scene), somebody(scene)
    (made,) = scene.consents(who)
    scene.refused(stranger.call("GET", f"/subject/v1/consents/{made.consent_id}"))
    scene.refused(stranger.call("POST", f"/subject/v1/consents/{made.consent_id}/narrow", json={"max_uses": 1}))
    scene.permitted(phone.call("GET", f"/subject/v1/consents/{made.consent_id}"))


@refuses("record-unknown")
def test_another_persons_record_is_not_disputed(scene: Scene) -> None:
    (_, phone), (_, stranger) = somebody(scene), somebody(scene)
    body = dispute(phone)
    scene.refused(stranger.call("POST", DISPUTES, json=body))
    scene.permitted(phone.call("POST", DISPUTES, json=body))


@refuses("not-listed")
def test_another_persons_dispute_is_in_no_list(scene: Scene) -> None:
    (_, phone), (_, stranger) = somebody(scene), somebody(scene)
    scene.permitted(phone.call("POST", DISPUTES, json=dispute(phone)))
    scene.permitted("permitted" if listed(phone, "disputes") else "not-listed")
    scene.refused("permitted" if listed(stranger, "disputes") else "not-listed")


@refuses("not-listed")
def test_another_persons_messages_are_in_no_list(scene: Scene) -> None:
    (who, phone), (_, stranger) = somebody(scene), somebody(scene)
    before = len(listed(stranger, "messages"))
    scene.permitted(scene.gate(who))
    assert {one["kind"] for one in listed(phone, "messages")} >= {"access"}
    scene.refused("not-listed" if len(listed(stranger, "messages")) == before else "permitted")


@refuses("phone-unknown")
def test_another_persons_phone_is_not_ended(scene: Scene) -> None:
    (_, phone), (_, stranger) = somebody(scene), somebody(scene)
    path = f"/subject/v1/phones/{phone.client.client_id}/end"
    scene.refused(stranger.call("POST", path))
    scene.permitted(phone.call("POST", path))


@refuses("no-message")
def test_whoever_wants_no_messages_of_accesses_gets_none_and_misses_no_access(scene: Scene) -> None:
    who, phone = somebody(scene)
    scene.permitted(scene.gate(who))
    scene.permitted("permitted" if _accesses_told(phone) else "no-message")
    phone.call("PUT", "/subject/v1/messages/choice", json={"access_messages": False})
    scene.permitted(scene.gate(who))
    scene.refused("permitted" if _accesses_told(phone) else "no-message")
    assert sum(one["outcome"] == "permitted" for one in listed(phone, "accesses")) == 2


def _accesses_told(phone: Phone) -> int:
    return sum(one["kind"] == "access" for one in listed(phone, "messages"))


# ---- organisations --------------------------------------------------------------------------------------------------


@refuses("scope-missing")
def test_no_lender_comes_in_by_a_persons_door(scene: Scene) -> None:
    _, phone = somebody(scene)
    for part in ("consents", "records", "accesses", "messages", "export", "requests"):
        scene.refused(scene.bank.call("GET", f"/subject/v1/{part}"))
        scene.permitted(phone.call("GET", f"/subject/v1/{part}"))


@refuses("scope-missing")
def test_no_regulator_or_agency_comes_in_by_a_persons_door(scene: Scene) -> None:
    _, phone = somebody(scene)
    for role in (Role.REGULATOR, Role.AGENCY):
        caller = registered(scene.home, Caller(f"other-{uuid4()}"), role, organisation=f"单位{role.value}")
        scene.refused(caller.get(scene.door, caller.token(scene.door), f"{ISSUER}/subject/v1/records"))
    scene.permitted(phone.call("GET", "/subject/v1/records"))


@refuses("scope-missing")
def test_no_phone_comes_in_by_the_lenders_door(scene: Scene) -> None:
    who, phone = somebody(scene)
    asked = {"subject": subject(who), "purpose": "LOAN_APPROVAL", "business_no": "LA-1", "items": ["RATING.grade"]}
    scene.refused(phone.call("POST", "/v1/queries", json=asked))
    scene.refused(phone.call("POST", "/v1/bindings", json={"subject": subject(who), "verified": "known_in_person"}))
    scene.permitted(phone.call("GET", "/subject/v1/records"))


@refuses("dispute-unknown")
def test_an_agency_answers_no_dispute_of_another_agencys_row(scene: Scene) -> None:
    _, phone = somebody(scene)
    filed = phone.call("POST", DISPUTES, json=dispute(phone)).json()["dispute_id"]
    url, said = f"{ISSUER}/agency/v1/disputes/{filed}/answer", {"outcome": "no_error", "reply": "经核对无误"}
    for organisation, expected in ((OTHER_AGENCY, scene.refused), (AGENCY, scene.permitted)):
        agency = registered(scene.home, Caller(f"agency-{uuid4()}"), Role.AGENCY, organisation)
        headers = agency.headers("POST", url, agency.token(scene.door))
        expected(scene.door.call("POST", url, json=said, headers=headers))


# ---- disputes and words ---------------------------------------------------------------------------------------------


@refuses("marked")
def test_a_disputed_item_is_answered_without_its_mark_by_nobody_from_the_filing_on(scene: Scene) -> None:
    who, phone = somebody(scene)
    scene.permitted("marked" if _marked(scene, who) else "permitted")
    scene.permitted(phone.call("POST", DISPUTES, json=dispute(phone)))
    scene.refused("marked" if _marked(scene, who) else "permitted")


def _marked(scene: Scene, who: ResidentId) -> bool:
    outcome = scene.gate(who, items=frozenset({"SUBSIDY.project"}))
    assert isinstance(outcome, Permitted)
    return b'"disputed":' in outcome.body


@refuses("record-unknown")
def test_what_a_record_does_not_show_is_not_disputed(scene: Scene) -> None:
    _, phone = somebody(scene)
    scene.refused(phone.call("POST", DISPUTES, json=dispute(phone, item="RATING.grade")))
    scene.permitted(phone.call("POST", DISPUTES, json=dispute(phone)))


@refuses("dispute-open")
def test_one_item_is_not_disputed_twice_at_once(scene: Scene) -> None:
    _, phone = somebody(scene)
    scene.permitted(phone.call("POST", DISPUTES, json=dispute(phone)))
    scene.refused(phone.call("POST", DISPUTES, json=dispute(phone)))


@refuses("evidence-malformed")
def test_a_dispute_that_rests_on_an_empty_file_is_not_filed(scene: Scene) -> None:
    _, phone = somebody(scene)
    scene.refused(phone.call("POST", DISPUTES, json=dispute(phone, evidence_sha256="0" * 64)))
    scene.permitted(phone.call("POST", DISPUTES, json=dispute(phone)))


@refuses("words-name-somebody")
def test_a_statement_names_nobody_by_number(scene: Scene) -> None:
    (_, phone), other = somebody(scene), scene.person()
    scene.refused(phone.call("PUT", "/subject/v1/statement", json={"text": f"是{other.text}借的"}))
    scene.permitted(phone.call("PUT", "/subject/v1/statement", json={"text": "是亲戚借的"}))


# ---- phones ---------------------------------------------------------------------------------------------------------


def tried(scene: Scene, who: ResidentId, one_time_code: str) -> Any:
    """Bind a new phone with a code."""
    key = ECKey.generate_key("P-256")
    return try_binding(scene.door, code_shown(one_time_code, key, who), key)


@refuses("binding-refused")
def test_the_code_of_one_person_binds_no_phone_for_another(scene: Scene) -> None:
    one, other = scene.person(), scene.person()
    mine, _ = code_for(scene.home, one), code_for(scene.home, other)
    scene.refused(tried(scene, other, mine))
    scene.permitted(tried(scene, one, mine))


@refuses("binding-refused")
def test_a_code_binds_one_phone(scene: Scene) -> None:
    who = scene.person()
    one_time = code_for(scene.home, who)
    scene.permitted(tried(scene, who, one_time))
    scene.refused(tried(scene, who, one_time))


@refuses("binding-refused")
def test_a_code_that_is_older_than_a_quarter_of_an_hour_binds_nothing(scene: Scene) -> None:
    who = scene.person()
    old = code_for(scene.home, who, now=clock.now() - timedelta(minutes=16))
    scene.refused(tried(scene, who, old))
    scene.permitted(tried(scene, who, code_for(scene.home, who, now=clock.now() - timedelta(minutes=14))))


@refuses("binding-refused")
def test_after_five_guesses_the_right_code_binds_nothing(scene: Scene) -> None:
    who = scene.person()
    one_time = code_for(scene.home, who)
    for guess in range(1, 6):
        scene.refused(tried(scene, who, f"{one_time[:8]}{(int(one_time[8:]) + guess) % 10**8:08d}"))
    scene.refused(tried(scene, who, one_time))
    scene.permitted(tried(scene, who, code_for(scene.home, who)))


@refuses("invalid_client")
def test_a_second_phone_opens_nothing_for_three_days(scene: Scene) -> None:
    who, _ = somebody(scene)
    second = bound(scene.home, scene.door, who)
    scene.refused(second.client.ask(scene.door))
    with scene.home.database.transaction() as tx:
        assert binding.activate_due(tx, now=clock.now() + timedelta(hours=71)) == 0
        assert binding.activate_due(tx, now=clock.now() + timedelta(hours=73)) >= 1
    scene.permitted(second.client.ask(scene.door))


@refuses("invalid_client")
def test_a_second_phone_that_its_owner_refused_never_opens_anything(scene: Scene) -> None:
    who, phone = somebody(scene)
    thief = bound(scene.home, scene.door, who)
    scene.permitted(phone.call("POST", f"/subject/v1/phones/{thief.client.client_id}/refuse"))
    with scene.home.database.transaction() as tx:
        binding.activate_due(tx, now=clock.now() + timedelta(hours=73))
    scene.refused(thief.client.ask(scene.door))
    scene.permitted(phone.client.ask(scene.door))


@refuses("token-invalid", "invalid_client")
def test_a_phone_that_was_ended_opens_nothing_with_the_token_it_has(scene: Scene) -> None:
    _, phone = somebody(scene)
    scene.permitted(phone.call("POST", f"/subject/v1/phones/{phone.client.client_id}/end"))
    scene.refused(phone.call("GET", "/subject/v1/records"))
    scene.refused(phone.client.ask(scene.door))


@refuses("proof-invalid")
def test_a_stolen_token_opens_nothing_without_the_phones_key(scene: Scene) -> None:
    _, phone = somebody(scene)
    url = f"{ISSUER}/subject/v1/records"
    scene.refused(phone.client.get(scene.door, phone.token, url, key=ECKey.generate_key("P-256")))
    answer = phone.client.get(scene.door, phone.token, url)
    assert code(answer) == "permitted"
    scene.permitted(answer)
