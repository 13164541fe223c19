"""Who signed a text off, against a real database: exactly these bytes, by a named reviewer, or not at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consent import notices, reviews
from consent.errors import ReviewRefused
from consent.evidence import Language
from consent.notices import REVIEW_MARK, Form, Notice
from consent.reviews import Decision, Review, State
from registry.database import Database
from registry.suites import sha256

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)
NAME, ROLE = "卓玛", "州编译局 译审"


def text(language: Language = Language.TIBETAN, form: Form = Form.READ, purpose: str = "RATING") -> Notice:
    found = notices.find(purpose, "2026-03", language, form)
    assert found is not None
    return found


def read(database: Database, notice: Notice, decision: Decision = Decision.APPROVED, **other: Any) -> Review:
    said: dict[str, Any] = {
        "sha256": notice.sha256.hex(),
        "reviewer": NAME,
        "role": ROLE,
        "remark": "",
        "now": NOW,
    } | other
    with database.transaction() as tx:
        return reviews.record(tx, notice, decision=decision, **said)


def stands(database: Database, notice: Notice) -> reviews.Standing:
    with database.transaction() as tx:
        return reviews.standing(tx, notice)


def entries(database: Database) -> list[Any]:
    with database.transaction() as tx:
        found = "SELECT fields, actor FROM log_entry WHERE event = 'consent:notice:reviewed' ORDER BY at"
        return tx.execute(found).fetchall()


@pytest.mark.parametrize(
    ("language", "state", "label"),
    [(Language.TIBETAN, State.NEEDED, REVIEW_MARK), (Language.CHINESE, State.UNMARKED, None)],
)
def test_a_marked_text_waits_for_a_reviewer_and_says_so(
    database: Database, language: Language, state: State, label: str | None
) -> None:
    found = stands(database, text(language))
    assert (found.state, found.review, found.label) == (state, None, label)


def test_a_text_is_reviewed_exactly_if_a_reading_names_these_bytes(database: Database) -> None:
    notice = text()
    review = read(database, notice)
    assert stands(database, notice) == reviews.Standing(State.REVIEWED, review)
    assert stands(database, notice).label is None
    changed = notice.text.replace("།", "༎", 1)
    others = [
        replace(notice, text=changed, sha256=sha256(changed.encode())),
        text(form=Form.ALOUD),
        text(purpose="REPAIR"),
        replace(notice, purpose="REPAIR"),  # the same bytes for another purpose, version, language or form
        replace(notice, version="2026-04"),
        replace(notice, language=Language.MONGOLIAN),
        replace(notice, form=Form.ALOUD),
    ]
    for other in others:
        assert stands(database, other).state is State.NEEDED
    with database.transaction() as tx:
        assert [one.state for one in reviews.standings(tx, [notice, *others]).values()] == [
            State.REVIEWED,
            *[State.NEEDED] * len(others),
        ]


def test_the_last_reading_stands_whatever_its_clock_said(database: Database) -> None:
    notice = text()
    read(database, notice)
    refused = read(database, notice, Decision.REFUSED, remark="第三段有错字", now=NOW - timedelta(days=1))
    assert stands(database, notice) == reviews.Standing(State.REFUSED, refused)
    assert stands(database, notice).label == REVIEW_MARK
    again = read(database, notice, reviewer="扎西")
    assert stands(database, notice) == reviews.Standing(State.REVIEWED, again)
    with database.transaction() as tx:
        assert [one.decision for one in reviews.readings(tx, [notice])[notice]] == [
            Decision.APPROVED, Decision.REFUSED, Decision.APPROVED
        ]  # fmt: skip


def test_a_text_of_the_authors_own_language_can_be_refused_too(database: Database) -> None:
    notice = text(Language.CHINESE)
    read(database, notice, Decision.REFUSED, remark="太长")
    assert stands(database, notice).label == REVIEW_MARK


def test_the_log_holds_the_reading_by_its_hash_and_nobodys_name(database: Database) -> None:
    notice = text()
    review = read(database, notice, remark="可以用")
    ((fields, actor),) = entries(database)
    assert actor == "operator"
    assert fields == {
        "purpose": "RATING",
        "version": "2026-03",
        "language": "bo",
        "form": "read",
        "text_sha256": notice.sha256.hex(),
        "decision": "approved",
        "review_sha256": review.sha256,
    }
    with database.transaction() as tx:
        (kept,) = reviews.readings(tx, [notice])[notice]
        assert kept == review
        assert kept.sha256 == review.sha256
        tx.execute("UPDATE notice_review SET reviewer = '别人'")
        (bent,) = reviews.readings(tx, [notice])[notice]
    assert bent.sha256 != fields["review_sha256"]


def test_a_reading_that_is_rolled_back_leaves_no_entry(database: Database) -> None:
    notice = text()
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        reviews.record(
            tx, notice, sha256=notice.sha256.hex(), reviewer=NAME, role=ROLE, decision=Decision.APPROVED, now=NOW
        )
        raise ZeroDivisionError
    assert entries(database) == []
    assert stands(database, notice).state is State.NEEDED


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"sha256": "0" * 64}, "other bytes"),
        ({"sha256": ""}, "other bytes"),
        ({"sha256": text().sha256.hex()[:11]}, "other bytes"),
        ({"sha256": text(form=Form.ALOUD).sha256.hex()}, "other bytes"),
        ({"reviewer": "  "}, "a name and a role"),
        ({"reviewer": "卓"}, "a name and a role"),
        ({"role": ""}, "a name and a role"),
        ({"remark": "长" * 501}, "500 characters"),
        ({"decision": Decision.REFUSED, "remark": " "}, "what has to be mended"),
    ],
)
def test_nobody_signs_off_unnamed_unread_or_without_a_reason(
    database: Database, wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ReviewRefused, match=reason):
        read(database, text(), **{"decision": Decision.APPROVED, **wrong})
    assert entries(database) == []
    assert stands(database, text()).state is State.NEEDED


def test_names_and_remarks_are_kept_as_one_line(database: Database) -> None:
    review = read(database, text(), reviewer=" 卓玛\n ", remark="第一\n\n第二", sha256=text().sha256.hex()[:12].upper())
    assert (review.reviewer, review.remark) == (NAME, "第一 第二")
