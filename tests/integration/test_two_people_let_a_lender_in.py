"""The whole way of a lender: asked for over HTTP, tried in a sandbox, approved by two, and its first token."""

from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from consent import recipients
from exchange.admission import fetching, matters, settling, trials
from exchange.admission import officers as room
from exchange.admission.errors import NotApproved
from exchange.admission.fetching import NotFetched
from exchange.admission.matters import Kind
from exchange.admission.officers import OfficerKey
from exchange.events import Event
from exchange.home import Home
from exchange.jobs import sequence_log
from exchange.oauth.scopes import SCOPES_OF
from exchange.oauth.scopes import Role as ClientRole
from registry import clock
from registry.keyfiles import write_private
from tests.answering import Agency
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.people import ZHANG, consented, held
from tests.registering import (
    ORGANISATION,
    REGISTRATIONS,
    Applicant,
    appointed,
    approve,
    fresh_key,
    in_production,
    let_in,
    matter_of,
    sandbox_beside,
    trial_of,
    tried,
)
from tests.standing import Standing


@pytest.fixture
def exchange_home(standing: Standing) -> Home:
    return standing.emptied()


@pytest.fixture
def addresses(standing: Standing) -> Addresses:
    return standing.addresses


@pytest.fixture
def real(exchange_home: Home) -> Home:
    return in_production(exchange_home)


@pytest.fixture
def door(standing: Standing, real: Home) -> Door:
    return standing.door("production", real)


def logged(home: Home, event: Event) -> list[tuple[str, dict[str, object]]]:
    with home.database.transaction() as tx:
        return tx.execute(
            "SELECT actor, fields FROM log_entry WHERE event = %s ORDER BY at, entry_id", (event.value,)
        ).fetchall()


def produce(home: Home) -> None:
    """Write that an installation is in production, for commands."""
    said = {
        "mode": "production", "operator": "operator", "operating_mode": "x", "authorisation": "no. 1",
        "authorised_until": None, "log_origin": "exchange.example/log",
        "contact": {"office": "客户服务部", "phone": "0971-0000002", "address": "青海省测试市测试路2号"},
    }  # fmt: skip
    (home.settings.home / "installation.json").write_bytes(orjson.dumps(said))


def waiting(home: Home) -> list[matters.Matter]:
    with home.database.transaction() as tx:
        return matters.waiting(tx)


def test_a_lender_asks_is_tried_is_approved_by_two_and_gets_its_token(real: Home, door: Door) -> None:
    applicant, officers = Applicant(), appointed(real)
    matter_id = applicant.asked(door)
    waiting = door.call("GET", f"{REGISTRATIONS}/{matter_id}").json()
    assert (waiting["state"], waiting["keys_read"], waiting["trial"], waiting["client_id"]) == (
        "open",
        True,
        False,
        None,
    )
    assert ORGANISATION not in str(waiting), "the id alone gives the state and no more"
    with pytest.raises(NotApproved, match="trial"):
        approve(real, matter_id, officers.operator)
    tried(real, matter_id, applicant)
    client_id = let_in(real, matter_id, officers)
    assert door.call("GET", f"{REGISTRATIONS}/{matter_id}").json()["client_id"] == client_id
    lender = Caller(client_id, key=applicant.keys[0])
    own = lender.get(door, lender.token(door), f"{ISSUER}/v1/client").json()
    assert own["organisation"] == ORGANISATION
    assert own["caps"] == {"daily": 1000, "monthly": 20000}
    assert own["scope"].split() == sorted(SCOPES_OF[ClientRole.LENDER])
    assert [one["thumbprint"] for one in own["keys"]] == [applicant.keys[0].thumbprint()]
    assert [one["code"] for one in own["notes"]] == ["registered"]
    with real.database.transaction() as tx:
        assert recipients.contact(tx, ORGANISATION) is not None
        assert tx.execute("SELECT organisation FROM staff_list").fetchall() == [(ORGANISATION,)]
    said = logged(real, Event.MATTER_APPROVED)
    assert [actor for actor, _ in said] == ["o-1", "s-1"]
    assert {fields["digest"] for _, fields in said} == {matter_of(real, matter_id).digest.hex()}
    ((actor, settled),) = logged(real, Event.MATTER_SETTLED)
    assert (actor, settled["state"], settled["client_id"]) == ("o-1+s-1", "approved", client_id)


