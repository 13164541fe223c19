"""How long after it was taken a consent may come in, by each way of taking it; read from taking.yml. Pure.

The doors hold to it: counter and village point (`exchange.capture.counter`), paper (`exchange.capture.paper`), chains
of devices (`consent.offline`).
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources

import yaml

from consent.declared import Table
from consent.errors import DeclarationInvalid


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds of one version."""

    version: str
    clock: timedelta
    counter_within: timedelta
    paper_within: timedelta
    paper_open: timedelta
    upload_within: timedelta
    records_at_once: int


@cache
def bounds() -> Bounds:
    """Give the bounds of this release; read once.

    Raises:
        DeclarationInvalid: taking.yml does not have the declared shape.
    """
    return read((resources.files("consent") / "taking.yml").read_text("utf-8"))


def read(text: str) -> Bounds:
    """Read bounds from yml.

    Raises:
        DeclarationInvalid: not yml, a key missing or not understood, or a figure below one.
    """
    try:
        top = Table("taking", yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise DeclarationInvalid(f"taking: not readable as yml: {error}") from error
    counter, paper, offline = top.table("counter"), top.table("paper"), top.table("offline")
    found = Bounds(
        version=top.text("version"),
        clock=timedelta(minutes=top.number("clock_minutes", least=1)),
        counter_within=_days(counter, "taken_within_days"),
        paper_within=_days(paper, "signed_within_days"),
        paper_open=_days(paper, "open_days"),
        upload_within=_days(offline, "upload_within_days"),
        records_at_once=offline.number("records_at_once", least=1),
    )
    for table in (counter, paper, offline, top):
        table.done()
    return found


def _days(table: Table, key: str) -> timedelta:
    return timedelta(days=table.number(key, least=1))
