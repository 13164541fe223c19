"""What the rules do not check, and why: silence must never look like a pass. Pure.

A rule is not checked in part, or not at all, because
  1. no class holds what it would need; its declaration says so (`lacks`)
  2. what it compares with was never delivered to this installation: nothing can be found then

What was delivered is a matter of kinds of data, never of persons: it says nothing of who has consented.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from exchange.consistency.declared import Rule, Said, current
from registry import catalogue

_WHOLE: Final = Said(zh="未检查", en="not checked")
_PART: Final = Said(zh="未全部检查", en="not checked in full")


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A rule that is not checked: in part, or (`whole`) not at all. `why` begins with that very word."""

    rule: str
    whole: bool
    why: Said


def unchecked(delivered: Collection[str], *, about: Collection[str] | None = None) -> list[Unchecked]:
    """Say what is not checked, in the order of rules.

    Args:
        delivered: the kinds of which somebody has delivered something.
        about: only rules that flag records of these kinds; None for all rules.
    """
    found: list[Unchecked] = []
    for _, rule in sorted(current().items()):
        if rule.records is None or (about is not None and rule.records.kind not in about):
            continue  # what names a code is checked by intake, on each row that comes
        found += _of(rule, delivered)
    return found


def _of(rule: Rule, delivered: Collection[str]) -> Iterator[Unchecked]:
    for lack in rule.lacks:  # 1
        yield _told(rule, lack, whole=lack.whole)
    if rule.records is None or rule.check is None:
        return
    compared = list(dict.fromkeys(one.kind for one in rule.check.counterparts))
    missing = [kind for kind in compared if kind not in delivered]
    own = [] if rule.records.kind in delivered else [rule.records.kind]
    if own or missing:  # 2
        titles = [catalogue.current().kinds[kind].titles for kind in [*own, *missing]]
        names = Said(zh="、".join(one["zh"] for one in titles), en=", ".join(one["en"] for one in titles))
        why = Said(zh=f"尚无任何单位报送{names.zh}", en=f"nobody has delivered: {names.en}")
        yield _told(rule, why, whole=bool(own) or len(missing) == len(compared))


def _told(rule: Rule, why: Said, *, whole: bool) -> Unchecked:
    said = _WHOLE if whole else _PART
    return Unchecked(rule.id, whole, Said(zh=f"{said.zh}：{why.zh}", en=f"{said.en}: {why.en}"))
