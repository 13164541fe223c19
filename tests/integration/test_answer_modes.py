"""Every mode of answer over a real database: what it tells, what it lists as withheld, what its evidence shows."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from jsonschema import Draft202012Validator

from consent.decision import Reason
from consent.evidence import Channel
from consent.scope import Mode
from exchange import consents, evidence
from exchange.home import Home
from exchange.release import AskAgain, Outcome, Permitted, Refused, release
from exchange.reports import schemas
from registry import jws
from registry.canonical import canonical
from registry.keyring import Purpose
from registry.profile import Claim
from registry.records import Payload
from registry.verify import ANSWER_TYPE, EvidenceRefused, verify
from tests.people import RATING, SUBSIDY, caller, consented, held, question, sequenced

STAFF = ("u-1027", "credit")
EXPIRED: Payload = {**RATING, "valid_to": "2020-01-31", "head_name": "扎西顿珠"}
PAID: Payload = {**SUBSIDY, "pay_status": "paid", "payee_name": "扎西顿珠"}
ALL = ("SUBSIDY", "RATING", "GRASS")


def permitted(outcome: Outcome) -> Permitted:
    assert isinstance(outcome, Permitted), outcome
    return outcome


def asked(home: Home, mode: Mode, **changes: Any) -> tuple[Permitted, dict[str, Any]]:
    """One answer in a mode, and what it says; it fits the published form."""
    outcome = permitted(release(home, [question(mode=mode, staff=STAFF, **changes)])[0])
    said = orjson.loads(outcome.body)
    fits(mode, said)
    return outcome, said


def fits(mode: Mode, said: Mapping[str, Any]) -> None:
    schema = schemas.of(mode)
    Draft202012Validator.check_schema(schema)
    found = Draft202012Validator(schema).iter_errors(said)
    faults = [f"{list(one.absolute_path)}: {one.message[:200]}" for one in found]
    assert faults == []


def given(home: Home, *, items: tuple[str, ...] = ALL, **terms: Any) -> str:
    """A person whose consent allows a report, with a payment and an expired rating."""
    consent = consented(home, items=items, mode=Mode.REPORT, history_months=36, by_register=True, **terms)
    held(home, payloads=[("SUBSIDY", PAID), ("RATING", EXPIRED)])
    return consent.consent_id


def section(said: Mapping[str, Any], code: str) -> Mapping[str, Any]:
    return next(one for one in said["sections"] if one["code"] == code)


def proven(home: Home, first: Permitted) -> bytes:
    """Evidence of an answer, as the lender gets it; it holds."""
    sequenced(home)
    outcome = permitted(release(home, [AskAgain(caller(), first.query_id)])[0])
    raw = evidence.full(home, outcome)
    assert raw is not None
    verify(raw, home.keyring.policy())
    return raw


def test_every_answer_fits_the_form_that_is_published_for_its_mode(exchange_home: Home) -> None:
    given(exchange_home)
    claims = (Claim("RATING.grade", "equals", "AA"), Claim("SUBSIDY.amount_paid", "at_least", 10**6))
    items = frozenset(claim.item for claim in claims)
    for mode in schemas.MODES:
        more = {"claims": claims, "items": items} if mode is Mode.VERIFY else {}
        _, said = asked(exchange_home, mode, **more)
        for other in set(schemas.MODES) - {mode}:
            assert not Draft202012Validator(schemas.of(other)).is_valid(said)


def test_tags_tell_no_value_and_each_names_records_of_the_answer(exchange_home: Home) -> None:
    given(exchange_home)
    outcome, said = asked(exchange_home, Mode.TAGS)
    found = {tag["tag"]: tag for tag in said["tags"]}
    assert found["SUBSIDY_NEVER_RETURNED"]["value"] == "yes"
    assert found["RATING_A_OR_BETTER"]["value"] == "no"
    assert (found["GRASS_WARDEN"]["value"], found["GRASS_WARDEN"]["reason"]) == ("unknown", "no-data")
    commitments = {record["commitment"] for record in said["records"]}
    assert all(set(tag["rests_on"]) <= commitments for tag in said["tags"])
    assert all(set(record) == {"commitment"} for record in said["records"])
    for value in (b"120050", b"86.5", "扎西".encode(), b"2026-05-08", b'"AA"'):
        assert value not in outcome.body


def test_tags_and_yes_or_no_list_what_they_withhold_with_the_reason(exchange_home: Home) -> None:
    given(exchange_home, items=("SUBSIDY.pay_status", "RATING.grade"))
    _, said = asked(exchange_home, Mode.TAGS)
    withheld = {one["item"]: one["reason"] for one in said["withheld"]}
    assert withheld["SUBSIDY.amount_paid"] == "not-asked-or-not-consented"
    assert withheld["SUBSIDY.pay_status"] == withheld["RATING.grade"] == "mode-tells-no-values"
    assert {one["tag"] for one in said["withheld_tags"]} >= {"RATING_A_OR_BETTER", "SUBSIDY_THREE_YEARS"}
    claim = Claim("RATING.grade", "equals", "AA")
    _, said = asked(exchange_home, Mode.VERIFY, claims=(claim,), items=frozenset({claim.item}))
    withheld = {one["item"]: one["reason"] for one in said["withheld"]}
    assert (withheld["RATING.grade"], withheld["RATING.score"]) == (
        "mode-tells-no-values",
        "not-asked-or-not-consented",
    )


def test_a_report_has_all_its_sections_and_says_why_one_is_empty(exchange_home: Home) -> None:
    given(exchange_home)
    _, said = asked(exchange_home, Mode.REPORT)
    assert [one["number"] for one in said["sections"]] == list(range(15))
    states = {one["code"]: (one["state"], one["reason"]) for one in said["sections"]}
    assert states["rating"] == states["subsidies"] == ("given", None)
    assert states["means"] == ("withheld", "no-data")  # pasture was consented to, and there is none
    assert states["public"] == ("withheld", "not-asked-or-not-consented")
    reasons = {one["item"]: (one["reason"], one["section"]) for one in said["withheld"]}
    assert reasons["GRASS.pasture_area"] == ("no-data", 3)
    assert reasons["JUDICIAL.case_no"] == ("not-asked-or-not-consented", 8)
    assert "score" not in said
    assert "score" not in section(said, "overview")["overview"]


def test_a_report_says_who_asked_on_what_consent_and_masks_the_person(exchange_home: Home) -> None:
    consent_id = given(exchange_home)
    outcome, said = asked(exchange_home, Mode.REPORT)
    head = said["report"]
    assert head["number"] == said["query_id"] == str(outcome.query_id)
    assert head["staff"] == {"user_id": "u-1027", "department": "credit"}
    assert (said["consent_id"], head["history_months"]) == (consent_id, 36)
    assert head["subject"] == {"kind": "person", "name": "扎**", "region": None}
    assert "征信报告" in said["notice"]
    assert "不是征信报告" in said["notice"]
    assert "征信" not in head["title"]["zh"]
    assert "各自另行同意" in head["about"]["zh"]


def test_what_has_expired_says_so_in_place_and_among_the_warnings(exchange_home: Home) -> None:
    given(exchange_home)
    _, said = asked(exchange_home, Mode.REPORT)
    (entry,) = section(said, "rating")["entries"]
    assert [(mark["mark"], mark["zh"], mark["on"]) for mark in entry["marks"]] == [("expired", "已过期", "2020-01-31")]
    warnings = section(said, "warnings")["warnings"]
    assert [(one["warning"], one["kind"]) for one in warnings if "record" in one] == [("expired", "RATING")]


def test_no_line_of_a_report_is_without_its_provenance(exchange_home: Home) -> None:
    given(exchange_home)
    _, said = asked(exchange_home, Mode.REPORT)
    provenance = {one["record"]: one for one in section(said, "notes")["provenance"]}
    shown = {entry["record"] for one in said["sections"] for entry in one.get("entries", ())}
    assert shown == set(provenance) == {record["commitment"] for record in said["records"]}
    for one in provenance.values():
        assert all(one[name] for name in ("provider", "source", "business_date", "taken_in_on", "quality", "catalogue"))


def test_every_value_of_a_report_stands_in_one_section(exchange_home: Home) -> None:
    given(exchange_home)
    _, said = asked(exchange_home, Mode.REPORT)
    placed = [(e["record"], item) for one in said["sections"] for e in one.get("entries", ()) for item in e["items"]]
    filled = [
        (record["commitment"], f"{record['kind']}.{name}")
        for record in said["records"]
        for name, value in record["fields"].items()
        if value is not None
    ]
    assert sorted(placed) == sorted(filled)


def test_a_report_lists_this_lenders_earlier_queries_and_no_others(exchange_home: Home) -> None:
    given(exchange_home)
    consented(exchange_home, recipient="别的银行", mode=Mode.REPORT)
    asked(exchange_home, Mode.SUMMARY)
    permitted(release(exchange_home, [question(presented=caller("别的银行", "other"))])[0])
    _, said = asked(exchange_home, Mode.REPORT)
    told = section(said, "queries")
    assert [one["purpose"] for one in told["queries"]] == ["LOAN_APPROVAL"]
    assert "其他机构" in told["lacks"][0]["zh"]
    assert "别的银行" not in orjson.dumps(said).decode()


def test_a_report_and_tags_opened_again_are_the_same_bytes(exchange_home: Home) -> None:
    given(exchange_home, max_uses=9)
    for mode in (Mode.TAGS, Mode.REPORT):
        key = f"key-{mode.value}-1"
        first, _ = asked(exchange_home, mode, idempotency_key=key)
        asked(exchange_home, Mode.SUMMARY)  # what is asked in between is not in the first report
        again, _ = asked(exchange_home, mode, idempotency_key=key)
        assert (again.body, again.signature) == (first.body, first.signature)


@pytest.mark.parametrize("mode", [Mode.TAGS, Mode.REPORT])
def test_no_mode_above_that_of_the_consent_is_answered(exchange_home: Home, mode: Mode) -> None:
    lower = {Mode.TAGS: Mode.VERIFY, Mode.REPORT: Mode.SUMMARY}[mode]
    consented(exchange_home, mode=lower)
    held(exchange_home)
    (outcome,) = release(exchange_home, [question(mode=mode, staff=STAFF)])
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.MODE_TOO_HIGH
    consented(exchange_home, mode=mode, began=timedelta(0))
    permitted(release(exchange_home, [question(mode=mode, staff=STAFF)])[0])


@pytest.mark.parametrize("mode", [Mode.TAGS, Mode.REPORT])
def test_evidence_of_the_mode_is_checked_offline(exchange_home: Home, mode: Mode) -> None:
    given(exchange_home)
    first, said = asked(exchange_home, mode)
    raw = proven(exchange_home, first)
    assert orjson.loads(raw)["answer"] == said
    opened = {name for record in orjson.loads(raw)["records"] for name in record["opened"]}
    assert (opened == {"subject"}) is (mode is Mode.TAGS)
    shown = verify(raw, exchange_home.keyring.policy()).not_shown
    assert any("tags, marks, warnings" in one for one in shown)


def _entry(said: dict[str, Any]) -> dict[str, Any]:
    """The first line of the first section that has one."""
    return next(one["entries"][0] for one in said["sections"] if one.get("entries"))


Bend = Callable[[dict[str, Any]], object]
BENT: dict[tuple[Mode, str], Bend] = {
    (Mode.TAGS, "a tag on another record"): lambda said: said["tags"][0].update(rests_on=["ab" * 32]),
    (Mode.TAGS, "a tag on another item"): lambda said: said["tags"][0].update(items=["JUDICIAL.case_no"]),
    (Mode.TAGS, "no tags"): lambda said: said.pop("tags"),
    (Mode.TAGS, "a value in tags"): lambda said: said["records"][0].update(fields={"grade": "AAA"}),
    (Mode.REPORT, "tags beside a report"): lambda said: said.update(tags=[]),
    (Mode.REPORT, "a line that no record gives"): lambda said: _entry(said).update(items=["RATING.score"]),
    (Mode.REPORT, "another provider"): lambda said: said["sections"][14]["provenance"][0].update(provider="别的局"),
    (Mode.REPORT, "other staff"): lambda said: said["report"]["staff"].update(user_id="u-9"),
    (Mode.REPORT, "another number"): lambda said: said["report"].update(number=str(uuid4())),
    (Mode.REPORT, "no sections"): lambda said: said.pop("sections"),
    (Mode.REPORT, "a longer reach"): lambda said: said["report"].update(history_months=60),
}


@pytest.mark.parametrize(("mode", "change"), BENT)
def test_an_exchange_that_lies_about_what_an_answer_rests_on_is_found_out(
    exchange_home: Home, mode: Mode, change: str
) -> None:
    given(exchange_home, items=("SUBSIDY", "RATING.grade", "RATING.valid_to", "RATING.eval_date"))
    first, _ = asked(exchange_home, mode)
    parts = orjson.loads(proven(exchange_home, first))
    BENT[mode, change](parts["answer"])
    key = exchange_home.keyring.signing(Purpose.ANSWER)
    parts["signature"] = jws.sign_detached(key, key.key_id, canonical(parts["answer"]), ANSWER_TYPE)
    with pytest.raises(EvidenceRefused) as refused:
        verify(canonical(parts) + b"\n", exchange_home.keyring.policy())
    assert refused.value.step == 8


def test_after_a_withdrawal_neither_is_opened_again(exchange_home: Home) -> None:
    consent_id = given(exchange_home)
    first, _ = asked(exchange_home, Mode.REPORT)
    consents.withdraw(exchange_home, consent_id, Channel.VILLAGE, actor="test")
    (outcome,) = release(exchange_home, [AskAgain(caller(), first.query_id, form="pdf")])
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.WITHDRAWN
