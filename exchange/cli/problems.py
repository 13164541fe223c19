"""`qingqiao problems`: the published problems as a page, held equal to `docs/problems.md` by a test."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from exchange.cli.context import console
from exchange.problems import CATALOGUE, Problem

_HEAD: Final = """# Problems

Every refusal of the doors is a problem (RFC 9457, `application/problem+json`): `type` is an address that opens, `code`
never changes its meaning, `title` and `title_zh` say what happened, `detail` what to do; the operator finds it by
`request_id` (also `X-Request-Id`), a refused question has a `query_id`. Where it helps to come again, `Retry-After`
says when. An exchange publishes the same at `/problems`. Errors of the token endpoint are those of RFC 6749. Written by
`qingqiao problems --out docs/problems.md`.

每一次拒绝都按 RFC 9457 作答：`code` 含义不变，`title_zh` 为中文说明，`detail` 说明如何处理，报障时请提供 `request_id`。
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("problems")(problems)


def problems(out: Annotated[Path, typer.Option(help="Where to write it, as docs/problems.md.")]) -> None:
    """Write all problems that answers may name, with cause and mend, as a page."""
    out.write_text(written(CATALOGUE.values()), encoding="utf-8")
    console.print(f"[green]✓[/green] {escape(str(out))}: {len(CATALOGUE)} problems")


def written(known: Iterable[Problem]) -> str:
    """Write the page: by status, and then by code."""
    text, status = [_HEAD], None
    for one in sorted(known, key=lambda one: (one.status, one.code)):
        if one.status != status:
            status = one.status
            text.append(f"\n## {status}\n\n| `code` | What · 说明 | Cause · 原因 | Mend · 处理 |\n|---|---|---|---|\n")
        text.append(
            f"| `{one.code}` | {one.title}<br>{one.title_zh} | {one.cause}<br>{one.cause_zh} |"
            f" {one.mend}<br>{one.mend_zh} |\n"
        )
    return "".join(text)
