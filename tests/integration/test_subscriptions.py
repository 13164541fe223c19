"""A lender hears that something changed, under one consent, once, in order, and never what."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import jsonschema
import orjson
import pytest

from consent.evidence import Channel
from consent.record import Consent
from consent.scope import Mode
from exchange import accesses, consents, disputes, findings, jobs, subjects
from exchange.admission import suspending
from exchange.disputes import New, Outcome, Reason
from exchange.home import Home
from exchange.monitoring import declared, making, reading
from registry import clock, recalling, store
from registry.records import Payload, RecordRef
from registry.suites import sha256
from tests.agencies import events as logged
from tests.agencies import people
from tests.attacks.bent_client import ISSUER, Door
from tests.monitoring import ALL, SUBSCRIBE, made, published, rating, subscribed, told, types, watched
from tests.people import LI, NOBODY, SUBSIDY, ZHANG, sequenced
from tests.telling import System, system

STANDING = True
JUDICIAL: Payload = {"court_list": "执行案件", "case_no": "（2026）青0222执1号", "case_status": "未结"}


@pytest.fixture
def lender(exchange_home: Home, door: Door) -> System:
    return system(exchange_home, door, "bank-monitor")


def accessed(home: Home, event: str) -> list[dict[str, object]]:
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT fields -> 'access' FROM log_entry WHERE event = %s ORDER BY at, entry_id", (event,)
        ).fetchall()
    return [row[0] for row in rows]


def record_of(home: Home, kind: str) -> RecordRef:
    with home.database.transaction() as tx:
        subject = store.lookup(tx, home.keyring, [ZHANG])[ZHANG.text]
        return max((one.ref for one in store.visible(tx, {(subject, kind)})), key=lambda ref: ref.version)


def withdrawn(home: Home, consent: Consent) -> None:
    consents.withdraw(home, consent.consent_id, Channel.VILLAGE, actor="test")


# ---- subscribing ----------------------------------------------------------------------------------------------------


def test_subscribing_is_a_question_decided_logged_and_counted(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    made_one = subscribed(lender, items=["RATING"])
    assert made_one["consent_id"] == consent.consent_id
    assert set(made_one["items"]) == {one for one in made_one["items"] if one.startswith("RATING.")}
    (access,) = accessed(exchange_home, "release:query:permitted")
    assert (access["mode"], access["query_id"]) == ("monitor", made_one["subscription_id"])
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT uses FROM consent").fetchall() == [(1,)]
    seen = lender.call("GET", f"/v1/subscriptions/{made_one['subscription_id']}").json()
    assert seen == made_one
    assert ZHANG.text not in str(made_one)


def test_the_same_key_gives_the_same_subscription_and_takes_no_second_use(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    body = {"subject": {"type": "resident_id", "identifier": ZHANG.text}, "events": ["record.new"]} | SUBSCRIBE
    first, again, other = (keyed(lender, body | more) for more in ({}, {}, {"events": ["warning"]}))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT uses FROM consent").fetchall() == [(1,)]
        assert tx.execute("SELECT count(*) FROM monitor_subscription").fetchone() == (1,)


def keyed(lender: System, body: object) -> httpx.Response:
    url = f"{ISSUER}/v1/subscriptions"
    headers = lender.caller.headers("POST", url, lender.token) | {"Idempotency-Key": "key-of-a-loan-1"}
    return lender.door.call("POST", url, headers=headers, json=body)


def test_a_consent_is_named_instead_of_a_person(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    watched(exchange_home)
    assert subscribed(lender, consent_id=consent.consent_id)["consent_id"] == consent.consent_id
    body = {"events": ["warning"], "consent_id": str(uuid4())} | SUBSCRIBE
    assert lender.call("POST", "/v1/subscriptions", body).json()["code"] == "no-consent"
    both = body | {"subject": {"type": "resident_id", "identifier": ZHANG.text}}
    assert lender.call("POST", "/v1/subscriptions", both).status_code == 422


REFUSALS: list[tuple[dict[str, object], list[str], str]] = [
    ({"mode": Mode.REPORT}, ["RATING"], "mode-too-high"),
    ({"recipient": "别的银行"}, ["RATING"], "no-consent"),
    ({"items": ("RATING",)}, ["RATING", "SUBSIDY"], "items-not-covered"),
    ({"w_acknowledged": False, "items": ("SUBSIDY",)}, ["SUBSIDY"], "adverse-consequences-not-acknowledged"),
    ({"items": ("LOAN_EVENT",)}, ["LOAN_EVENT"], "sensitive-not-agreed"),
    ({"max_uses": 1}, ["RATING"], "uses-exhausted"),
]


def test_what_the_consent_does_not_allow_is_refused_as_a_question_is_and_logged(
    exchange_home: Home, lender: System
) -> None:
    for who, (terms, items, code) in zip(people(len(REFUSALS)), REFUSALS, strict=True):
        consent = watched(exchange_home, who, **terms)  # type: ignore[arg-type]  # a test's way to change one part
        change = {"uses-exhausted": "uses = max_uses", "sensitive-not-agreed": "sensitive_agreed = false"}.get(code)
        if change is not None:
            with exchange_home.database.transaction() as tx:
                tx.execute(f"UPDATE consent SET {change} WHERE consent_id = %s", (consent.consent_id,))
        subject = {"subject": {"type": "resident_id", "identifier": who.text}, "events": ["warning"]}
        answer = lender.call("POST", "/v1/subscriptions", subject | SUBSCRIBE | {"items": items})
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert [one["reason"] for one in accessed(exchange_home, "release:query:refused")] == [one[2] for one in REFUSALS]
    assert lender.call("GET", "/v1/subscriptions").json() == {"subscriptions": [], "next": None}


def test_an_unknown_person_is_refused_like_one_without_consent(exchange_home: Home, lender: System) -> None:
    published(exchange_home, rating("AA"), who=LI)
    said = []
    for who in (LI, NOBODY):
        body = {"subject": {"type": "resident_id", "identifier": who.text}, "events": ["warning"]} | SUBSCRIBE
        answer = lender.call("POST", "/v1/subscriptions", body)
        told_of = {name: said for name, said in answer.json().items() if name not in {"query_id", "request_id"}}
        said.append((answer.status_code, told_of, sorted(answer.headers)))
    assert said[0] == said[1]


def test_no_answer_is_opened_under_the_name_of_a_subscription(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    published(exchange_home, rating("AA"))
    made_one = subscribed(lender)
    told(exchange_home)
    path = f"/v1/queries/{made_one['subscription_id']}/evidence"
    assert lender.call("GET", path).json()["code"] == "query-unknown"
    redacted = lender.call("GET", f"{path}?form=redacted")
    assert redacted.status_code == 200
    assert "AA" not in redacted.json()


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_what_stood_when_it_was_subscribed_is_no_news_and_what_comes_is(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    subscribed(lender)
    told(exchange_home)
    assert made(exchange_home) == []
    published(exchange_home, ("SUBSIDY", dict(SUBSIDY) | {"grant_year": 2025}))
    told(exchange_home)
    told(exchange_home)
    assert made(exchange_home) == [("record.new", {"kind": "SUBSIDY", "class": "SUBSIDY"})]


def test_a_grade_that_changes_is_told_as_that_and_a_lower_one_is_warned_of(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    published(exchange_home, rating("AA"), days_ago=90)
    subscribed(lender)
    published(exchange_home, rating("AA", "2026-04-01"), days_ago=60)
    published(exchange_home, rating("AAA", "2026-05-01"), days_ago=50)
    published(exchange_home, rating("A", "2026-06-01"), days_ago=40)
    told(exchange_home)
    about = {"kind": "RATING", "class": "RATING"}
    assert made(exchange_home) == [
        ("record.new", about),
        ("rating.changed", about),
        ("rating.changed", about),
        ("warning", {"code": "rating-lowered", **about}),
    ]


def test_a_correction_is_told_only_to_whoever_may_see_what_was_corrected(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    subscribed(lender, items=["SUBSIDY.project", "SUBSIDY.grant_year"])
    whole = subscribed(lender, items=["SUBSIDY.amount_paid"])
    published(exchange_home, ("SUBSIDY", dict(SUBSIDY) | {"amount_paid": 1}))
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT subscription_id, type FROM monitor_event").fetchall()
    assert rows == [(UUID(whole["subscription_id"]), "record.corrected")]


def test_a_record_of_the_courts_is_warned_of_where_it_is_within_the_consent(
    exchange_home: Home, lender: System
) -> None:
    watched(exchange_home)
    subscribed(lender, "warning", items=["JUDICIAL"])
    subscribed(lender, items=["RATING"])
    published(exchange_home, ("JUDICIAL", JUDICIAL))
    told(exchange_home)
    assert made(exchange_home) == [("warning", {"code": "judicial-record", "kind": "JUDICIAL", "class": "JUDICIAL"})]


def test_a_recall_a_dispute_and_its_end_are_told(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    batch = published(exchange_home, ("SUBSIDY", SUBSIDY))
    subscribed(lender)
    ref, now = record_of(exchange_home, "SUBSIDY"), clock.now()
    new = New(ref, "SUBSIDY.amount_paid", Reason.WRONG_VALUE, sha256(b"scan"))
    hidden = New(ref, "SUBSIDY.bank_account", Reason.WRONG_VALUE, sha256(b"scan"))
    with exchange_home.database.transaction() as tx:
        disputes.file(tx, exchange_home, ref.subject_id, hidden, by="phone", now=now)
        dispute_id = disputes.file(tx, exchange_home, ref.subject_id, new, by="phone", now=now)
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        agency = tx.execute("SELECT agency FROM dispute LIMIT 1").fetchall()[0][0]
        disputes.answer(tx, exchange_home, agency, dispute_id, Outcome.NO_ERROR, "查无误", by="agency", now=clock.now())
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        recalling.recall_batch(tx, batch, now=clock.now(), actor="test")
    told(exchange_home)
    about = {"kind": "SUBSIDY", "class": "SUBSIDY"}
    assert made(exchange_home) == [
        ("dispute.opened", about),
        ("dispute.closed", {**about, "marked": False}),
        ("record.recalled", about),
    ]


def test_a_finding_is_warned_of_only_where_an_answer_would_carry_it(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    whole = subscribed(lender, "warning")
    subscribed(lender, "warning", items=["RATING.grade", "RATING.evaluator"])  # not all that the rule reads
    published(exchange_home, rating("AA"))  # without an evaluator
    findings.check_published(exchange_home)
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT subscription_id, facts FROM monitor_event").fetchall()
    said = {"code": "finding", "rule": "X12", "kind": "RATING", "class": "RATING"}
    assert rows == [(UUID(whole["subscription_id"]), said)]


def test_each_event_is_an_access_that_the_person_and_the_regulator_see(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    made_one = subscribed(lender)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    told(exchange_home)
    (access,) = accessed(exchange_home, "release:monitor:told")
    assert access["consent_id"] == consent.consent_id
    assert (access["told"], access["mode"], access["query_id"]) == (
        "record.new",
        "monitor",
        made_one["subscription_id"],
    )
    assert {str(item).partition(".")[0] for item in access["items"]} == {"SUBSIDY"}  # type: ignore[attr-defined]  # a list
    with exchange_home.database.transaction() as tx:
        subject = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
        assert [one.outcome for one in accesses.every(tx, subject)] == ["told", "permitted"]


# ---- the consent decides --------------------------------------------------------------------------------------------


def test_a_withdrawal_silences_at_once_what_had_been_made_before_it_too(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    subscribed(lender)
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    told(exchange_home)
    assert len(lender.call("GET", "/v1/events").json()["events"]) == 1
    withdrawn(exchange_home, consent)
    assert lender.call("GET", "/v1/events").json()["events"] == []  # before any job has run
    published(exchange_home, rating("B"))
    told(exchange_home)
    (event,) = lender.call("GET", "/v1/events").json()["events"]
    assert (event["type"], event["data"]["state"]) == ("consent.changed", "withdrawn")
    (ended,) = lender.call("GET", "/v1/subscriptions").json()["subscriptions"]
    assert ended["ended"] == "withdrawn"


def test_a_death_is_told_as_a_withdrawal(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    subscribed(lender)
    told(exchange_home)
    assert subjects.note_death(exchange_home, ZHANG, document_sha256=sha256(b"paper"), actor="test") == 1
    told(exchange_home)
    assert made(exchange_home) == [("consent.changed", {"state": "withdrawn"})]
    (ended,) = lender.call("GET", "/v1/subscriptions").json()["subscriptions"]
    assert ended["ended"] == "withdrawn"


def test_a_pause_is_silent_and_what_happened_in_it_stays_untold(exchange_home: Home, lender: System) -> None:
    consent = watched(exchange_home)
    subscribed(lender)
    now = clock.now
    with exchange_home.database.transaction() as tx:
        consents.pause_in(tx, consent.consent_id, Channel.APP, actor="test", now=now())
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        consents.resume_in(tx, consent.consent_id, Channel.APP, actor="test", now=now())
    published(exchange_home, rating("B"))
    told(exchange_home)
    assert types(exchange_home) == ["consent.changed", "consent.changed", "record.new"]
    assert [facts["kind"] for one, facts in made(exchange_home) if one == "record.new"] == ["RATING"]


def test_a_subscription_ends_at_its_own_end_by_its_lender_and_with_its_system(
    exchange_home: Home, lender: System, door: Door
) -> None:
    watched(exchange_home)
    due, given_up, left = (subscribed(lender) for _ in range(3))
    with exchange_home.database.transaction() as tx:
        tx.execute(
            "UPDATE monitor_subscription SET until = %s WHERE subscription_id = %s",
            (clock.now() - timedelta(seconds=1), due["subscription_id"]),
        )
    assert lender.call("DELETE", f"/v1/subscriptions/{given_up['subscription_id']}").status_code == 204
    assert lender.call("DELETE", f"/v1/subscriptions/{given_up['subscription_id']}").status_code == 204
    published(exchange_home, ("SUBSIDY", SUBSIDY))
    told(exchange_home)
    assert types(exchange_home) == ["record.new"]
    with exchange_home.database.transaction() as tx:
        suspending.suspend(tx, "bank-monitor", actor="operator", now=clock.now())
        suspending.resume(tx, "bank-monitor", actor="operator", now=clock.now())
    told(exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = dict(tx.execute("SELECT subscription_id::text, ended FROM monitor_subscription").fetchall())
    assert rows == {
        due["subscription_id"]: "until",
        given_up["subscription_id"]: "deleted",
        left["subscription_id"]: "suspended",
    }
    assert logged(exchange_home).count("exchange:subscription:ended") == 3


# ---- once, in order -------------------------------------------------------------------------------------------------


def test_whatever_breaks_in_the_middle_each_event_is_made_once(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    subscribed(lender)
    told(exchange_home)
    published(exchange_home, ("SUBSIDY", SUBSIDY), ("JUDICIAL", JUDICIAL))
    sequenced(exchange_home)
    before = logged(exchange_home)
    reached: list[int] = []
    for step in range(1, 8):

        def breaks(at: int, step: int = step) -> None:
            reached.append(at)
            if at == step:
                raise RuntimeError

        with pytest.raises(RuntimeError):
            making.make_all(exchange_home, at_step=breaks)
        assert types(exchange_home) == []
        assert logged(exchange_home) == before
    assert set(reached) == set(range(1, 8))
    told(exchange_home)
    assert types(exchange_home) == ["record.new", "warning", "record.new"]
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT array_agg(sequence ORDER BY position) FROM monitor_event").fetchone() == ([1, 2, 3],)
    assert logged(exchange_home).count("release:monitor:told") == 3


def test_a_cursor_goes_through_all_and_stays_where_it_is(exchange_home: Home, lender: System) -> None:
    watched(exchange_home)
    subscribed(lender)
    for year in range(2020, 2025):
        published(exchange_home, ("SUBSIDY", dict(SUBSIDY) | {"grant_year": year}))
    told(exchange_home)
    seen, cursor = [], None
    while True:
        page = lender.call("GET", "/v1/events?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [event["data"]["sequence"] for event in page["events"]]
        cursor = page["next"]
        if not page["more"]:
            break
    assert seen == [1, 2, 3, 4, 5]
    at_the_end = lender.call("GET", f"/v1/events?cursor={cursor}").json()
    assert at_the_end == {"events": [], "next": cursor, "more": False}
    assert lender.call("GET", "/v1/events?cursor=WyJkZWxpdmVyeSIsMV0").json()["code"] == "request-malformed"


def test_an_event_has_the_published_form_and_names_nobody(exchange_home: Home, lender: System, door: Door) -> None:
    watched(exchange_home)
    subscribed(lender)
    published(exchange_home, ("SUBSIDY", SUBSIDY), ("JUDICIAL", JUDICIAL), rating("B"))
    told(exchange_home)
    schema = door.call("GET", ISSUER + reading.SCHEMA_PATH).json()
    events = lender.call("GET", "/v1/events").json()["events"]
    for event in events:
        jsonschema.validate(event, schema)
    text = orjson.dumps(events).decode()
    with exchange_home.database.transaction() as tx:
        subject = store.lookup(tx, exchange_home.keyring, [ZHANG])[ZHANG.text]
    for secret in (ZHANG.text, str(subject), "青0222", "120050", SUBSIDY["project"]):
        assert str(secret) not in text


def test_the_scheduled_jobs_make_events_without_anybody_asking() -> None:
    assert {"monitor:make", "monitor:deliver"} <= {job.name for job in jobs.table()}
    assert set(ALL) | {"consent.changed"} == set(declared.TYPES)