def test_a_trial_is_what_the_log_of_the_sandbox_shows_and_says_nothing_of_another(
    exchange_home: Home, standing: Standing
) -> None:
    applicant = Applicant(organisation="沙箱农商银行")
    lender = registered(exchange_home, Caller("bank", key=applicant.keys[0]), organisation="沙箱农商银行")
    policy, now = exchange_home.keyring.policy(), clock.now()
    unready = pytest.raises(NotApproved, match="token, permitted, refused, evidence")
    with exchange_home.database.transaction() as tx, unready:
        trials.stated(exchange_home, tx, "bank", now=now)
    held(exchange_home)
    consented(exchange_home)
    door = standing.door()
    token = lender.token(door)
    query, url = {"purpose": "LOAN_APPROVAL", "business_no": "L-1"}, f"{ISSUER}/v1/queries"
    asked = []
    for identifier in (ZHANG.text, "63272119850302000X"):
        body = query | {"subject": {"type": "resident_id", "identifier": identifier}}
        asked.append(door.call("POST", url, json=body, headers=lender.headers("POST", url, token)))
    assert [one.status_code for one in asked] == [200, 403]
    query_id = asked[0].json()["answer"]["query_id"]
    sequence_log(exchange_home)
    assert lender.get(door, token, f"{url}/{query_id}/evidence").status_code == 200
    with exchange_home.database.transaction() as tx:
        statement = trials.stated(exchange_home, tx, "bank", now=now)
    thumbprints = [applicant.keys[0].thumbprint()]
    shown = trials.read(statement, policy, organisation="沙箱农商银行", thumbprints=thumbprints, now=now)
    assert set(shown["steps"]) == {"token", "permitted", "refused", "evidence"}
    good: dict[str, Any] = {"organisation": "沙箱农商银行", "thumbprints": thumbprints, "now": now}
    bent: list[tuple[dict[str, Any], str]] = [
        ({"organisation": "别的银行"}, "organisation"),
        ({"thumbprints": [fresh_key().thumbprint()]}, "keys"),
        ({"now": now + trials.GOOD_FOR * 2}, "older"),
    ]
    for one, word in bent:
        with pytest.raises(NotApproved, match=word):
            trials.read(statement, policy, **(good | one))
    with pytest.raises(NotApproved, match="not signed by a sandbox"):
        trials.read(
            statement,
            sandbox_beside(exchange_home).keyring.policy(),
            organisation="沙箱农商银行",
            thumbprints=thumbprints,
            now=now,
        )
    with in_production(exchange_home).database.transaction() as tx, pytest.raises(NotApproved, match="in a sandbox"):
        trials.stated(in_production(exchange_home), tx, "bank", now=now)


def test_keys_at_an_address_are_fetched_by_the_job_and_followed_from_then_on(
    exchange_home: Home, standing: Standing
) -> None:
    applicant, officers, site = Applicant(), appointed(exchange_home), Agency()
    later = fresh_key("k2")
    site.answer = lambda *_: (200, {}, orjson.dumps(applicant.jwks))
    try:
        door = standing.door()
        asked = door.call("POST", REGISTRATIONS, json={"request": applicant.by_url(f"{site.url}/jwks.json")})
        assert asked.status_code == 201, asked.text
        matter_id = UUID(asked.json()["registration_id"])
        assert site.asked == [], "nothing is fetched while somebody waits"
        with pytest.raises(NotApproved, match="not been read"):
            approve(exchange_home, matter_id, officers.operator)
        assert fetching.fetch_due(exchange_home) == 1
        client_id = let_in(exchange_home, matter_id, officers)
        old, new = Caller(client_id, key=applicant.keys[0]), Caller(client_id, key=later)
        token = old.token(door)
        site.answer = lambda *_: (200, {}, orjson.dumps({"keys": [later.as_dict(private=False)]}))
        assert new.ask(door).status_code == 401
        assert fetching.fetch_due(exchange_home) == 0, "a minute at least lies between two fetches"
        with exchange_home.database.transaction() as tx:
            tx.execute("UPDATE client_profile SET fetched_at = fetched_at - interval '2 minutes'")
        assert fetching.fetch_due(exchange_home) == 1, "since an assertion named a key that is not known"
        assert new.ask(door).status_code == 200
        assert old.ask(door).status_code == 401
        assert old.get(door, token).status_code == 401, "tokens that were got with the old key end with it"
        site.answer = lambda *_: (302, {"Location": "https://bank.example/x"}, b"")
        with exchange_home.database.transaction() as tx:
            tx.execute("UPDATE client_profile SET fetched_at = fetched_at - interval '2 hours'")
        assert fetching.fetch_due(exchange_home) == 0
        assert new.ask(door).status_code == 200, "the last good keys stand"
        own = new.get(door, new.token(door), f"{ISSUER}/v1/client").json()
        assert own["jwks_fault"] == "status:302"
        assert [one["code"] for one in own["notes"]] == ["keys-changed", "registered"]
    finally:
        site.stop()
    assert all(path == "/jwks.json" for _, path, _, _ in site.asked)


