"""Phones are bound in person, once for each key, and a second one waits and can be refused."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey

from exchange import binding, jobs, messages, presence
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.messages import Kind
from exchange.oauth import clients
from registry import clock
from registry.identifiers import ResidentId, resident_check
from tests.agencies import events
from tests.asking import code_over
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.capturing import collector
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.people import LI, NOBODY, ZHANG
from tests.phones import SEEN, Phone, bound, code_for, shown, try_binding
from tests.waiting import until_somebody_waits

STANDING = True


@pytest.fixture
def lender(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("lender-one"))


def subject_of(home: Home, phone: Phone) -> object:
    with home.database.transaction() as tx:
        return binding.subject_of(tx, phone.client.client_id)


def later(home: Home, span: timedelta) -> int:
    with home.database.transaction() as tx:
        return binding.activate_due(tx, now=clock.now() + span)


def test_a_first_phone_speaks_for_its_owner_at_once(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    assert phone.answer["state"] == "active"
    assert phone.get("/subject/v1/consents") == {"consents": []}
    (listed,) = phone.get("/subject/v1/phones")["phones"]
    assert (listed["client_id"], listed["state"], listed["this"]) == (phone.client.client_id, "active", True)
    assert events(exchange_home) == ["exchange:binding:offered", "exchange:phone:bound"]


def test_the_counter_hands_out_a_code_over_its_own_door(exchange_home: Home, door: Door, lender: Caller) -> None:
    url = f"{ISSUER}/v1/bindings"
    collector(exchange_home, "u-1027", organisation="91630000MA0000000X")
    body = {
        "subject": {"type": "resident_id", "identifier": ZHANG.text},
        "verified": "resident_card_seen",
        "collector": "u-1027",
        "place": "630222",
    }
    answer = door.call("POST", url, json=body, headers=lender.headers("POST", url, lender.token(door)))
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    key = ECKey.generate_key("P-256")
    assert try_binding(door, shown(answer.json()["code"], key), key).status_code == 201
    with exchange_home.database.transaction() as tx:
        kept = tx.execute("SELECT organisation, collector FROM subject_phone").fetchone()
    assert kept == ("91630000MA0000000X", "u-1027")


def test_a_phones_name_can_stand_in_an_address(exchange_home: Home, door: Door) -> None:
    """A long run of digits in an address is taken for an identifier and refused; no phone's name has one."""
    phone = bound(exchange_home, door)
    assert max(map(len, phone.client.client_id.split("-"))) < 15
    assert phone.call("POST", f"/subject/v1/phones/{phone.client.client_id}/end").status_code == 200


def test_phones_are_made_active_in_the_order_in_which_tokens_are_issued(exchange_home: Home, door: Door) -> None:
    """Tokens of many are issued by one statement that shares their clients by id: no two may wait for each other."""
    owners = (ZHANG, LI, NOBODY)
    for who in (*owners, *owners):  # the second phone of each waits
        bound(exchange_home, door, who)
    made: list[int] = []
    with exchange_home.database.transaction() as tx:
        ids = sorted(one for (one,) in tx.execute("SELECT client_id FROM subject_phone").fetchall())
        tx.execute("SELECT FROM client WHERE client_id = %s FOR SHARE", (ids[-1],))
        job = threading.Thread(target=lambda: made.append(later(exchange_home, timedelta(hours=73))))
        job.start()
        until_somebody_waits(exchange_home)
        free = tx.execute("SELECT client_id FROM client WHERE client_id = ANY(%s) FOR SHARE SKIP LOCKED", (ids,))
        assert free.fetchall() == [(ids[-1],)], "all before the last are locked before it is waited for"
    job.join()
    assert (len(ids), made) == (6, [3])


