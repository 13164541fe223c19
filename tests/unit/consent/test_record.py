"""What may be recorded as a consent, and what may not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from consent import purposes
from consent.errors import Fault, TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.record import NewConsent, SubjectType, Terms, end_of_period, midnight, settle
from consent.scope import Mode
from registry import catalogue

SCAN = replace(Evidence.of(EvidenceKind.PAPER_SCAN, "ab" * 32), redacted=True)
FIRST = midnight(date(2026, 1, 10))
NEW = NewConsent(
    subject_id=UUID(int=1),
    subject_type=SubjectType.HOUSEHOLD,
    recipient="青海民和农村商业银行",
    purpose="LOAN_APPROVAL",
    items=("SUBSIDY", "RATING"),
    valid_from=FIRST,
    capture=Capture(Channel.VILLAGE, "2026-01", Language.TIBETAN, SCAN),
    w_acknowledged=True,
)


def settled(new: NewConsent) -> Terms:
    return settle(new, purposes=purposes.current(), catalogue=catalogue.current())


def test_what_is_not_stated_takes_the_strictest_value_of_the_purpose() -> None:
    scope = settled(NEW).scope
    assert (scope.history_months, scope.max_uses, scope.mode) == (24, 3, Mode.SUMMARY)
    assert scope.valid_until == midnight(date(2026, 4, 11))


def test_a_class_becomes_its_fields_of_today() -> None:
    terms = settled(replace(NEW, items=("RATING",)))
    assert terms.scope.items == catalogue.current().kinds["RATING"].items
    assert terms.catalogue_version == catalogue.current().version


def test_a_consent_over_nothing_is_over_nothing() -> None:
    assert settled(replace(NEW, items=())).scope.items == frozenset()


def test_what_is_stated_may_reach_its_ceiling() -> None:
    most = replace(NEW, valid_until=midnight(date(2027, 1, 11)), history_months=60, max_uses=12, mode=Mode.REPORT)
    scope = settled(most).scope
    assert (scope.history_months, scope.max_uses, scope.mode) == (60, 12, Mode.REPORT)


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        (replace(NEW, purpose="MARKETING"), Fault.PURPOSE_UNKNOWN),
        (replace(NEW, items=("HEALTH",)), Fault.ITEM_UNKNOWN),
        (replace(NEW, purpose="MODEL_TRAINING", items=("SANZI_CONTRACT",)), Fault.ITEM_OUTSIDE_PURPOSE),
        (replace(NEW, recipient=" "), Fault.RECIPIENT_NOT_ONE),
        (replace(NEW, recipient="甲银行、乙银行"), Fault.RECIPIENT_NOT_ONE),
        (replace(NEW, history_months=61), Fault.HISTORY_TOO_LONG),
        (replace(NEW, history_months=-1), Fault.HISTORY_TOO_LONG),
        (replace(NEW, max_uses=13), Fault.TOO_MANY_USES),
        (replace(NEW, max_uses=0), Fault.TOO_MANY_USES),
        (replace(NEW, mode=Mode.MONITOR), Fault.MODE_TOO_HIGH),
        (replace(NEW, valid_until=FIRST), Fault.PERIOD_INVERTED),
        (replace(NEW, valid_until=midnight(date(2027, 1, 11)) + timedelta(seconds=1)), Fault.VALIDITY_TOO_LONG),
        (replace(NEW, valid_from=FIRST.replace(tzinfo=None)), Fault.DATE_UNREADABLE),
        (replace(NEW, capture=replace(NEW.capture, evidence=replace(SCAN, sha256=None))), Fault.EVIDENCE_MISSING),
        (
            replace(NEW, capture=replace(NEW.capture, evidence=replace(SCAN, kind=EvidenceKind.VIDEO_STATEMENT))),
            Fault.ACKNOWLEDGEMENT_NOT_WRITTEN,
        ),
    ],
)
def test_terms_beyond_the_purpose_are_refused(new: NewConsent, fault: Fault) -> None:
    with pytest.raises(TermsRefused) as refused:
        settled(new)
    assert refused.value.code is fault


def test_a_request_needs_no_evidence_yet() -> None:
    bare = replace(NEW.capture, evidence=replace(SCAN, sha256=None))
    assert settled(replace(NEW, state=State.REQUESTED, capture=bare)).capture.evidence.sha256 is None


@pytest.mark.parametrize(
    ("start", "months", "last_day"),
    [
        (date(2026, 1, 10), 12, date(2027, 1, 10)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2027, 12, 31), 2, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
    ],
)
def test_a_period_ends_with_the_day_of_the_same_number(start: date, months: int, last_day: date) -> None:
    assert end_of_period(midnight(start), months) == midnight(last_day + timedelta(days=1))


def test_days_are_days_in_beijing() -> None:
    assert midnight(date(2026, 1, 10)) == datetime(2026, 1, 9, 16, tzinfo=UTC)
    assert end_of_period(datetime(2026, 1, 9, 16, tzinfo=UTC), 1) == midnight(date(2026, 2, 11))


@pytest.mark.parametrize(
    "text",
    ["ab", "zz" * 32, "0" * 64, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "ab" * 33],
)
def test_a_hash_that_proves_nothing_is_no_evidence(text: str) -> None:
    with pytest.raises(TermsRefused) as refused:
        Evidence.of(EvidenceKind.PAPER_SCAN, text)
    assert refused.value.code is Fault.EVIDENCE_INVALID


def test_evidence_is_written_only_with_a_hash_and_of_a_written_kind() -> None:
    assert SCAN.written
    assert not Evidence.of(EvidenceKind.PAPER_SCAN, "  ").written
    assert not replace(SCAN, kind=EvidenceKind.COUNTER_POS).written


def test_no_paper_is_taken_without_the_word_that_fingerprints_were_redacted() -> None:
    bare = replace(NEW, capture=replace(NEW.capture, evidence=replace(SCAN, redacted=False)))
    with pytest.raises(TermsRefused) as refused:
        settled(bare)
    assert refused.value.code is Fault.FINGERPRINTS_NOT_REDACTED
    film = replace(SCAN, kind=EvidenceKind.VIDEO_STATEMENT, redacted=False)
    settled(replace(NEW, w_acknowledged=False, capture=replace(NEW.capture, evidence=film)))
    settled(replace(bare, register_no="SQ1"))  # the agency's own paper is not handed in


def test_a_consent_begins_soon_after_it_was_taken() -> None:
    known, items = purposes.current(), catalogue.current()
    taken = FIRST - timedelta(days=known.begins_within_days)
    settle(replace(NEW, captured_at=taken), purposes=known, catalogue=items)
    settle(NEW, purposes=known, catalogue=items, now=taken)
    settle(replace(NEW, captured_at=taken), purposes=known, catalogue=items, now=taken - timedelta(days=9))
    settle(replace(NEW, state=State.REQUESTED), purposes=known, catalogue=items, now=taken - timedelta(days=9))
    second = timedelta(seconds=1)
    for new, now in ((replace(NEW, captured_at=taken - second), None), (NEW, taken - second)):
        with pytest.raises(TermsRefused) as refused:
            settle(new, purposes=known, catalogue=items, now=now)
        assert refused.value.code is Fault.BEGINS_TOO_LATE