def test_what_lies_at_an_address_is_read_within_bounds() -> None:
    good = orjson.dumps(Applicant().jwks)
    assert fetching.read_set(200, good)["keys"][0]["kty"] == "EC"
    for status, body in ((301, good), (404, good), (200, b"{"), (200, b'{"keys": []}'), (200, b'{"keys": [{"d": 1}]}')):
        with pytest.raises(NotFetched):
            fetching.read_set(status, body)
    for address in ("https://127.0.0.1/x", "https://10.1.2.3/x", "http://127.0.0.1:9/x"):
        with pytest.raises(NotFetched, match="address-refused"):
            fetching.fetched(address, False)  # noqa: FBT003  # as the job calls it
    site = Agency()
    site.answer = lambda *_: (200, {}, b" " * (fetching.SET_BYTES + 1))
    try:
        with pytest.raises(NotFetched, match="too-large"):
            fetching.fetched(f"{site.url}/x", True)  # noqa: FBT003  # as the job calls it
    finally:
        site.stop()


def test_the_first_officers_are_named_and_later_ones_decided_by_two(exchange_home: Home) -> None:
    two, now = appointed(exchange_home), clock.now()
    third = OfficerKey.make("o-2")
    content = {"officer_id": "o-2", "role": "operator", "jwk": third.public_jwk}
    with exchange_home.database.transaction() as tx:
        matter = settling.change_officers(tx, Kind.OFFICER_ADD, "o-2", content, now=now)
    assert matter is not None
    for key in two.both():
        approve(exchange_home, matter.matter_id, key)
    with exchange_home.database.transaction() as tx:
        assert room.roles_standing(tx) == {room.Role.OPERATOR: 2, room.Role.SECURITY_ADMIN: 1}
        with pytest.raises(NotApproved, match="last officer"):
            room.end(tx, "s-1", now=now)
        with pytest.raises(NotApproved, match="second time"):
            room.add(tx, "o-3", room.Role.OPERATOR, two.operator.public_jwk, now=now)