def test_a_code_is_not_kept_in_clear(exchange_home: Home) -> None:
    code = code_for(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT b::text FROM binding_code b").fetchall()
        entries = tx.execute("SELECT fields::text FROM log_entry").fetchall()
    assert len(code) == 16
    assert all(code[8:] not in row[0] for row in rows + entries)


def test_a_code_binds_one_phone_only(exchange_home: Home, door: Door) -> None:
    code, first, second = code_for(exchange_home), ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    assert try_binding(door, shown(code, first), first).status_code == 201
    assert try_binding(door, shown(code, second), second).status_code == 403


def test_a_newer_code_ends_the_one_before(exchange_home: Home, door: Door) -> None:
    old, new, key = code_for(exchange_home), code_for(exchange_home), ECKey.generate_key("P-256")
    assert try_binding(door, shown(old, key), key).status_code == 403
    assert try_binding(door, shown(new, key), key).status_code == 201


def test_a_code_is_over_after_fifteen_minutes(exchange_home: Home, door: Door) -> None:
    code = code_for(exchange_home, now=clock.now() - timedelta(minutes=15, seconds=1))
    key = ECKey.generate_key("P-256")
    assert try_binding(door, shown(code, key), key).status_code == 403


def test_five_codes_a_day_are_handed_out_for_a_person_and_no_sixth(exchange_home: Home) -> None:
    for _ in range(5):
        code_for(exchange_home)
    with pytest.raises(RequestRefused) as refused:
        code_for(exchange_home)
    assert refused.value.code == "too-often"
    code_for(exchange_home, LI)


def test_a_child_has_no_phone_of_its_own(exchange_home: Home) -> None:
    body = f"630222{clock.now().year - 10}0101000"
    with pytest.raises(RequestRefused) as refused:
        code_for(exchange_home, ResidentId.parse(body + resident_check(body)))
    assert refused.value.code == "binding-child"


def test_a_second_phone_waits_72_hours_and_then_ends_the_first(exchange_home: Home, door: Door) -> None:
    old = bound(exchange_home, door)
    new = bound(exchange_home, door)
    assert new.answer["state"] == "waiting"
    assert subject_of(exchange_home, new) is None
    assert new.client.ask(door).status_code == 401
    assert later(exchange_home, timedelta(hours=71, minutes=59)) == 0
    assert old.get("/subject/v1/consents") == {"consents": []}
    assert later(exchange_home, timedelta(hours=72, seconds=1)) == 1
    assert old.call("GET", "/subject/v1/consents").status_code == 401
    assert new.signed_in().get("/subject/v1/consents") == {"consents": []}


def test_the_old_phone_is_warned_and_can_refuse(exchange_home: Home, door: Door) -> None:
    old, new = bound(exchange_home, door), bound(exchange_home, door)
    (warning,) = old.get("/subject/v1/messages")["messages"]
    assert warning["kind"] == "rebinding"
    assert "72" in warning["text"]["zh"]
    waiting = warning["facts"]["phone"]
    assert waiting == new.client.client_id
    answer = old.call("POST", f"/subject/v1/phones/{waiting}/refuse")
    assert {one["state"] for one in answer.json()["phones"]} == {"active", "refused"}
    assert later(exchange_home, timedelta(days=30)) == 0
    assert subject_of(exchange_home, new) is None


def test_a_warning_cannot_be_opted_out_of(exchange_home: Home, door: Door) -> None:
    old = bound(exchange_home, door)
    assert old.call("PUT", "/subject/v1/messages/choice", json={"access_messages": False}).status_code == 204
    bound(exchange_home, door)
    assert [one["kind"] for one in old.get("/subject/v1/messages")["messages"]] == ["rebinding"]


def test_a_newer_binding_begins_the_wait_anew(exchange_home: Home, door: Door) -> None:
    old = bound(exchange_home, door)
    first, second = bound(exchange_home, door), bound(exchange_home, door)
    states = {one["client_id"]: one["state"] for one in old.get("/subject/v1/phones")["phones"]}
    assert states[first.client.client_id] == "refused"
    assert states[second.client.client_id] == "waiting"


def test_after_a_phone_was_ended_the_next_one_waits_too(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    assert phone.call("POST", f"/subject/v1/phones/{phone.client.client_id}/end").status_code == 200
    assert bound(exchange_home, door).answer["state"] == "waiting"


def test_a_phone_that_was_ended_is_shut_out_with_its_old_token(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    phone.call("POST", f"/subject/v1/phones/{phone.client.client_id}/end")
    assert phone.call("GET", "/subject/v1/consents").status_code == 401
    assert phone.client.ask(door).status_code == 401


def test_a_key_is_bound_to_one_person_once_and_for_ever(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    again = try_binding(door, shown(code_for(exchange_home, LI), phone.client.proof_key, LI), phone.client.proof_key)  # type: ignore[arg-type]  # an EC key
    assert again.status_code == 403
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM subject_phone").fetchone() == (1,)


def test_the_jobs_make_phones_active_and_tell_of_guessed_codes_once(exchange_home: Home, door: Door) -> None:
    code = code_for(exchange_home)
    key = ECKey.generate_key("P-256")
    for _ in range(6):
        assert try_binding(door, shown(f"{code[:8]}{int(not int(code[8:])):08d}", key), key).status_code == 403
    jobs.look_after_phones(exchange_home)
    jobs.look_after_phones(exchange_home)
    assert events(exchange_home).count("exchange:binding:exhausted") == 1


# ---- the operator ends a phone --------------------------------------------------------------------------------------


@pytest.fixture
def command(exchange_home: Home, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(exchange_home.settings.home, addresses, monkeypatch)


def test_a_phone_that_the_operator_suspends_is_ended_for_ever(
    exchange_home: Home, door: Door, command: InProcess
) -> None:
    phone = bound(exchange_home, door)
    assert command("lender", "suspend", phone.client.client_id).returncode == 0
    assert command("lender", "resume", phone.client.client_id).returncode == 0
    assert subject_of(exchange_home, phone) is None
    assert phone.call("GET", "/subject/v1/consents").status_code == 401
    assert present(exchange_home, password(phone)) is None
    assert events(exchange_home).count("exchange:phone:ended") == 1


def test_a_waiting_phone_that_the_operator_suspends_never_becomes_active(
    exchange_home: Home, door: Door, command: InProcess
) -> None:
    owner, thief = bound(exchange_home, door), bound(exchange_home, door)
    assert command("lender", "suspend", thief.client.client_id).returncode == 0
    assert later(exchange_home, timedelta(days=4)) == 0
    assert owner.get("/subject/v1/consents") == {"consents": []}
    assert thief.client.ask(door).status_code == 401


def test_a_phone_whose_client_is_suspended_speaks_for_nobody(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    with exchange_home.database.transaction() as tx:
        owner = binding.subject_of(tx, phone.client.client_id)
        assert owner is not None
        assert binding.has_phone(tx, owner)
        clients.set_state(tx, phone.client.client_id, clients.SUSPENDED)
        assert binding.subject_of(tx, phone.client.client_id) is None
        assert not binding.has_phone(tx, owner)
    assert present(exchange_home, password(phone)) is None


# ---- presence -------------------------------------------------------------------------------------------------------


NUMBER = "20260302"


def present(  # whose, by what, where, when
    home: Home,
    code: str,
    who: ResidentId = ZHANG,
    *,
    after: timedelta = timedelta(),
    to: str | None = None,
    page_of: str = "甲银行",
) -> object:
    with home.database.transaction() as tx:
        return presence.proves(tx, home, who, code, NUMBER, clock.now() + after, page_of=page_of, to=to)


def password(phone: Phone, *, after: timedelta = timedelta()) -> str:
    return code_over(NUMBER, phone.secret, later=round(after / timedelta(seconds=30)))


def test_a_code_over_a_number_proves_presence_once(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    code = password(phone)
    assert present(exchange_home, code) == subject_of(exchange_home, phone)
    assert present(exchange_home, code) is None
    following = timedelta(seconds=30)
    assert present(exchange_home, password(phone, after=following), after=following) is not None


def test_nobody_is_present_with_another_persons_password(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    bound(exchange_home, door, LI)
    assert present(exchange_home, password(phone), LI) is None
    assert present(exchange_home, password(phone), NOBODY) is None


def test_a_phone_that_waits_proves_nothing(exchange_home: Home, door: Door) -> None:
    bound(exchange_home, door)
    assert present(exchange_home, password(bound(exchange_home, door))) is None


def test_a_phone_on_trial_proves_nothing_to_whoever_handed_out_its_code(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door, on_trial=True)
    following = timedelta(seconds=30)
    assert present(exchange_home, password(phone), to=SEEN.organisation) is None
    other = present(exchange_home, password(phone, after=following), after=following, to="别的银行")
    assert other == subject_of(exchange_home, phone)
    over = timedelta(hours=72, minutes=1)
    assert present(exchange_home, password(phone, after=over), after=over, to=SEEN.organisation) == other


def guessed(home: Home, times: int, *, page_of: str, after: timedelta = timedelta()) -> None:
    for _ in range(times):
        assert present(home, "00000000", page_of=page_of, after=after) is None


def told(home: Home, phone: Phone) -> list[str | None]:
    """Whose pages take no code for now, as the person is told."""
    found = [one for one in phone.get("/subject/v1/messages")["messages"] if one["kind"] == "page_codes_locked"]
    assert len(found) <= events(home).count("exchange:presence:locked")
    return [one["facts"]["organisation"] for one in found]


def test_wrong_codes_on_one_lenders_pages_stop_these_pages_and_no_others(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    guessed(exchange_home, 5, page_of="甲银行")
    assert present(exchange_home, password(phone)) is None
    assert present(exchange_home, password(phone), page_of="乙银行") == subject_of(exchange_home, phone)
    assert phone.get("/subject/v1/consents") == {"consents": []}
    assert told(exchange_home, phone) == ["甲银行"]


def test_wrong_codes_wear_off_and_never_lock_for_longer_than_half_an_hour(exchange_home: Home, door: Door) -> None:
    phone, each = bound(exchange_home, door), timedelta(minutes=30, seconds=1)
    guessed(exchange_home, 50, page_of="甲银行")
    for times in range(1, 6):
        assert present(exchange_home, password(phone, after=times * each), after=times * each) is not None
        guessed(exchange_home, 5, page_of="甲银行", after=times * each)
    assert told(exchange_home, phone) == ["甲银行"]  # once a day


def test_the_person_is_told_once_a_day_of_each_lender(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    for days in range(2):
        for page_of in ("甲银行", "乙银行"):
            guessed(exchange_home, 11, page_of=page_of, after=timedelta(days=days, minutes=days))
    assert sorted(told(exchange_home, phone), key=str) == ["乙银行", "乙银行", "甲银行", "甲银行"]


def test_all_lenders_together_may_guess_no_more_than_the_bound(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    for lender in range(40):
        guessed(exchange_home, 5, page_of=f"银行{lender}")
    assert present(exchange_home, password(phone), page_of="别的银行") is None
    assert told(exchange_home, phone).count(None) == 1
    after = timedelta(minutes=5, seconds=1)
    assert present(exchange_home, password(phone, after=after), page_of="别的银行", after=after) is not None


def test_one_lender_never_reaches_the_bound_of_all() -> None:
    at = clock.now()
    one = everywhere = presence.Count(0, at)
    for minute in range(3 * 24 * 60):
        now = at + timedelta(minutes=minute)
        one, everywhere = presence.still(one, presence.AT_ONE, now), presence.still(everywhere, presence.AT_ALL, now)
        if one.wrong < presence.AT_ONE.most:
            one, everywhere = replace(one, wrong=one.wrong + 1), replace(everywhere, wrong=everywhere.wrong + 1)
        assert everywhere.wrong <= presence.AT_ONE.most


def test_a_phone_fetches_another_secret_and_the_one_before_counts_no_more(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    answer = phone.call("POST", "/subject/v1/phones/page-codes")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    renewed = replace(phone, secret=answer.json()["secret"])
    assert present(exchange_home, password(phone)) is None
    assert present(exchange_home, password(renewed)) == subject_of(exchange_home, phone)
    assert "exchange:phone:page-codes-renewed" in events(exchange_home)


def test_a_phone_that_waits_or_has_ended_fetches_no_secret(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    assert phone.call("POST", f"/subject/v1/phones/{phone.client.client_id}/end").status_code == 200
    assert phone.call("POST", "/subject/v1/phones/page-codes").status_code == 401
    with exchange_home.database.transaction() as tx:
        kept = tx.execute("SELECT page_secret FROM subject_phone").fetchone()
    assert kept == (None,)


def test_a_message_of_an_access_is_never_written(exchange_home: Home, door: Door) -> None:
    phone = bound(exchange_home, door)
    with exchange_home.database.transaction() as tx, pytest.raises(ValueError, match="log"):
        messages.leave(tx, binding.subject_of(tx, phone.client.client_id) or ZHANG, Kind.ACCESS, {}, clock.now())  # type: ignore[arg-type]  # refused before it is looked at
