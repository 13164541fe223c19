"""Headings that a declaration's patterns accept, written out: what a template calls its columns. Pure.

A column's patterns are regular expressions over whole headings. Here they are read the other way: `spelt` gives texts
that a pattern accepts, the plainest first. It knows the few things that declarations use (words, choices, optional and
repeated parts, character classes); every text that it gives is held to the pattern before it is handed on.
"""

import re
from collections.abc import Iterator
from itertools import islice, product

_MOST = 24  # ways to write one part; a bound on work


def spelt(pattern: str) -> list[str]:
    """Give headings that a pattern accepts, at most a few dozen; none for a pattern with other means."""
    try:
        found, rest = _choice(pattern, 0)
    except IndexError:
        return []
    if rest != len(pattern):
        return []
    return [text for text in dict.fromkeys(found) if text and re.fullmatch(pattern, text)]


def _choice(pattern: str, at: int) -> tuple[list[str], int]:
    branches: list[list[str]] = []
    while True:
        found, at = _sequence(pattern, at)
        branches.append(found)
        if at >= len(pattern) or pattern[at] != "|":
            return _mixed(branches), at
        at += 1


def _mixed(branches: list[list[str]]) -> list[str]:
    """Take the first of each branch, then the others, as many as there may be."""
    longest = max(map(len, branches))
    return [branch[n] for n in range(longest) for branch in branches if n < len(branch)][:_MOST]


def _sequence(pattern: str, at: int) -> tuple[list[str], int]:
    parts: list[list[str]] = []
    while at < len(pattern) and pattern[at] not in "|)":
        found, at = _atom(pattern, at)
        if pattern[at : at + 1] in {"?", "*"}:
            found, at = ["", *found], at + 1
        elif pattern[at : at + 1] == "+":
            at += 1
        parts.append(found)
    return list(islice(_joined(parts), _MOST)), at


def _joined(parts: list[list[str]]) -> Iterator[str]:
    return ("".join(pieces) for pieces in product(*reversed([part[:6] for part in reversed(parts)])))


def _atom(pattern: str, at: int) -> tuple[list[str], int]:
    if pattern[at] == "(":
        at += 3 if pattern.startswith("(?:", at) else 1
        found, at = _choice(pattern, at)
        return found, at + 1
    if pattern[at] == "[":
        end = pattern.index("]", at)
        return [pattern[at + 1]], end + 1
    if pattern[at] == "\\":
        return [pattern[at + 1]], at + 2
    return [pattern[at]], at + 1
