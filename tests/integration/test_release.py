"""The gate over a real database: what it lets out, what it writes down, what it never does."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import orjson
import pytest

from consent import purposes
from consent.decision import Reason
from consent.evidence import Channel
from consent.purposes import Entrance, Purposes
from consent.scope import Mode
from exchange import consents, evidence
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.release import Ask, AskAgain, Outcome, Permitted, Refused, release
from registry.errors import AnswerFailed, DatabaseUnavailable
from registry.profile import Claim
from registry.verify import verify
from tests.people import LI, NOBODY, ZHANG, caller, consented, held, question, sequenced


def events(home: Home) -> list[str]:
    with home.database.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT event FROM log_entry WHERE event LIKE 'release:%' ORDER BY at")]


def uses(home: Home) -> int:
    with home.database.transaction() as tx:
        row = tx.execute("SELECT sum(uses) FROM consent").fetchone()
        return int(row[0]) if row else 0


def permitted(outcome: Outcome) -> Permitted:
    assert isinstance(outcome, Permitted), outcome
    return outcome


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_a_consented_question_is_answered_signed_logged_and_counted(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    answer = orjson.loads(permitted(release(exchange_home, [question()])[0]).body)
    fields = [record["fields"] for record in answer["records"]]
    assert any(record.get("amount_due") == 120_050 for record in fields)
    assert answer["items"]["SUBSIDY.amount_due"]["completeness"] == "COMPLETE"
    assert answer["items"]["RATING.valid_to"]["completeness"] == "PARTIAL"
    assert answer["summary"]["RATING"]["grade"] == "AA"
    assert answer["installation"]["mode"] == "sandbox"
    assert events(exchange_home) == ["release:query:permitted"]
    assert uses(exchange_home) == 1


def test_an_item_that_a_record_does_not_have_is_partial(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    asked = question(items=frozenset({"SUBSIDY.amount_due", "SUBSIDY.grazing_ban_area"}))
    answer = orjson.loads(permitted(release(exchange_home, [asked])[0]).body)
    states = {item: label["completeness"] for item, label in answer["items"].items()}
    assert states == {"SUBSIDY.amount_due": "COMPLETE", "SUBSIDY.grazing_ban_area": "PARTIAL"}


def test_what_no_lender_may_see_is_not_in_any_answer(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    body = permitted(release(exchange_home, [question()])[0]).body
    assert b"6239990000000000018" not in body
    assert ZHANG.text.encode() not in body


def test_only_the_items_asked_for_are_opened(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    outcome = permitted(release(exchange_home, [question(items=frozenset({"RATING.grade"}))])[0])
    answer = orjson.loads(outcome.body)
    assert [record["fields"] for record in answer["records"]] == [{"grade": "AA"}]
    assert answer["summary"] == {"RATING": {"evaluations": 1, "grade": "AA"}}


def test_an_unknown_person_and_a_person_without_consent_are_refused_alike(exchange_home: Home) -> None:
    held(exchange_home, LI)
    consented(exchange_home, ZHANG, recipient="别的银行")
    outcomes = release(exchange_home, [question(LI), question(NOBODY), question(ZHANG)])
    assert [reason(outcome) for outcome in outcomes] == [Reason.NO_CONSENT] * 3
    assert events(exchange_home) == ["release:query:refused"] * 3


def test_a_withdrawal_is_seen_by_the_next_question(exchange_home: Home) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    permitted(release(exchange_home, [question()])[0])
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    assert reason(release(exchange_home, [question()])[0]) is Reason.WITHDRAWN


def test_the_same_key_opens_the_same_answer_without_a_second_use(exchange_home: Home) -> None:
    consented(exchange_home, max_uses=1)
    held(exchange_home)
    first = permitted(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    held(exchange_home, payloads=[("RATING", {"grade": "A", "score": "70", "eval_date": "2026-03-01"})])
    again = permitted(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    assert (again.body, again.signature) == (first.body, first.signature)
    assert uses(exchange_home) == 1
    assert events(exchange_home) == ["release:query:permitted", "release:query:reopened"]
    assert reason(release(exchange_home, [question(idempotency_key="key-two-2")])[0]) is Reason.USES_EXHAUSTED


def test_the_log_says_for_what_an_answer_was_opened_again_and_nothing_where_it_was_for_its_key(
    exchange_home: Home,
) -> None:
    consented(exchange_home)
    held(exchange_home)
    first = permitted(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    release(exchange_home, [question(idempotency_key="key-one-1")])
    release(exchange_home, [AskAgain(caller(), first.query_id)])
    with exchange_home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT fields -> 'access' FROM log_entry WHERE event = 'release:query:reopened' ORDER BY at"
        ).fetchall()
    assert ["form" in access for (access,) in rows] == [False, True]
    assert rows[1][0]["form"] == "evidence"


def test_the_same_key_with_another_body_is_refused(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    release(exchange_home, [question(idempotency_key="key-one-1")])
    (outcome,) = release(exchange_home, [question(idempotency_key="key-one-1", body=b'{"other":1}')])
    assert isinstance(outcome, RequestRefused)
    assert outcome.code == "idempotency-key-reused"


def test_the_same_key_after_a_withdrawal_is_refused(exchange_home: Home) -> None:
    consent = consented(exchange_home)
    held(exchange_home)
    first = permitted(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    consents.withdraw(exchange_home, consent.consent_id, Channel.VILLAGE, actor="test")
    consented(exchange_home, began=timedelta(0))
    assert reason(release(exchange_home, [question(idempotency_key="key-one-1")])[0]) is Reason.WITHDRAWN
    assert reason(release(exchange_home, [AskAgain(caller(), first.query_id)])[0]) is Reason.WITHDRAWN


def aged(home: Home, days: int) -> None:
    """Let every answer have been given so many days earlier."""
    with home.database.transaction() as tx:
        tx.execute("UPDATE query SET decided_at = decided_at - make_interval(days => %s)", (days,))


def loans(**changes: object) -> Purposes:
    """The purposes of the same version, but loans' changed; with `gone` there are none."""
    now = purposes.current()
    others = {code: one for code, one in now.by_code.items() if code != "LOAN_APPROVAL"}
    if changes.pop("gone", False):
        return replace(now, by_code=MappingProxyType(others))
    changed = replace(now.by_code["LOAN_APPROVAL"], **changes)  # type: ignore[arg-type]  # a test's way to change a part
    return replace(now, by_code=MappingProxyType(others | {"LOAN_APPROVAL": changed}))


