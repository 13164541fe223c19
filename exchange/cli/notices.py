"""`qingqiao notices`: the texts that people agree to, how hard they are to read, and who has signed them off.

The operator enters what a named reviewer said after reading; `--sha256` holds it to the bytes that were read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from consent import notices, readability, reviews, wordings
from consent.evidence import Language
from consent.notices import Form, Notice
from consent.reviews import Decision, Review
from exchange import texts_page
from exchange.cli.context import console, opened
from registry import clock

_NOTICES = typer.Typer(help="同意书文本 / texts that people agree to.", no_args_is_help=True)
_SHOWN_DIGITS: Final = 16

_Purpose = Annotated[str, typer.Argument(help="目的代码 / purpose, as RATING")]
_Version = Annotated[str, typer.Argument(help="文本版本 / version of the text, as 2026-03")]
_Language = Annotated[Language, typer.Argument(help="语言 / language")]
_Aloud = Annotated[bool, typer.Option("--aloud", help="朗读稿 / the one for the ear")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_NOTICES, name="notices")


@_NOTICES.command("list")
def list_texts(
    *,
    waiting: Annotated[bool, typer.Option("--waiting", help="只列待审校的 / only those that need a review")] = False,
) -> None:
    """列出文本和审校情况 / list the texts and how each stands."""
    with opened() as home, home.database.transaction() as tx:
        standings = reviews.standings(tx, wordings.reviewable())
    table = Table("purpose", "version", "language", "form", "standing", "reviewer", "sha256")
    for notice, stands in standings.items():
        if waiting and stands.label is None:
            continue
        review = stands.review
        table.add_row(
            notice.purpose,
            notice.version,
            notice.language.value,
            notice.form.value,
            texts_page.STATES[stands.state],
            "" if review is None else escape(f"{review.reviewer}，{review.reviewed_at:%Y-%m-%d}"),
            notice.sha256.hex()[:_SHOWN_DIGITS],
        )
    console.print(table)


@_NOTICES.command()
def show(purpose: _Purpose, version: _Version, language: _Language, *, aloud: _Aloud = False) -> None:
    """显示一份文本、易读程度和审校记录 / show a text, how hard it is to read, and what reviewers said."""
    notice = _notice(purpose, version, language, aloud=aloud)
    with opened() as home, home.database.transaction() as tx:
        stands, readings = reviews.standing(tx, notice), reviews.readings(tx, [notice])[notice]
    console.print(escape(notice.shown))
    if notice.purpose == wordings.ITEM_NAMES:  # names are no sentences
        console.print(f"{texts_page.STATES[stands.state]}\nsha256 {notice.sha256.hex()}")
        _say(readings)
        return
    measured = readability.measure(notice.text, language)
    console.print(
        f"{texts_page.STATES[stands.state]}\nsha256 {notice.sha256.hex()}\n"
        f"句数 / sentences {measured.sentences}, 平均 / mean {measured.mean_length:.1f},"
        f" 最长 / longest {measured.longest}"
    )
    if language is Language.CHINESE:
        console.print(f"一级字表以外的字 / uncommon characters: {measured.uncommon_share:.2%} {measured.uncommon}")
    if language is Language.ENGLISH:
        console.print(f"Flesch-Kincaid {measured.grade:.1f}")
    for fault in readability.faults(measured, readability.bounds(language, aloud=aloud)):
        console.print(f"[yellow]![/yellow] {fault}")
    _say(readings)


def _say(readings: Sequence[Review]) -> None:
    for one in readings:
        said = f"{one.reviewed_at:%Y-%m-%d} {one.decision.value}: {one.reviewer}, {one.role}. {one.remark}"
        console.print(escape(said))


@_NOTICES.command()
def page(out: Annotated[Path, typer.Argument(help="写入的 HTML 文件 / file to write, as texts.html")]) -> None:
    """写出审校页面，用浏览器打开 / write the page of all texts and reviews, to be opened in a browser."""
    with opened() as home, home.database.transaction() as tx:
        out.write_bytes(texts_page.page(tx, home.installation.operator, now=clock.now()))
    console.print(f"[green]✓[/green] {escape(str(out))}")


@_NOTICES.command()
def review(
    purpose: _Purpose,
    version: _Version,
    language: _Language,
    *,
    sha256: Annotated[
        str,
        typer.Option(help="审校人读的那份文本的 SHA-256，至少十二位 / of the bytes that were read, 12 digits or more"),
    ],
    reviewer: Annotated[str, typer.Option(help="审校人姓名 / name of the reviewer")],
    role: Annotated[str, typer.Option(help="审校人身份 / what makes the reviewer fit for it")],
    decision: Annotated[Decision, typer.Option(help="通过或不通过 / approved or refused")],
    remark: Annotated[str, typer.Option(help="意见；不通过时必填 / a refusal says what to mend")] = "",
    aloud: _Aloud = False,
) -> None:
    """登记一次审校 / enter what a named reviewer said of a text."""
    notice = _notice(purpose, version, language, aloud=aloud)
    with opened() as home, home.database.transaction() as tx:
        reviews.record(
            tx, notice, sha256=sha256, reviewer=reviewer, role=role, decision=decision, remark=remark, now=clock.now()
        )
        stands = reviews.standing(tx, notice)
    said = f"{purpose} {version} {language.value} {notice.form.value}"
    console.print(f"[green]✓[/green] {texts_page.STATES[stands.state]}: {said}")


def _notice(purpose: str, version: str, language: Language, *, aloud: bool) -> Notice:
    names = wordings.names()
    if (purpose, version, language, aloud) == (names.purpose, names.version, names.language, False):
        return names
    notice = notices.find(purpose, version, language, Form.ALOUD if aloud else Form.READ)
    if notice is None:
        raise typer.BadParameter("没有这份文本 / there is no such text (see: notices list)")
    return notice
