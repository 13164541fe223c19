"""Tags: what may be said of a person without a value, each by a declared rule, each with what it rests on. Pure.

A tag is `yes`, `no` or `unknown`, never a value. It is computed only if every item that its rule reads was permitted;
else it is withheld, with that reason. `unknown` says why: no-data, incomplete (a field that decides is not filled),
history-too-short, stale (older than the catalogue's freshness), or why the source is behind (late, failing, blocked).
Of a source that is behind or stale only a `yes` stands that one record bears out by itself: what else it says may have
changed.

Versions are files (`tags-<version>.yml`), never changed once published; a query is computed by the version that it was
decided by. A rule that names a kind or field that does not exist is refused, as is a word that is not understood.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import yaml
from pydantic import Field, ValidationError

from exchange.consistency.declared import Said as Words
from exchange.consistency.rows import Row
from exchange.consistency.selecting import Declared
from exchange.errors import RulesRefused
from exchange.reports.conditions import Condition, Moment
from registry import catalogue
from registry.canonical import JSON
from registry.catalogue import Catalogue
from registry.records import OpenedRecord

VERSIONS: Final = ("2026-06",)  # all that ever were; the last is what new queries are decided by
CURRENT: Final = VERSIONS[-1]
WITHHELD: Final = "not-asked-or-not-consented"
STALE: Final = "stale"


class Tag(Declared):
    """One tag: its name, its rule in words and as a condition, and how long it may be relied on."""

    code: str = Field(pattern=r"^[A-Z][A-Z0-9_]{2,39}$")
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    rule: Words
    good: bool
    valid_days: int | None = Field(default=None, ge=1, le=400)
    check: Condition


class _File(Declared):
    version: str
    tags: list[Tag] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Found:
    """What the tags of a version say: those that could be computed, and the codes of those that are withheld."""

    tags: tuple[dict[str, JSON], ...]
    withheld: tuple[str, ...]


@cache
def declared(version: str) -> tuple[Tag, ...]:
    """Give the tags of a version, in the order of the file; read once.

    Raises:
        RulesRefused: there is no such version, or its file is not understood.
    """
    if version not in VERSIONS:
        raise RulesRefused(f"tags: there is no version {version}")
    text = (resources.files("exchange.reports") / f"tags-{version}.yml").read_text("utf-8")
    return read(text, catalogue.current(), version)


def read(text: str, known: Catalogue, version: str) -> tuple[Tag, ...]:
    """Read tags and hold them against a catalogue.

    Raises:
        RulesRefused: wrong shape or version, a code twice, an item that does not exist or that no lender may see.
    """
    try:
        file = _File.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise RulesRefused(f"tags {version}: {error}") from error
    if file.version != version:
        raise RulesRefused(f"tags {version}: the file says that it is {file.version}")
    codes = [tag.code for tag in file.tags]
    if len(set(codes)) < len(codes):
        raise RulesRefused(f"tags {version}: a code is declared twice")
    for tag in file.tags:
        kind = known.kinds.get(tag.check.kind)
        unknown = tag.check.items - (kind.items if kind else frozenset())
        if unknown:
            raise RulesRefused(
                f"tags {version}: {tag.code} reads {', '.join(sorted(unknown))}, which no lender may see"
            )
    return tuple(file.tags)


def computed(  # what a tag may depend on
    version: str,
    items: frozenset[str],
    records: Sequence[OpenedRecord],
    known: Catalogue,
    *,
    moment: Moment,
    partial: Mapping[str, str] = MappingProxyType({}),
    disputed: Mapping[bytes, Sequence[str]] = MappingProxyType({}),
) -> Found:
    """Say what opened records say to each tag of a version.

    Args:
        version: which tags.
        items: what was permitted; a tag that reads anything else is withheld.
        records: what was opened: exactly the permitted items.
        known: the catalogue.
        moment: as of which day, and how far back the consent reaches.
        partial: kinds whose source is behind, each with its reason.
        disputed: by commitment, which items of a record its subject disputes.
    """
    by_kind: dict[str, list[OpenedRecord]] = defaultdict(list)
    for record in records:
        by_kind[record.visible.kind].append(record)
    tags, withheld = [], []
    for tag in declared(version):
        if not tag.check.items <= items:
            withheld.append(tag.code)
            continue
        held = _of_last_period(by_kind.get(tag.check.kind, []), snapshot=known.kinds[tag.check.kind].snapshot)
        tags.append(_computed(tag, held, known, moment, partial.get(tag.check.kind), disputed))
    return Found(tuple(tags), tuple(withheld))


def _computed(  # the same
    tag: Tag,
    held: Sequence[OpenedRecord],
    known: Catalogue,
    moment: Moment,
    behind: str | None,
    disputed: Mapping[bytes, Sequence[str]],
) -> dict[str, JSON]:
    kind = known.kinds[tag.check.kind]
    of_row = {record.visible.ref: record for record in held}
    said = tag.check.asked([Row(ref, kind.code, record.fields) for ref, record in of_row.items()], moment)
    as_of = max((record.visible.provenance.as_of for record in held), default=None)
    stale = as_of is not None and as_of < moment.today - timedelta(days=kind.freshness_days)
    holds, reason = said.holds, said.reason
    stands = holds is True and tag.check.asks == "some" and not stale
    if holds is not None and (stale or behind) and not stands:
        holds, reason = None, STALE if stale else behind
    rests_on = [of_row[row.ref].visible for row in said.rests_on] if holds is not None else []
    items = {item.partition(".")[2] for item in tag.check.items}
    marked = any(f"{kind.code}.{name}" in disputed.get(one.commitment, ()) for one in rests_on for name in items)
    told: dict[str, JSON] = {
        "tag": tag.code,
        "zh": tag.zh,
        "en": tag.en,
        "rule": {"zh": tag.rule.zh, "en": tag.rule.en},
        "value": "unknown" if holds is None else "yes" if holds else "no",
        "good": None if holds is None else holds is tag.good,
        "items": sorted(tag.check.items),
        "sources": [kind.class_code],
        "as_of": as_of.isoformat() if as_of else None,
        "valid_until": _valid_until(as_of, tag.valid_days or kind.freshness_days),
        "quality": max((one.quality for one in rests_on), default=None),
        "rests_on": sorted(one.commitment.hex() for one in rests_on),
    }
    if holds is None:
        told["reason"] = reason
    elif marked:
        told["disputed"] = True
    return told


def _of_last_period(held: Sequence[OpenedRecord], *, snapshot: bool) -> Sequence[OpenedRecord]:
    """Of a snapshot kind only the last period counts: an older set says what was, not what is."""
    if not snapshot or not held:
        return held
    last = max(record.visible.period for record in held)
    return [record for record in held if record.visible.period == last]


def _valid_until(as_of: date | None, days: int) -> str | None:
    return None if as_of is None else (as_of + timedelta(days=days)).isoformat()
