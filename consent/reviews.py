"""Who signed a text off: readings by named reviewers, and what a text's standing is by them.

A text counts as reviewed exactly if the last reading of these very bytes, for this purpose, version, language and form,
approved of them: a text of which one byte is another is another text. Readings are added, never changed; whoever
changes his mind is read again. What was reviewed, and the SHA-256 over the whole reading, goes to the log in the same
transaction; the reviewer's name does not, since the log holds nobody's name.

It does not stop a text from being used that nobody has reviewed: those who show one say so (`Standing.label`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from consent.errors import ReviewRefused
from consent.events import Event
from consent.evidence import Language
from consent.notices import REVIEW_MARK, Form, Notice
from registry import log
from registry.canonical import JSON, canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.suites import sha256_hex

_NAME_LEAST: Final = 2  # characters: one is an initial, and nobody is named by it
_TEXT_MOST: Final = 500
_COLUMNS: Final = (
    "review_id, purpose, version, language, form, text_sha256, reviewer, role, decision, remark, reviewed_at"
)


class Decision(StrEnum):
    """What a reviewer says. The values stand in a table; never reuse one."""

    APPROVED = "approved"
    REFUSED = "refused"


class State(StrEnum):
    """How a text stands. The values are published; never reuse one."""

    UNMARKED = "unmarked"  # written in its author's own language, and nobody has signed it off
    NEEDED = "needs-native-review"
    REVIEWED = "reviewed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Review:
    """One reading of one text. `reviewer` is a name and `role` what makes one fit for it, as the operator gave them."""

    review_id: UUID
    purpose: str
    version: str
    language: Language
    form: Form
    text_sha256: bytes
    reviewer: str
    role: str
    decision: Decision
    remark: str
    reviewed_at: datetime

    @property
    def sha256(self) -> str:
        """The SHA-256 over everything in the reading, in hexadecimal: what the log holds of it."""
        said: dict[str, JSON] = {
            "review_id": str(self.review_id), "purpose": self.purpose, "version": self.version,
            "language": self.language.value, "form": self.form.value, "text_sha256": self.text_sha256.hex(),
            "reviewer": self.reviewer, "role": self.role, "decision": self.decision.value, "remark": self.remark,
            "reviewed_at": rfc3339(self.reviewed_at),
        }  # fmt: skip
        return sha256_hex(canonical(said))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a text stands, and the reading that it stands on (None: there is none)."""

    state: State
    review: Review | None

    @property
    def label(self) -> str | None:
        """What has to be said wherever the text is shown; None if nothing has to be."""
        return REVIEW_MARK if self.state in {State.NEEDED, State.REFUSED} else None


def record(  # noqa: PLR0913  # a reading has as many parts
    tx: Transaction,
    notice: Notice,
    *,
    sha256: str,
    reviewer: str,
    role: str,
    decision: Decision,
    now: datetime,
    remark: str = "",
    actor: str = "operator",
) -> Review:
    """Keep a reading of a text, and log that there was one.

    Args:
        tx: the caller's transaction.
        notice: the text.
        sha256: of the bytes that the reviewer read, in hexadecimal; 12 digits or more.
        reviewer: name of the reviewer.
        role: what makes the reviewer fit for it, as "translator, county office of translation".
        decision: whether the text may be used as it stands.
        now: this instant.
        remark: what the reviewer said; a refusal says what has to be mended.
        actor: who enters it.

    Raises:
        ReviewRefused: the bytes that were read are not these, or nobody is named, or a refusal gives no reason.
    """
    reviewer, role, remark = (" ".join(text.split()) for text in (reviewer, role, remark))
    if len(sha256) < 12 or not notice.sha256.hex().startswith(sha256.lower()):  # noqa: PLR2004  # said above
        raise ReviewRefused("审校的不是这份文本 / what was read has other bytes than the text of this release")
    if len(reviewer) < _NAME_LEAST or len(role) < _NAME_LEAST:
        raise ReviewRefused("审校人须有姓名和身份 / a reviewer has a name and a role")
    if max(map(len, (reviewer, role, remark))) > _TEXT_MOST:
        raise ReviewRefused(
            f"姓名、身份、意见各不超过 {_TEXT_MOST} 字 / name, role, remark: {_TEXT_MOST} characters each at most"
        )
    if decision is Decision.REFUSED and not remark:
        raise ReviewRefused("不通过的，须写明要改什么 / a refusal says what has to be mended")
    review = Review(
        uuid4(), notice.purpose, notice.version, notice.language, notice.form, notice.sha256,
        reviewer, role, decision, remark, now,
    )  # fmt: skip
    tx.execute(
        f"INSERT INTO notice_review ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",  # noqa: S608  # fixed names
        (
            review.review_id, review.purpose, review.version, review.language.value, review.form.value,
            review.text_sha256, review.reviewer, review.role, review.decision.value, review.remark, review.reviewed_at,
        ),
    )  # fmt: skip
    fields: dict[str, JSON] = {
        "purpose": notice.purpose, "version": notice.version, "language": notice.language.value,
        "form": notice.form.value, "text_sha256": notice.sha256.hex(), "decision": decision.value,
        "review_sha256": review.sha256,
    }  # fmt: skip
    log.append(tx, [log.Entry(event=Event.NOTICE_REVIEWED, at=now, actor=actor, fields=fields)])
    return review


def standing(tx: Transaction, notice: Notice) -> Standing:
    """Say how one text stands now."""
    return standings(tx, [notice])[notice]


def standings(tx: Transaction, texts: Collection[Notice]) -> Mapping[Notice, Standing]:
    """Say how texts stand now."""
    return {notice: _standing(notice, found) for notice, found in readings(tx, texts).items()}


def readings(tx: Transaction, texts: Collection[Notice]) -> Mapping[Notice, list[Review]]:
    """Give all readings of these very texts, each text's in the order in which they were entered."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM notice_review WHERE text_sha256 = ANY(%s) ORDER BY position",  # noqa: S608  # fixed names
        ([notice.sha256 for notice in texts],),
    ).fetchall()
    found: dict[Notice, list[Review]] = {notice: [] for notice in texts}
    named = {(one.purpose, one.version, one.language, one.form, one.sha256): one for one in found}
    for row in rows:
        review = _review(*row)
        text = (review.purpose, review.version, review.language, review.form, review.text_sha256)
        if text in named:  # the same bytes may be read for another purpose, too
            found[named[text]].append(review)
    return found


def _review(  # noqa: PLR0913, PLR0917  # as the columns come
    review_id: UUID,
    purpose: str,
    version: str,
    language: str,
    form: str,
    text_sha256: bytes,
    reviewer: str,
    role: str,
    decision: str,
    remark: str,
    reviewed_at: datetime,
) -> Review:
    return Review(
        review_id, purpose, version, Language(language), Form(form), text_sha256,
        reviewer, role, Decision(decision), remark, reviewed_at,
    )  # fmt: skip


def _standing(notice: Notice, found: Sequence[Review]) -> Standing:
    if not found:
        return Standing(State.NEEDED if notice.needs_review else State.UNMARKED, None)
    last = found[-1]
    return Standing(State.REVIEWED if last.decision is Decision.APPROVED else State.REFUSED, last)
