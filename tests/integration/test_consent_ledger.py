"""The ledger against a real database: what is recorded, changed, locked and counted."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from consent import covering, ledger, receipt, uses
from consent.decision import Permit, Reason, Refusal, Request, decide
from consent.errors import Fault, TermsRefused, TransitionRefused, UnknownConsent, UsesExhausted
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.ledger import Cursor
from consent.record import Consent, NewConsent, SubjectType, midnight
from consent.scope import Mode
from registry import catalogue
from registry.database import Database
from registry.keyring import Keyring, Purpose
from tests.counting import statements

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
BANK = "青海民和农村商业银行"
ASK = Request(BANK, "LOAN_APPROVAL", frozenset({"RATING.grade"}), Mode.SUMMARY, frozenset(), frozenset())


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path, origin="test.example/log", now=NOW)


SCAN = Evidence(EvidenceKind.PAPER_SCAN, b"\xab" * 32, redacted=True)


def new(subject_id: UUID | None = None) -> NewConsent:
    return NewConsent(
        subject_id=uuid4() if subject_id is None else subject_id,
        subject_type=SubjectType.HOUSEHOLD,
        recipient=BANK,
        purpose="LOAN_APPROVAL",
        items=("SUBSIDY", "RATING"),
        valid_from=midnight(date(2026, 1, 10)),
        valid_until=midnight(date(2027, 1, 1)),
        capture=Capture(Channel.VILLAGE, "2026-01", Language.TIBETAN, SCAN),
        w_acknowledged=True,
    )


@pytest.fixture
def make(database: Database, keyring: Keyring) -> Callable[[NewConsent], Consent]:
    def made(wanted: NewConsent) -> Consent:
        with database.transaction() as tx:
            return ledger.create(tx, wanted, keyring, NOW)

    return made


Make = Callable[[NewConsent], Consent]


def decided(database: Database, subject_id: UUID, *, now: datetime = NOW) -> Permit | Refusal:
    with database.transaction() as tx:
        grants = [stored.grant for stored in uses.lock(tx, [subject_id], [BANK])]
        return decide(ASK, grants, now=now)


def events(database: Database, consent_id: str) -> list[str]:
    with database.transaction() as tx:
        found = tx.execute("SELECT event FROM log_entry WHERE consent_id = %s ORDER BY at, event", (consent_id,))
        return [row[0] for row in found]


def test_a_consent_is_recorded_with_its_receipt_and_its_log_entry(
    database: Database, keyring: Keyring, make: Make
) -> None:
    consent = make(new())
    with database.transaction() as tx:
        assert ledger.get(tx, [consent.consent_id]) == {consent.consent_id: consent}
        entry = tx.execute(
            "SELECT event, subject_id, consent_id, fields FROM log_entry WHERE entry_id = %s", (consent.receipt_entry,)
        ).fetchone()
    assert entry is not None
    event, *of, fields = entry
    assert event == "consent:grant:recorded"
    assert of == [consent.terms.subject_id, consent.consent_id]
    assert fields["receipt_sha256"] == receipt.digest(consent.receipt).hex()
    read = receipt.verify(consent.receipt, {key.key_id: key.public for key in keyring.signing_all(Purpose.RECEIPT)})
    assert read.consent_id == consent.consent_id
    assert read.items == consent.terms.scope.items


def test_terms_that_are_refused_record_nothing(database: Database, keyring: Keyring) -> None:
    with pytest.raises(TermsRefused) as refused, database.transaction() as tx:
        ledger.create_many(tx, [new(), replace(new(), max_uses=99)], keyring, NOW)
    assert refused.value.code is Fault.TOO_MANY_USES
    with database.transaction() as tx:
        assert ledger.listing(tx) == ([], None)


def test_a_transaction_that_fails_leaves_neither_consent_nor_entry(database: Database, keyring: Keyring) -> None:
    with pytest.raises(OSError, match="gone"), database.transaction() as tx:
        ledger.create(tx, new(), keyring, NOW)
        raise OSError("gone")
    with database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM log_entry").fetchone() == (0,)
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (0,)


def test_a_withdrawal_is_seen_by_the_next_read_of_every_connection(database: Database, make: Make) -> None:
    consent = make(new())
    assert isinstance(decided(database, consent.terms.subject_id), Permit)
    with database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, NOW)
    assert decided(database, consent.terms.subject_id) == Refusal(Reason.WITHDRAWN)
    assert events(database, consent.consent_id) == ["consent:grant:recorded", "consent:grant:withdrawn"]


def test_a_withdrawal_is_seen_within_its_own_transaction(database: Database, make: Make) -> None:
    consent = make(new())
    with database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, NOW)
        grants = [stored.grant for stored in uses.lock(tx, [consent.terms.subject_id], [BANK])]
        assert decide(ASK, grants, now=NOW) == Refusal(Reason.WITHDRAWN)


def test_a_withdrawal_keeps_the_receipt_as_it_was(database: Database, make: Make) -> None:
    consent = make(new())
    with database.transaction() as tx:
        after = ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, NOW + timedelta(hours=1))
        stored = ledger.get(tx, [consent.consent_id])[consent.consent_id]
    assert after == stored
    assert (stored.receipt, stored.receipt_entry) == (consent.receipt, consent.receipt_entry)
    assert stored.withdraw_channel == "counter"
    assert stored.state_at == NOW + timedelta(hours=1)


def test_withdrawing_twice_is_harmless_and_withdrawing_nothing_is_not(database: Database, make: Make) -> None:
    consent = make(new())
    for now in (NOW + timedelta(hours=1), NOW + timedelta(hours=2)):
        with database.transaction() as tx:
            after = ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, now)
        assert after.state_at == NOW + timedelta(hours=1)
    assert len(events(database, consent.consent_id)) == 2
    with pytest.raises(UnknownConsent), database.transaction() as tx:
        ledger.withdraw(tx, str(uuid4()), Channel.COUNTER, NOW)


@pytest.mark.parametrize("to", list(State))
def test_nothing_revives_a_withdrawn_consent(database: Database, make: Make, to: State) -> None:
    consent = make(new())
    with database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, Channel.COUNTER, NOW)
    with pytest.raises(TransitionRefused), database.transaction() as tx:
        ledger.transition(tx, consent.consent_id, to, channel=Channel.COUNTER, now=NOW)
    assert decided(database, consent.terms.subject_id) == Refusal(Reason.WITHDRAWN)


def test_a_pause_stops_answers_until_it_is_lifted(database: Database, make: Make) -> None:
    consent = make(new())
    for to, outcome in ((State.PAUSED, Refusal), (State.ACTIVE, Permit)):
        with database.transaction() as tx:
            ledger.transition(tx, consent.consent_id, to, channel=Channel.H5, now=NOW)
        assert isinstance(decided(database, consent.terms.subject_id), outcome)


def test_a_request_permits_nothing_and_no_step_makes_a_consent_of_it_without_evidence(
    database: Database, make: Make
) -> None:
    wanted = new()
    bare = replace(wanted.capture, evidence=Evidence(EvidenceKind.PAPER_SCAN, None))
    request_ = make(replace(wanted, state=State.REQUESTED, capture=bare))
    assert decided(database, wanted.subject_id) == Refusal(Reason.NOT_YET_GIVEN)
    with pytest.raises(TransitionRefused), database.transaction() as tx:
        ledger.transition(tx, request_.consent_id, State.ACTIVE, channel=Channel.H5, now=NOW)
    assert decided(database, wanted.subject_id) == Refusal(Reason.NOT_YET_GIVEN)
    assert events(database, request_.consent_id) == ["consent:request:recorded"]


def test_a_later_consent_takes_the_place_of_an_earlier_one(database: Database, make: Make) -> None:
    wanted = new()
    first = make(wanted)
    second = make(replace(wanted, items=("RATING",), previous=first.consent_id))
    with database.transaction() as tx:
        assert ledger.get(tx, [first.consent_id])[first.consent_id].state is State.SUPERSEDED
    outcome = decided(database, wanted.subject_id)
    assert isinstance(outcome, Permit)
    assert outcome.consent_id == second.consent_id
    for stranger in (new(), replace(wanted, recipient="青海平安农村商业银行")):
        with pytest.raises(UnknownConsent):  # as if there were none
            make(replace(stranger, previous=second.consent_id))
    with pytest.raises(UnknownConsent):
        make(replace(wanted, previous=str(uuid4())))
    with pytest.raises(TransitionRefused):
        make(replace(wanted, previous=first.consent_id))


def test_time_that_is_over_is_written_down_and_logged_once(database: Database, make: Make) -> None:
    consent = make(new())
    end = consent.terms.scope.valid_until
    for now, count in ((end - timedelta(microseconds=1), 0), (end, 1), (end, 0)):
        with database.transaction() as tx:
            assert len(ledger.expire_due(tx, now, lambda _: None)) == count
    assert events(database, consent.consent_id) == ["consent:grant:recorded", "consent:grant:expired"]


def test_only_this_lenders_consents_are_read_and_in_the_order_of_their_ids(database: Database, make: Make) -> None:
    subject_id = uuid4()
    made = [make(new(subject_id)) for _ in range(5)]
    make(replace(new(subject_id), recipient="别家银行"))
    make(new())
    with database.transaction() as tx:
        found = uses.lock(tx, [subject_id], [BANK])
        assert uses.lock(tx, [uuid4()], [BANK]) == []
        assert uses.lock(tx, [], []) == []
    assert {stored.receipt_sha256 for stored in found} == {receipt.digest(consent.receipt).hex() for consent in made}
    assert [stored.grant.consent_id for stored in found] == sorted(consent.consent_id for consent in made)
    assert {stored.subject_id for stored in found} == {subject_id}


def test_a_ceiling_lowered_since_binds_at_the_next_use(database: Database, make: Make) -> None:
    consent = make(new())
    with database.transaction() as tx:
        tx.execute("UPDATE consent SET purpose_version = '2020-01', max_uses = 500, mode = 'monitor'")
        scope = uses.lock(tx, [consent.terms.subject_id], [BANK])[0].grant.scope
    assert (scope.max_uses, scope.mode) == (12, Mode.REPORT)


@pytest.mark.parametrize(("agreed", "lives"), [(None, 180), (30, 30), (0, 0), (500, 180)])
def test_every_cap_binds_at_use_whatever_version_a_consent_was_given_under(
    database: Database, make: Make, agreed: int | None, lives: int
) -> None:
    consent = make(new())
    with database.transaction() as tx:
        tx.execute("UPDATE consent SET max_uses = 500, uses_per_month = 500, data_life_days = %s", (agreed,))
        grant = uses.lock(tx, [consent.terms.subject_id], [BANK])[0].grant
    assert (grant.scope.max_uses, grant.scope.uses_per_month, grant.data_life_days) == (12, 12, lives)


def test_a_withdrawal_waits_for_a_decision_under_way_and_then_bites(database: Database, make: Make) -> None:
    consent = make(new())
    locked, withdrawn = threading.Event(), threading.Event()

    def withdraw() -> None:
        locked.wait()
        with database.transaction() as tx:
            ledger.withdraw(tx, consent.consent_id, Channel.H5, NOW)
        withdrawn.set()

    thread = threading.Thread(target=withdraw)
    thread.start()
    with database.transaction() as tx:
        assert len(uses.lock(tx, [consent.terms.subject_id], [BANK])) == 1
        locked.set()
        assert not withdrawn.wait(0.3)
        uses.count(tx, {consent.consent_id: 1}, NOW)
    thread.join()
    assert decided(database, consent.terms.subject_id) == Refusal(Reason.WITHDRAWN)


def test_fifty_callers_at_once_get_exactly_the_uses_there_are(database: Database, make: Make) -> None:
    consent = make(replace(new(), max_uses=7, uses_per_month=7))

    def ask(_: int) -> bool:
        with database.transaction() as tx:
            grants = [stored.grant for stored in uses.lock(tx, [consent.terms.subject_id], [BANK])]
            outcome = decide(ASK, grants, now=NOW)
            if isinstance(outcome, Permit):
                uses.count(tx, {outcome.consent_id: 1}, NOW)
            return isinstance(outcome, Permit)

    with ThreadPoolExecutor(25) as pool:
        outcomes = list(pool.map(ask, range(50)))
    assert outcomes.count(True) == 7
    assert decided(database, consent.terms.subject_id) == Refusal(Reason.USES_EXHAUSTED)


def test_counting_without_the_lock_never_passes_what_was_agreed(database: Database, make: Make) -> None:
    consent = make(new())

    def count(_: int) -> bool:
        try:
            with database.transaction() as tx:
                uses.count(tx, {consent.consent_id: 1}, NOW)
        except UsesExhausted:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(count, range(50))).count(True) == 3


def test_a_count_that_fails_for_one_consent_counts_for_none(database: Database, make: Make) -> None:
    one, other = make(new()), make(new())
    with pytest.raises(UsesExhausted), database.transaction() as tx:
        uses.count(tx, {one.consent_id: 1, other.consent_id: 4}, NOW)
    with database.transaction() as tx:
        uses.count(tx, {}, NOW)
        assert {consent.uses for consent in ledger.get(tx, [one.consent_id, other.consent_id]).values()} == {0}
        with pytest.raises(ValueError, match="below one"):
            uses.count(tx, {one.consent_id: 0}, NOW)


def test_no_use_is_counted_on_a_consent_that_is_not_in_force(database: Database, make: Make) -> None:
    consent = make(new())
    with database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, Channel.H5, NOW)
    with pytest.raises(UsesExhausted), database.transaction() as tx:
        uses.count(tx, {consent.consent_id: 1}, NOW)


@pytest.mark.parametrize(
    ("day", "covered"),
    [(date(2026, 1, 9), 0), (date(2026, 1, 10), 1), (date(2026, 12, 31), 1), (date(2027, 1, 1), 0)],
)
def test_rows_are_covered_from_the_first_day_through_the_last(
    database: Database, make: Make, day: date, covered: int
) -> None:
    consent = make(new())
    with database.transaction() as tx:
        found = covering.covering(tx, [consent.terms.subject_id, uuid4()], "SUBSIDY", day)
    assert [(one, cover.consent_id) for one, cover in found.items()] == [
        (consent.terms.subject_id, consent.consent_id)
    ][:covered]


def test_only_kinds_that_were_agreed_to_are_covered(database: Database, make: Make) -> None:
    rating = make(replace(new(), items=("RATING.grade",)))
    nothing = make(replace(new(), items=()))
    told = make(replace(new(), w_acknowledged=False))
    subjects = [each.terms.subject_id for each in (rating, nothing, told)]
    with database.transaction() as tx:
        covered = {kind: covering.covering(tx, subjects, kind, date(2026, 6, 15)) for kind in catalogue.current().kinds}
    assert set(covered["RATING"]) == {subjects[0], subjects[2]}
    assert set(covered["SUBSIDY"]) == {subjects[2]}
    assert covered["SANZI_CONTRACT"] == {}


def test_consents_cover_together_what_each_names_and_w_items_only_where_told(database: Database, make: Make) -> None:
    told = make(replace(new(), items=("SUBSIDY.amount_due", "SUBSIDY.project"), w_acknowledged=True))
    day = date(2026, 6, 15)
    with database.transaction() as tx:
        alone = covering.covering(tx, [told.terms.subject_id], "SUBSIDY", day)[told.terms.subject_id]
    assert alone == covering.Cover(told.consent_id, frozenset({"SUBSIDY.amount_due", "SUBSIDY.project"}))
    untold = make(replace(new(), items=("SUBSIDY.amount_due", "SUBSIDY.area"), w_acknowledged=False))
    only_w = make(replace(new(), items=("SUBSIDY.amount_due",), w_acknowledged=False))
    subjects = [each.terms.subject_id for each in (untold, only_w)]
    with database.transaction() as tx:
        found = covering.covering(tx, subjects, "SUBSIDY", day)
    assert {one: cover.items for one, cover in found.items()} == {subjects[0]: frozenset({"SUBSIDY.area"})}


@pytest.mark.parametrize("state", [State.PAUSED, State.WITHDRAWN, State.SUPERSEDED, State.EXPIRED])
def test_a_consent_that_is_not_in_force_covers_nothing(database: Database, make: Make, state: State) -> None:
    consent = make(new())
    with database.transaction() as tx:
        ledger.transition(tx, consent.consent_id, state, channel=Channel.H5, now=NOW)
        assert covering.covering(tx, [consent.terms.subject_id], "RATING", date(2026, 6, 15)) == {}


def test_a_consent_that_ran_out_still_covers_the_days_before(database: Database, make: Make) -> None:
    consent = make(new())
    with database.transaction() as tx:
        ledger.expire_due(tx, consent.terms.scope.valid_until, lambda _: None)
        assert covering.covering(tx, [consent.terms.subject_id], "RATING", date(2026, 6, 15)) != {}
        assert covering.covering(tx, [consent.terms.subject_id], "RATING", date(2027, 1, 1)) == {}


def test_pages_list_everything_once_in_the_order_of_change(database: Database, keyring: Keyring) -> None:
    with database.transaction() as tx:
        for minute in range(3):
            moment = NOW + timedelta(minutes=minute)
            ledger.create_many(tx, [new() for _ in range(3)], keyring, moment)
    seen: list[Consent] = []
    cursor: Cursor | None = None
    with database.transaction() as tx:
        for _ in range(5):
            page, cursor = ledger.listing(tx, after=cursor, limit=2)
            seen += page
        withdrawn = ledger.withdraw(tx, seen[0].consent_id, Channel.H5, NOW)
        assert cursor is None
        assert ledger.listing(tx, state=State.WITHDRAWN) == ([withdrawn], None)
        assert ledger.listing(tx, recipient="别家银行") == ([], None)
        assert len(ledger.listing(tx, recipient=BANK)[0]) == 9
    assert len({consent.consent_id for consent in seen}) == 9
    assert [consent.state_at for consent in seen] == sorted(consent.state_at for consent in seen)


def test_a_subject_sees_all_its_consents_and_nobody_elses(database: Database, make: Make) -> None:
    subject_id = uuid4()
    made = {make(new(subject_id)).consent_id for _ in range(2)}
    make(new())
    with database.transaction() as tx:
        assert {consent.consent_id for consent in ledger.list_for_subject(tx, subject_id)} == made


def test_a_register_number_is_taken_once(make: Make) -> None:
    make(replace(new(), register_no="SQ1"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        make(replace(new(), register_no="SQ1"))


def test_the_gates_read_of_a_hundred_subjects_is_one_statement(database: Database, keyring: Keyring) -> None:
    with database.transaction() as tx:
        made = ledger.create_many(tx, [new() for _ in range(100)], keyring, NOW)
        with statements() as asked:
            found = uses.lock(tx, [consent.terms.subject_id for consent in made], [BANK])
    assert len(asked) == 1
    assert len(found) == 100
