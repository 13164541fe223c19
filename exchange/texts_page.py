"""The page on which the texts that people agree to are read and their reviews seen: one HTML document, whole in itself.

It lists every text by purpose, version, language and form: how it stands, with the mark `needs native review` until a
named reviewer has signed these bytes off; how hard it is to read, and which bound it passes; who signed it off. Below
each stand the text, all its readings, and the command that enters another, with the hash of what stands on the page.

It signs nothing off by itself: operators have no way to sign in over HTTP. They write it to a file (`qingqiao notices
page`); regulators fetch it at `/audit/v1/notices`. It needs nothing from elsewhere, has no script, and prints.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final

from markupsafe import Markup

from consent import purposes, readability, reviews, wordings
from consent.evidence import Language
from consent.notices import Form, Notice
from consent.reviews import Decision, Review, Standing, State
from exchange import pages
from exchange.pages import prose
from registry.canonical import b64
from registry.clock import beijing_day, rfc3339
from registry.database import Transaction
from registry.suites import sha256

STATES: Final[Mapping[State, str]] = {
    State.UNMARKED: "无需母语审校 / unmarked",
    State.NEEDED: "待母语审校 / needs native review",
    State.REVIEWED: "已审校 / reviewed",
    State.REFUSED: "未通过 / refused",
}
_DECISIONS: Final = {Decision.APPROVED: "通过 approved", Decision.REFUSED: "不通过 refused"}
_LANGUAGES: Final = {Language.CHINESE: "中文", Language.TIBETAN: "བོད་ཡིག", Language.ENGLISH: "English"}
_FORMS: Final = {Form.READ: "阅读 read", Form.ALOUD: "朗读 aloud"}
_NAMES_TITLE: Final = "数据项藏文名称"


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading, as it stands on the page."""

    day: str
    reviewer: str
    role: str
    decision: str
    remark: str


@dataclass(frozen=True, slots=True)
class Row:
    """One text, as it stands on the page."""

    anchor: str
    purpose: str
    title: str
    version: str
    language: str
    language_name: str
    form: str
    state: str
    mark: str | None
    waits: bool
    level: str
    faults: tuple[str, ...]
    sha256: str
    blocks: tuple[prose.Block, ...]
    reviews: tuple[Reading, ...]
    command: str


def page(tx: Transaction, operator: str, *, now: datetime) -> bytes:
    """Write the page, as things stand in the caller's transaction."""
    texts = wordings.reviewable()
    standings, readings = reviews.standings(tx, texts), reviews.readings(tx, texts)
    rows = [_row(notice, standings[notice], readings[notice]) for notice in texts]
    counts = Counter(row.state for row in rows)
    return pages.page(
        "texts.html",
        pages.language_of(None),
        inline=Markup(_style()),  # noqa: S704  # files of ours
        operator=operator,
        made_at=rfc3339(now),
        counts=sorted(counts.items()),
        rows=rows,
    )


def headers() -> dict[str, str]:
    """Give the headers of the page where it is answered: nothing but its own stylesheet is let in."""
    policy = (
        f"default-src 'none'; style-src 'sha256-{b64(sha256(_style().encode()))}';"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    return {**pages.headers(), "Content-Security-Policy": policy}


def _row(notice: Notice, stands: Standing, found: Sequence[Review]) -> Row:
    purpose = purposes.current().get(notice.purpose)
    level, faults = _level(notice)
    return Row(
        anchor=f"{notice.purpose}-{notice.version}-{notice.language.value}-{notice.form.value}",
        purpose=notice.purpose,
        title=_NAMES_TITLE if purpose is None else purpose.titles["zh"],
        version=notice.version,
        language=notice.language.value,
        language_name=_LANGUAGES.get(notice.language, notice.language.value),
        form=_FORMS[notice.form],
        state=STATES[stands.state],
        mark=stands.label,
        waits=stands.label is not None,
        level=level,
        faults=faults,
        sha256=notice.sha256.hex(),
        blocks=tuple(prose.blocks(notice.shown)),
        reviews=tuple(map(_reading, found)),
        command=_command(notice),
    )


def _level(notice: Notice) -> tuple[str, tuple[str, ...]]:
    """Say how hard a text is to read. Names are no sentences and have no measure."""
    if notice.purpose == wordings.ITEM_NAMES:
        return "—", ()
    found = readability.measure(notice.text, notice.language)
    level = f"句均 mean {found.mean_length:.1f}, 最长 longest {found.longest}"
    if notice.language is Language.ENGLISH:
        level += f", grade {found.grade:.1f}"
    if notice.language is Language.CHINESE:
        level += f", 生僻字 uncommon {found.uncommon_share:.1%}"
    limits = readability.bounds(notice.language, aloud=notice.form is Form.ALOUD)
    return level, tuple(readability.faults(found, limits))


def _reading(review: Review) -> Reading:
    day = beijing_day(review.reviewed_at).isoformat()
    return Reading(day, review.reviewer, review.role, _DECISIONS[review.decision], review.remark)


def _command(notice: Notice) -> str:
    aloud = " --aloud" if notice.form is Form.ALOUD else ""
    return (
        f"qingqiao notices review {notice.purpose} {notice.version} {notice.language.value}{aloud}"
        f" --sha256 {notice.sha256.hex()} --reviewer 姓名 --role 身份 --decision approved"
    )


@cache
def _style() -> str:
    return "".join(
        (resources.files("exchange.pages") / name).read_text("utf-8").strip() for name in ("page.css", "texts.css")
    )
