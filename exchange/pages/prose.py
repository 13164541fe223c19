"""The few marks that our texts use, read into blocks: headings, paragraphs, lists, bold words. Pure.

No mark becomes HTML here: a template writes the blocks, and escapes every word of them. What is not one of these marks
stays as it is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """Some words, and whether they are bold."""

    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, or a list with its entries."""

    kind: Literal["heading", "paragraph", "list"]
    spans: tuple[Span, ...] = ()
    entries: tuple[tuple[Span, ...], ...] = field(default=())


def blocks(text: str) -> list[Block]:
    """Read a text into blocks, in their order."""
    found: list[Block] = []
    for part in re.split(r"\n\s*\n", _COMMENT.sub("", text)):
        found += _blocks_of([line.strip() for line in part.splitlines() if line.strip()])
    return found


def _blocks_of(lines: list[str]) -> Iterator[Block]:
    said: list[str] = []
    entries: list[tuple[Span, ...]] = []
    for line in lines:
        if line.startswith("- "):
            entries.append(_spans(line[2:]))
        elif line.startswith("#"):
            yield Block("heading", _spans(line.lstrip("#").strip()))
        elif entries:
            entries[-1] = (*entries[-1], Span(" "), *_spans(line))
        else:
            said.append(line)
    if said:
        yield Block("paragraph", _spans("\n".join(said)))
    if entries:
        yield Block("list", entries=tuple(entries))


def _spans(text: str) -> tuple[Span, ...]:
    pieces = _BOLD.split(text)
    return tuple(Span(piece, bold=bool(place % 2)) for place, piece in enumerate(pieces) if piece)
