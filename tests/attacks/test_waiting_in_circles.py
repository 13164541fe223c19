"""Changes of consents that come at one moment: nobody waits in a circle, and a withdrawal fails for nobody's sake."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg.errors import DeadlockDetected

from consent import importing
from consent.evidence import Channel
from consent.grant import State
from consent.register import Outcome
from exchange import consent_registers, consents
from exchange.home import Home
from registry import clock, store
from registry.database import Transaction
from registry.identifiers import ResidentId
from tests.asking import Bank as Lender
from tests.asking import bank as lender_of
from tests.attacks.bent_client import ISSUER, Door
from tests.attacks.test_consents_at_the_lenders_door import subject
from tests.attacks.test_doors_poisoned import CONSENTS, bank, given, post
from tests.attacks.test_queries import BANK_ONE, Bank, code
from tests.capturing import collector, content, device
from tests.people import BANK, LI, ZHANG, consented
from tests.scenarios.stage import born
from tests.waiting import until_somebody_waits

__all__ = ["bank"]

ROW = {
    "主体类型": "person",
    "姓名": "卓玛",
    "被授权机构": BANK,
    "用途": "LOAN_APPROVAL",
    "数据项": "RATING",
    "状态": "active",
    "不良后果告知": "是",
    "文本版本": "2026-01",
    "语言": "bo",
    "渠道": "村点",
    "见证人": "才让",
}


@pytest.fixture
def chains(exchange_home: Home, door: Door) -> Lender:
    collector(exchange_home)
    return lender_of(exchange_home, door)


def paper() -> dict[str, str]:
    return {"kind": "reliable_esign", "sha256": uuid4().hex * 2}


def people_of(count: int) -> list[ResidentId]:
    birth = clock.beijing_day(clock.now()) - timedelta(days=40 * 366)
    return [born(birth) for _ in range(count)]


def row(who: ResidentId, **cells: str) -> dict[str, str]:
    today = clock.beijing_day(clock.now())
    dates = {
        "生效日期": (today - timedelta(days=5)).isoformat(),
        "失效日期": (today + timedelta(days=100)).isoformat(),
    }
    numbers = {"授权编号": f"R{uuid4().hex[:10]}", "身份证号": who.text, "证据文件哈希": uuid4().hex * 2}
    return ROW | dates | numbers | cells


# ---- the consent that another takes the place of ---------------------------------------------------------------------


def test_naming_somebody_elses_consent_waits_for_nobody_else(exchange_home: Home, bank: Bank) -> None:
    theirs = consented(exchange_home, LI, recipient=BANK_ONE)
    answers: list[tuple[int, str]] = []
    asked = given(subject=subject(ZHANG), previous=theirs.consent_id, evidence=paper())
    thread = threading.Thread(target=lambda: answers.append(code(post(bank, CONSENTS, asked))))
    with exchange_home.database.transaction() as tx:
        store.hold_subjects(tx, [theirs.terms.subject_id])
        tx.execute("SELECT FROM consent WHERE consent_id = %s FOR UPDATE", (theirs.consent_id,))
        thread.start()
        thread.join(20)
        assert answers == [(404, "consent-unknown")]


def test_two_that_name_each_others_consents_do_not_wait_for_each_other(exchange_home: Home, bank: Bank) -> None:
    of = {who: consented(exchange_home, who, recipient=BANK_ONE) for who in (ZHANG, LI)}
    calls = []
    for who, other in ((ZHANG, LI), (LI, ZHANG)) * 10:
        body = given(subject=subject(who), previous=of[other].consent_id, evidence=paper())
        headers = bank.client.headers("POST", CONSENTS, bank.token)
        calls.append(("POST", CONSENTS, {"json": body, "headers": headers}))
    withdrawn: list[State] = []
    thread = threading.Thread(
        target=lambda: withdrawn.append(
            consents.withdraw(exchange_home, of[ZHANG].consent_id, Channel.APP, actor="test").state
        )
    )
    thread.start()
    answers = [code(answer) for answer in bank.door.together(*calls)]
    thread.join(30)
    assert answers[1::2] == [(404, "consent-unknown")] * 10
    assert {status for status, _ in answers[::2]} <= {404, 422}  # 422: taken before the withdrawal that came between
    assert withdrawn == [State.WITHDRAWN]


# ---- a change that loses against another -----------------------------------------------------------------------------


def test_a_withdrawal_that_the_database_lets_lose_is_done_again(exchange_home: Home) -> None:
    """Another transaction locks the other way round, as none of ours does, and is patient: the withdrawal loses."""
    made = consented(exchange_home)
    done: list[object] = []
    act = threading.Thread(
        target=lambda: done.append(consents.withdraw(exchange_home, made.consent_id, Channel.APP, actor="test").state)
    )
    with exchange_home.database.transaction() as tx:
        tx.execute("SET LOCAL deadlock_timeout = '60s'")
        tx.execute("SELECT FROM consent WHERE consent_id = %s FOR UPDATE", (made.consent_id,))
        act.start()
        until_somebody_waits(exchange_home)
        store.hold_subjects(tx, [made.terms.subject_id])  # had only once the withdrawal has lost
    act.join(30)
    assert done == [State.WITHDRAWN]


@pytest.mark.parametrize("losses", range(consents.LOST_MOST + 1))
def test_a_change_is_done_again_so_often_and_no_oftener(exchange_home: Home, losses: int) -> None:
    tried: list[int] = []

    def act(_: Transaction) -> str:
        tried.append(1)
        if len(tried) <= losses:
            raise DeadlockDetected
        return "done"

    if losses < consents.LOST_MOST:
        assert consents.undisturbed(exchange_home, act) == "done"
    else:
        with pytest.raises(DeadlockDetected):
            consents.undisturbed(exchange_home, act)
    assert len(tried) == min(losses + 1, consents.LOST_MOST)


# ---- registers -------------------------------------------------------------------------------------------------------


def test_a_withdrawal_beside_an_import_fails_not_nor_kills_it(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import has locked what stands, and goes on to write, while somebody withdraws."""
    people = people_of(6)
    table = [row(who) for who in people]
    first = consent_registers.import_register(exchange_home, table)
    assert first.counts[Outcome.IMPORTED] == 6
    consent_id = first.rows[3].consent_id
    assert consent_id is not None
    locked, write = threading.Event(), importing._write  # between locking and writing
    withdrawn: list[State] = []

    def slowly(*given: Any) -> None:
        locked.set()
        until_somebody_waits(exchange_home)
        write(*given)

    def withdraw() -> None:
        locked.wait(30)
        withdrawn.append(consents.withdraw(exchange_home, consent_id, Channel.APP, actor="test").state)

    monkeypatch.setattr(importing, "_write", slowly)
    monkeypatch.setattr(consents, "LOST_MOST", 1)  # nobody has to lose
    thread = threading.Thread(target=withdraw)
    thread.start()
    paused = consent_registers.import_register(exchange_home, [each | {"状态": "paused"} for each in table])
    thread.join(30)
    assert paused.counts[Outcome.IMPORTED] == 6
    assert withdrawn == [State.WITHDRAWN]


