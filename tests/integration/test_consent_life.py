"""The life of consents on the real ledger: narrowing, confirming, refusing, months, and anything in any order."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from consent import ledger, refusals, uses
from consent.decision import Permit, Reason, Refusal, Request, decide
from consent.errors import Fault, TermsRefused, TransitionRefused, UsesExhausted
from consent.evidence import Capture, Channel, Confirmation, Evidence, EvidenceKind, Language
from consent.grant import ENDED, State
from consent.narrowing import Narrower
from consent.receipt import Issuer
from consent.record import Consent, NewConsent, SubjectType, midnight
from consent.scope import Mode
from registry.database import Database
from registry.keyring import Keyring

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
BANK = "青海民和农村商业银行"
GRADE = frozenset({"RATING.grade"})
ASK = Request(BANK, "POST_LOAN", GRADE, Mode.SUMMARY, frozenset(), frozenset())


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path, origin="test.example/log", now=NOW)


def new(**changes: Any) -> NewConsent:
    stated = NewConsent(
        subject_id=uuid4(),
        subject_type=SubjectType.PERSON,
        recipient=BANK,
        purpose="POST_LOAN",
        items=("RATING",),
        valid_from=midnight(date(2026, 1, 10)),
        valid_until=midnight(date(2028, 1, 1)),
        capture=Capture(
            Channel.VILLAGE,
            "2026-01",
            Language.TIBETAN,
            Evidence(EvidenceKind.PAPER_SCAN, uuid4().bytes * 2, redacted=True),
        ),
        w_acknowledged=True,
        max_uses=6,
        uses_per_month=3,
        register_no=str(uuid4()),
    )
    return replace(stated, **changes)


Make = Callable[..., Consent]


@pytest.fixture
def make(database: Database, keyring: Keyring) -> Make:
    def made(**changes: Any) -> Consent:
        with database.transaction() as tx:
            return ledger.create(tx, new(**changes), keyring, NOW)

    return made


def ask(database: Database, subject_id: UUID, *, now: datetime = NOW) -> Permit | Refusal:
    """Ask as the gate does: lock, decide, count, in one transaction."""
    with database.transaction() as tx:
        grants = [stored.grant for stored in uses.lock(tx, [subject_id], [BANK])]
        outcome = decide(ASK, grants, now=now)
        if isinstance(outcome, Permit):
            uses.count(tx, {outcome.consent_id: 1}, now)
        return outcome


def narrow(database: Database, keyring: Keyring, consent: Consent, asked: Narrower) -> Consent:
    with database.transaction() as tx:
        return ledger.narrow(tx, consent.consent_id, asked, Issuer.of(keyring), NOW, channel=Channel.APP)


def read(database: Database, consent_id: str) -> Consent:
    with database.transaction() as tx:
        return ledger.get(tx, [consent_id])[consent_id]


# ---- months ---------------------------------------------------------------------------------------------------------


def test_a_new_month_in_beijing_has_its_uses_again_and_the_whole_has_its_end(database: Database, make: Make) -> None:
    subject = make().terms.subject_id
    last_of_june = datetime(2026, 6, 30, 15, 59, tzinfo=UTC)
    july = last_of_june + timedelta(minutes=1)
    assert [isinstance(ask(database, subject, now=last_of_june), Permit) for _ in range(4)] == [True] * 3 + [False]
    assert ask(database, subject, now=last_of_june) == Refusal(Reason.MONTHLY_USES_EXHAUSTED)
    assert [isinstance(ask(database, subject, now=july), Permit) for _ in range(3)] == [True] * 3
    assert ask(database, subject, now=july + timedelta(days=31)) == Refusal(Reason.USES_EXHAUSTED)


def test_a_clock_that_is_behind_counts_into_the_month_that_has_begun(database: Database, make: Make) -> None:
    consent = make()
    july = datetime(2026, 7, 1, tzinfo=UTC)
    assert isinstance(ask(database, consent.terms.subject_id, now=july), Permit)
    assert isinstance(ask(database, consent.terms.subject_id, now=NOW), Permit)
    stands = read(database, consent.consent_id)
    assert (stands.month, stands.month_uses, stands.uses) == ("2026-07", 2, 2)


def test_whoever_decided_without_the_lock_cannot_pass_the_months_cap(database: Database, make: Make) -> None:
    consent = make()
    with pytest.raises(UsesExhausted), database.transaction() as tx:
        uses.count(tx, {consent.consent_id: 4}, NOW)
    assert read(database, consent.consent_id).uses == 0


def _ask_in_another_process(url: str, subject_id: UUID, times: int) -> int:
    database = Database(url, pool_size=2)
    try:
        with ThreadPoolExecutor(4) as pool:
            outcomes = pool.map(lambda _: ask(database, subject_id), range(times))
            return sum(isinstance(outcome, Permit) for outcome in outcomes)
    finally:
        database.close()


def test_many_processes_at_once_get_exactly_the_uses_of_the_month(
    addresses: Any, database: Database, make: Make
) -> None:
    consent = make(max_uses=100, uses_per_month=7)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        subject = consent.terms.subject_id
        counted = list(pool.map(_ask_in_another_process, [addresses.database_url] * 3, [subject] * 3, [10] * 3))
    assert sum(counted) == 7
    stands = read(database, consent.consent_id)
    assert (stands.uses, stands.month, stands.month_uses) == (7, "2026-06", 7)


# ---- narrowing, confirming, refusing --------------------------------------------------------------------------------


def test_a_narrower_consent_takes_the_place_and_gives_no_use_back(
    database: Database, keyring: Keyring, make: Make
) -> None:
    consent = make()
    assert isinstance(ask(database, consent.terms.subject_id), Permit)
    smaller = narrow(database, keyring, consent, Narrower(items=["RATING.grade"], max_uses=2))
    assert (smaller.uses, smaller.month_uses, smaller.terms.previous) == (1, 1, consent.consent_id)
    assert smaller.receipt != consent.receipt
    assert read(database, consent.consent_id).state is State.SUPERSEDED
    assert isinstance(ask(database, consent.terms.subject_id), Permit)
    assert ask(database, consent.terms.subject_id) == Refusal(Reason.USES_EXHAUSTED)


def test_a_withdrawal_by_an_old_receipt_reaches_what_came_of_it(
    database: Database, keyring: Keyring, make: Make
) -> None:
    first = make()
    second = narrow(database, keyring, first, Narrower(max_uses=5))
    third = narrow(database, keyring, second, Narrower(max_uses=4))
    with database.transaction() as tx:
        assert ledger.withdraw(tx, first.consent_id, Channel.COUNTER, NOW).consent_id == third.consent_id
    assert ask(database, first.terms.subject_id) == Refusal(Reason.WITHDRAWN)
    with pytest.raises(TransitionRefused):
        narrow(database, keyring, second, Narrower(max_uses=1))


def test_widening_has_no_way_in(database: Database, keyring: Keyring, make: Make) -> None:
    consent = make()
    with pytest.raises(TermsRefused) as refused:
        narrow(database, keyring, consent, Narrower(max_uses=7))
    assert refused.value.code is Fault.NOT_NARROWER
    assert read(database, consent.consent_id) == consent


def confirmation(at: datetime) -> Confirmation:
    """One signed at a moment, with evidence of its own."""
    return Confirmation(Channel.APP, Evidence(EvidenceKind.RELIABLE_ESIGN, uuid4().bytes * 2), at)


def test_a_consent_is_confirmed_once_a_year_or_permits_nothing(database: Database, make: Make) -> None:
    consent = make()
    due = midnight(date(2027, 1, 11))
    assert consent.reconfirm_by == due
    assert ask(database, consent.terms.subject_id, now=due) == Refusal(Reason.RECONFIRMATION_DUE)
    with database.transaction() as tx:
        confirmed = ledger.reconfirm(tx, consent.consent_id, confirmation(due), due)
        events = tx.execute("SELECT event FROM log_entry WHERE consent_id = %s ORDER BY at", (consent.consent_id,))
        assert [row[0] for row in events] == ["consent:grant:recorded", "consent:grant:reconfirmed"]
    assert confirmed.reconfirm_by is None  # the next year would end after the consent does
    assert isinstance(ask(database, consent.terms.subject_id, now=due), Permit)
    with pytest.raises(TransitionRefused), database.transaction() as tx:
        ledger.reconfirm(tx, consent.consent_id, confirmation(due), due)


def test_what_has_ended_is_not_confirmed_again(database: Database, make: Make) -> None:
    consent = make()
    with database.transaction() as tx:
        ledger.withdraw(tx, consent.consent_id, Channel.APP, NOW)
    with pytest.raises(TransitionRefused), database.transaction() as tx:
        ledger.reconfirm(tx, consent.consent_id, confirmation(NOW), NOW)


def test_after_a_no_the_same_is_not_asked_again_for_a_while_and_anything_else_may_be(database: Database) -> None:
    subject = uuid4()
    with database.transaction() as tx:
        refusals.record_refusal(tx, subject, BANK, "POST_LOAN", Channel.APP, NOW, actor="subject")
    month = timedelta(days=30)
    with database.transaction() as tx:
        with pytest.raises(TermsRefused) as refused:
            refusals.refuse_nagging(tx, subject, f" {BANK}", "POST_LOAN", NOW + month - timedelta(seconds=1))
        assert refused.value.code is Fault.REFUSED_LATELY
        refusals.refuse_nagging(tx, subject, BANK, "POST_LOAN", NOW + month)
        refusals.refuse_nagging(tx, subject, BANK, "LOAN_APPROVAL", NOW)
        refusals.refuse_nagging(tx, subject, "青海平安农村商业银行", "POST_LOAN", NOW)
        refusals.refuse_nagging(tx, uuid4(), BANK, "POST_LOAN", NOW)
        entry = tx.execute("SELECT event, actor FROM log_entry WHERE subject_id = %s", (subject,)).fetchone()
        assert entry == ("consent:request:refused", "subject")


# ---- anything, in any order -----------------------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """One person, one bank, one purpose: whatever is done in whichever order, on the real ledger.

    What is remembered here is little and plain: which consents were ever withdrawn or ended, how many uses were
    permitted on each line of consents that replaced one another, and how many in the month.
    """

    consents = Bundle("consents")
    database: Database
    keyring: Keyring

    @initialize()
    def somebody(self) -> None:
        self.subject = uuid4()
        self.now = NOW
        self.ended: dict[str, State] = {}
        self.permitted: dict[str, list[datetime]] = {}
        self.line: dict[str, str] = {}

    def _stands(self) -> dict[str, Consent]:
        with self.database.transaction() as tx:
            return {one.consent_id: one for one in ledger.list_for_subject(tx, self.subject)}

    @rule(target=consents, most=st.integers(1, 4), monthly=st.integers(1, 3), days=st.integers(1, 500))
    def given(self, most: int, monthly: int, days: int) -> str:
        wanted = new(
            subject_id=self.subject,
            max_uses=most,
            uses_per_month=monthly,
            valid_from=self.now,
            valid_until=self.now + timedelta(days=days),
        )
        with self.database.transaction() as tx:
            made = ledger.create(tx, wanted, self.keyring, self.now)
        self.line[made.consent_id] = made.consent_id
        self.permitted[made.consent_id] = []
        return made.consent_id

    @rule(which=consents, to=st.sampled_from(State))
    def moved(self, which: str, to: State) -> None:
        try:
            with self.database.transaction() as tx:
                ledger.transition(tx, which, to, channel=Channel.APP, now=self.now)
        except TransitionRefused:
            return
        if to in ENDED:
            self.ended[which] = to

    @rule(which=consents)
    def withdrawn(self, which: str) -> None:
        try:
            with self.database.transaction() as tx:
                ended = ledger.withdraw(tx, which, Channel.APP, self.now)
        except TransitionRefused:
            assert self._stands()[which].state in ENDED
            return
        assert ended.state is State.WITHDRAWN
        self.ended[ended.consent_id] = State.WITHDRAWN

    @rule(target=consents, which=consents, most=st.integers(1, 3))
    def narrowed(self, which: str, most: int) -> str:
        try:
            with self.database.transaction() as tx:
                made = ledger.narrow(
                    tx,
                    which,
                    Narrower(max_uses=most),
                    Issuer.of(self.keyring),
                    self.now,
                    channel=Channel.APP,
                )
        except (TermsRefused, TransitionRefused):
            return which
        self.ended[which] = State.SUPERSEDED
        self.line[made.consent_id] = self.line[which]
        return made.consent_id

    @rule(which=consents)
    def confirmed(self, which: str) -> None:
        try:
            with self.database.transaction() as tx:
                ledger.reconfirm(tx, which, confirmation(self.now), self.now)
        except TransitionRefused:
            return

    @rule(hours=st.integers(1, 24 * 40))
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def the_job_runs(self) -> None:
        with self.database.transaction() as tx:
            due = {one.consent_id for one in self._stands().values() if one.state not in ENDED}
            ledger.expire_due(tx, self.now, lambda _: None)
        for consent_id, one in self._stands().items():
            if consent_id in due and one.state is State.EXPIRED:
                self.ended[consent_id] = State.EXPIRED

    @rule(times=st.integers(1, 3))
    def asked(self, times: int) -> None:
        before = self._stands()
        for _ in range(times):
            outcome = ask(self.database, self.subject, now=self.now)
            if isinstance(outcome, Permit):
                rests_on = before[outcome.consent_id]
                assert outcome.consent_id not in self.ended
                assert rests_on.state is State.ACTIVE
                assert rests_on.terms.scope.valid_from <= self.now < rests_on.terms.scope.valid_until
                assert rests_on.reconfirm_by is None or self.now < rests_on.reconfirm_by
                self.permitted[self.line[outcome.consent_id]].append(self.now)

    @invariant()
    def what_ended_stays_as_it_ended(self) -> None:
        stands = self._stands()
        assert {one: stands[one].state for one in self.ended} == self.ended

    @invariant()
    def no_line_of_consents_passes_a_cap_that_any_of_it_states(self) -> None:
        for one in self._stands().values():
            spent = self.permitted[self.line[one.consent_id]]
            if one.state is State.ACTIVE:
                assert one.uses == len(spent)
            a_month = [at for at in spent if (at + timedelta(hours=8)).strftime("%Y-%m") == one.month]
            assert one.month_uses <= (one.terms.scope.uses_per_month or 0)
            if one.state is State.ACTIVE:
                assert one.month_uses == len(a_month)

    @invariant()
    def of_those_that_replaced_one_another_at_most_one_is_in_force(self) -> None:
        alive = [self.line[one.consent_id] for one in self._stands().values() if one.state not in ENDED]
        assert len(alive) == len(set(alive))


@pytest.fixture
def life(database: Database, keyring: Keyring) -> type[Life]:
    return type("LifeHere", (Life,), {"database": database, "keyring": keyring})


@pytest.mark.timeout(400)
def test_no_order_of_acts_revives_a_consent_passes_a_cap_or_leaves_two_in_force(life: type[Life]) -> None:
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