def test_an_answer_that_has_outlived_its_data_life_opens_for_nobody_and_its_redacted_evidence_stays(
    exchange_home: Home,
) -> None:
    consented(exchange_home, max_uses=2)
    held(exchange_home)
    first = permitted(release(exchange_home, [question(idempotency_key="key-one-1")])[0])
    sequenced(exchange_home)
    again: list[Ask | AskAgain] = [question(idempotency_key="key-one-1"), AskAgain(caller(), first.query_id)]
    aged(exchange_home, 179)
    assert [permitted(outcome).query_id for outcome in release(exchange_home, again)] == [first.query_id] * 2
    aged(exchange_home, 1)
    assert [reason(outcome) for outcome in release(exchange_home, again)] == [Reason.DATA_LIFE_OVER] * 2
    assert events(exchange_home)[-2:] == ["release:query:refused"] * 2
    sequenced(exchange_home)
    redacted = evidence.redacted(exchange_home, first.query_id, "bank")
    assert redacted is not None
    assert [step for step, _ in verify(redacted, exchange_home.keyring.policy()).shown] == [1, 2, 3, 4, 5, 6]
    permitted(release(exchange_home, [question(idempotency_key="key-two-2")])[0])
    assert uses(exchange_home) == 2


def test_a_data_life_that_was_shortened_since_binds_answers_of_before(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    consented(exchange_home)
    held(exchange_home)
    asked = question(idempotency_key="key-one-1")
    permitted(release(exchange_home, [asked])[0])
    aged(exchange_home, 20)
    permitted(release(exchange_home, [asked])[0])
    shorter = loans(data_life_days=20)
    monkeypatch.setattr(purposes, "current", lambda: shorter)
    assert reason(release(exchange_home, [asked])[0]) is Reason.DATA_LIFE_OVER


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gone": True}, Reason.PURPOSE_UNKNOWN),
        ({"entrances": frozenset({Entrance.SUBJECT})}, Reason.PURPOSE_NOT_FOR_LENDERS),
        ({"kinds": frozenset({"RATING"})}, Reason.ITEMS_OUTSIDE_PURPOSE),
    ],
)
def test_an_answer_is_not_opened_again_for_a_purpose_that_is_gone_closed_or_narrower(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], expected: Reason
) -> None:
    consented(exchange_home)
    held(exchange_home)
    asked = question(idempotency_key="key-one-1")
    first = permitted(release(exchange_home, [asked])[0])
    changed = loans(**changes)
    monkeypatch.setattr(purposes, "current", lambda: changed)
    outcomes = release(exchange_home, [asked, AskAgain(caller(), first.query_id)])
    assert [reason(outcome) for outcome in outcomes] == [expected] * 2