def test_an_import_holds_the_people_of_one_portion_only(exchange_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two portions everybody is free: a withdrawal waits for one at most; an import that broke off goes on."""
    monkeypatch.setattr(consent_registers, "ROWS_AT_ONCE", 2)
    table = [row(who) for who in people_of(6)]
    write, portions = importing._write, list[int]()

    def third_breaks(tx: Transaction, plan: Any, *rest: Any) -> None:
        portions.append(len(plan.made))
        if len(portions) == 3:
            raise ConnectionError
        write(tx, plan, *rest)

    with monkeypatch.context() as patches, pytest.raises(ConnectionError):
        patches.setattr(importing, "_write", third_breaks)
        consent_registers.import_register(exchange_home, table)
    assert portions == [2, 2, 2]
    again = consent_registers.import_register(exchange_home, table)
    assert [one.outcome for one in again.rows] == [Outcome.UNCHANGED] * 4 + [Outcome.IMPORTED] * 2


def test_all_rows_of_a_person_are_in_one_portion(exchange_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a register ends is no bar to what the same register begins, wherever the two rows stand."""
    monkeypatch.setattr(consent_registers, "ROWS_AT_ONCE", 2)
    one, *others = people_of(4)
    old = row(one)
    consent_registers.import_register(exchange_home, [old])
    table = [old | {"状态": "withdrawn"}, *(row(who) for who in others), row(one)]
    report = consent_registers.import_register(exchange_home, table)
    assert [each.outcome for each in report.rows] == [Outcome.IMPORTED] * 5
    assert [each.row_no for each in report.rows] == [1, 2, 3, 4, 5]


def test_the_job_that_ends_what_is_over_holds_the_person_before_the_consent(exchange_home: Home) -> None:
    """As whoever withdraws: somebody has the person, and gets the consent while the job waits."""
    made = consented(exchange_home)
    later = made.terms.scope.valid_until + timedelta(seconds=1)
    ended: list[int] = []

    def job() -> None:
        with exchange_home.database.transaction() as tx:
            ended.append(consents.expire_due(tx, now=later))

    thread = threading.Thread(target=job)
    with exchange_home.database.transaction() as tx:
        store.hold_subjects(tx, [made.terms.subject_id])
        thread.start()
        until_somebody_waits(exchange_home)
        tx.execute("SELECT FROM consent WHERE consent_id = %s FOR UPDATE NOWAIT", (made.consent_id,))
    thread.join(30)
    assert ended == [1]


# ---- chains of devices -----------------------------------------------------------------------------------------------


def test_two_devices_that_name_the_same_new_people_the_other_way_round_both_arrive(
    exchange_home: Home, chains: Lender, door: Door
) -> None:
    token, url = chains.caller.token(door), f"{ISSUER}/v1/consents/offline"
    for turn in range(3):
        people, calls = people_of(20), []
        for ordered in (people, people[::-1]):
            taker = device(exchange_home)
            for place, who in enumerate(ordered):
                proof = uuid4().int % 10**60
                taker.take(content(proof, who), at=clock.now() - timedelta(minutes=len(ordered) - place))
            body = {"device": taker.name, "records": taker.records}
            calls.append(("POST", url, {"json": body, "headers": chains.caller.headers("POST", url, token)}))
        answers = [answer.json() for answer in door.together(*calls)]
        made = [sum(one["consent_id"] is not None for one in each["records"]) for each in answers]
        assert made == [20, 20], (turn, answers)


def test_nobody_is_made_known_by_a_record_that_was_refused(exchange_home: Home, chains: Lender) -> None:
    one, other = people_of(2)
    taker = device(exchange_home)
    taker.take(content(1, one, terms={"purpose": "LOAN_APPROVAL", "items": ["NOTHING"]}), at=clock.now())
    taker.take(content(2, other), at=clock.now())
    answer = chains.api("POST", "/v1/consents/offline", json={"device": taker.name, "records": taker.records})
    assert [each["consent_id"] is None for each in answer.json()["records"]] == [True, False], answer.text
    with exchange_home.database.transaction() as tx:
        assert store.lookup(tx, exchange_home.keyring, [one, other]).keys() == {other.text}
        assert tx.execute("SELECT count(*) FROM subject").fetchone() == (1,)