def test_the_commands_of_a_production_home_lead_to_two_officers(
    tmp_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch, exchange_home: Home, standing: Standing
) -> None:
    home_path = exchange_home.settings.home
    produce(exchange_home)
    monkeypatch.setenv("QINGQIAO_ISSUER", ISSUER)
    command = InProcess(home_path, addresses, monkeypatch)
    refused = command(
        "lender", "add", "bank", "--organisation", "x", "--make-key", str(tmp_path / "k"), "--office", "部门",
        "--phone", "0971-0000002", "--address", "某路2号",
    )  # fmt: skip
    assert refused.returncode == 2
    assert "POST /v1/registrations" in refused.stderr
    for code, role in (("o-1", "operator"), ("s-1", "security-admin")):
        key, public = str(tmp_path / code), str(tmp_path / f"{code}.pub")
        assert command("officer", "make-key", code, "--out", key, "--public", public).returncode == 0
        assert command("officer", "add", code, "--role", role, "--jwk", public).returncode == 0
    assert "s-1" in command("officer", "list").stdout
    applicant, real = Applicant(), in_production(exchange_home)
    matter_id = applicant.asked(standing.door("production", real))
    sandbox = sandbox_beside(exchange_home)
    trial, trust = tmp_path / "trial.json", tmp_path / "sandbox-trust.json"
    write_private(trial, trial_of(sandbox, applicant).encode())
    trust.write_bytes(orjson.dumps(sandbox.keyring.trust_policy()))
    added = command("lender", "add-trial", str(matter_id), "--file", str(trial), "--trust", str(trust))
    assert added.returncode == 0, added.stderr
    digest = orjson.loads(command("lender", "requests", str(matter_id)).stdout)["digest"]
    approving = ("lender", "approve", str(matter_id), "--digest", digest, "--key")
    assert "other role" in command(*approving, str(tmp_path / "o-1")).stdout
    assert "o-1 (operator)" in command("lender", "requests").stdout
    assert "carried out" in command(*approving, str(tmp_path / "s-1")).stdout
    client_id = str(matter_of(real, matter_id).client_id)
    assert command("lender", "suspend", client_id).returncode == 0
    assert "waits for two officers" in command("lender", "resume", client_id).stdout
    assert (
        "waits for two officers" in command("lender", "caps", client_id, "--daily", "9000", "--monthly", "90000").stdout
    )
    assert "9 a day" in command("lender", "caps", client_id, "--daily", "9", "--monthly", "90").stdout
    shown = command("lender", "list").stdout
    assert client_id in shown
    assert "suspended" in shown
    assert "9/90" in shown
    with real.database.transaction() as tx:
        waiting = {one.kind: one for one in matters.waiting(tx)}
    resume = waiting[Kind.RESUME]
    no = command(
        "lender", "refuse", str(resume.matter_id), "--digest", resume.digest.hex(), "--key", str(tmp_path / "s-1"),
        "--reason", "keys-unsound",
    )  # fmt: skip
    assert no.returncode == 0, no.stderr
    caps = waiting[Kind.CAPS].matter_id
    raised = ("lender", "approve", str(caps), "--digest", waiting[Kind.CAPS].digest.hex(), "--key")
    assert all(command(*raised, str(tmp_path / code)).returncode == 0 for code in ("o-1", "s-1"))
    assert "9000/90000" in command("lender", "list").stdout


def test_addresses_that_people_are_sent_to_and_told_of_take_two(
    tmp_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch, real: Home, door: Door
) -> None:
    applicant, officers = Applicant(), appointed(real)
    file = tmp_path / "request.json"
    file.write_bytes(orjson.dumps(applicant.body()))
    produce(real)
    monkeypatch.setenv("QINGQIAO_ISSUER", ISSUER)
    command = InProcess(real.settings.home, addresses, monkeypatch)
    taken = command("lender", "take", str(file))
    assert taken.returncode == 0, taken.stderr
    assert "used before" in command("lender", "take", str(file)).stderr
    file.write_bytes(b"[]")
    assert command("lender", "take", str(file)).returncode != 0
    (waits,) = waiting(real)
    tried(real, waits.matter_id, applicant)
    client_id = let_in(real, waits.matter_id, officers)
    lender = Caller(client_id, key=applicant.keys[0])
    redirect = ("lender", "redirect", client_id, "--uri")
    assert command(*redirect, "http://elsewhere.example/x").returncode != 0
    assert "waits for two officers" in command(*redirect, "https://elsewhere.example/x").stdout
    contact = ("--office", "客户部", "--phone", "0971-0000009", "--address", "青海省测试市测试路9号")
    assert "waits for two officers" in command("lender", "contact", ORGANISATION, *contact).stdout

    def stands() -> tuple[object, object]:
        own = lender.get(door, lender.token(door), f"{ISSUER}/v1/client").json()["redirect_uris"]
        with real.database.transaction() as tx:
            told = recipients.contact(tx, ORGANISATION)
        return own, None if told is None else told.office

    assert stands() == (["https://bank.example/back"], "客户服务部")
    for matter in waiting(real):
        for key in officers.both():
            approve(real, matter.matter_id, key)
    assert stands() == (["https://elsewhere.example/x"], "客户部")
    assert logged(real, Event.CLIENT_REDIRECTS_SET)[-1][0] == "o-1+s-1"
    assert command("lender", "redirect", client_id).returncode == 0, "taking all away takes one"
    assert stands() == ([], "客户部")