def test_a_ceiling_that_was_lowered_binds_at_once_though_the_version_is_the_same(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    consented(exchange_home)
    held(exchange_home)
    ceiling = purposes.current().by_code["LOAN_APPROVAL"].uses
    lower = loans(uses=replace(ceiling, strictest=1, ceiling=1))
    monkeypatch.setattr(purposes, "current", lambda: lower)
    outcomes = release(exchange_home, [question(business_no=f"LA-{n}") for n in range(2)])
    permitted(outcomes[0])
    assert reason(outcomes[1]) is Reason.USES_EXHAUSTED


def test_the_same_key_twice_in_one_batch_is_one_query(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    outcomes = release(exchange_home, [question(idempotency_key="key-one-1"), question(idempotency_key="key-one-1")])
    assert len({permitted(outcome).query_id for outcome in outcomes}) == 1
    assert uses(exchange_home) == 1


def test_requests_that_share_a_transaction_are_admitted_up_to_the_uses_left(exchange_home: Home) -> None:
    consented(exchange_home, max_uses=2)
    held(exchange_home)
    outcomes = release(exchange_home, [question(business_no=f"LA-{n}") for n in range(4)])
    assert [isinstance(outcome, Permitted) for outcome in outcomes] == [True, True, False, False]
    assert uses(exchange_home) == 2


def test_a_claim_is_answered_without_its_values(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    claims = (Claim("RATING.score", "at_least", 80), Claim("RATING.score", "at_least", "90"))
    asked = question(mode=Mode.VERIFY, items=frozenset({"RATING.score"}), claims=claims)
    answer = orjson.loads(permitted(release(exchange_home, [asked])[0]).body)
    assert [claim["holds"] for claim in answer["claims"]] == [True, False]
    assert b"86.5" not in orjson.dumps(answer)


def test_another_lenders_query_cannot_be_opened(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    first = permitted(release(exchange_home, [question()])[0])
    (outcome,) = release(exchange_home, [AskAgain(caller("别的银行", "other"), first.query_id)])
    assert isinstance(outcome, RequestRefused)
    assert outcome.code == "query-unknown"


def test_one_that_fails_fails_alone(exchange_home: Home) -> None:
    consented(exchange_home)
    consented(exchange_home, LI)
    held(exchange_home)
    subject_id = held(exchange_home, LI)
    exchange_home.datakeys.erase(subject_id, now=consented(exchange_home).created_at)
    good, bad = release(exchange_home, [question(), question(LI)])
    assert isinstance(good, Permitted)
    assert type(bad).__name__ == "KeyMissing"


def test_evidence_of_an_answer_verifies_offline_and_redacted_evidence_names_nobody(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    first = permitted(release(exchange_home, [question()])[0])
    outcome = permitted(release(exchange_home, [AskAgain(caller(), first.query_id)])[0])
    assert outcome.body == first.body
    assert evidence.full(exchange_home, outcome) is None
    sequenced(exchange_home)
    full = evidence.full(exchange_home, outcome)
    redacted = evidence.redacted(exchange_home, outcome.query_id, "bank")
    assert full is not None
    assert redacted is not None
    policy = exchange_home.keyring.policy()
    assert [step for step, _ in verify(full, policy).shown] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [step for step, _ in verify(redacted, policy).shown] == [1, 2, 3, 4, 5, 6]
    for secret in ("AA", "bank", "LOAN_APPROVAL", outcome.facts.consent_id):
        assert f'"{secret}"'.encode() not in redacted


def test_redacted_evidence_of_another_client_is_not_to_be_had(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    outcome = permitted(release(exchange_home, [question()])[0])
    sequenced(exchange_home)
    with pytest.raises(RequestRefused, match="query-unknown"):
        evidence.redacted(exchange_home, outcome.query_id, "other")


def test_a_value_the_database_cannot_hold_fails_its_own_caller_only(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    (alone,) = release(exchange_home, [question(business_no="LA\x00")])
    assert isinstance(alone, RequestRefused)
    outcomes = release(exchange_home, [question(), question(business_no="LA\x00"), question(business_no="LA-3")])
    assert [type(outcome) for outcome in outcomes] == [Permitted, RequestRefused, Permitted]
    assert uses(exchange_home) == 2


def test_an_answer_that_cannot_be_built_fails_its_own_caller_only(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    bad = question(
        mode=Mode.VERIFY, items=frozenset({"RATING.score"}), claims=(Claim("RATING.score", "at_least", "abc"),)
    )
    first, second = release(exchange_home, [bad, question(business_no="LA-2")])
    assert isinstance(first, AnswerFailed)
    assert isinstance(second, Permitted)


def test_a_database_that_is_gone_is_waited_for_once(exchange_home: Home) -> None:
    tried: list[int] = []

    def gone(_: int) -> None:
        tried.append(1)
        raise DatabaseUnavailable("gone")

    with pytest.raises(DatabaseUnavailable):
        release(exchange_home, [question(), question(), question()], at_step=gone)
    assert len(tried) == 1
