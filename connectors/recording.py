"""From a table's frame, cleaned and judged, to the records that are held of it. Pure.

Rows that are held are cut into chunks; a chunk's rows become records by catalogue name, side by side or one by one.

Not here: what becomes of a row (`normalise`), who a subject is and how records are stored (`intake`, `staging`).
"""

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import repeat
from typing import Any, Final
from uuid import UUID

import pandas as pd
import pyarrow as pa

from connectors.codes import Outcome
from connectors.frames import TOLD
from connectors.normalise import TableOutcome
from registry.basis import Basis
from registry.catalogue import current as catalogue
from registry.identifiers import BY_KIND, Identifier, SubjectKind
from registry.records import NewRecord, RecordColumns

_OWN: Final = frozenset(
    "row_no sheet outcome code column subject_kind subject_id basis covered period valid_from valid_to".split()  # noqa: SIM905  # names
)


def chunks(frame: pd.DataFrame, *, kind: str, size: int) -> list[pd.DataFrame]:
    """Cut the rows that are held into chunks; of a snapshot kind, no subject's rows are divided."""
    held = frame[frame["outcome"].isin([Outcome.ACCEPTED.value, Outcome.WARNED.value])]
    if not catalogue().kinds[kind].snapshot:
        return [held.iloc[first : first + size] for first in range(0, len(held), size)]
    ordered = held.sort_values("subject_id", kind="stable").reset_index(drop=True)
    subject, _ = pd.factorize(ordered["subject_id"])
    starts = pd.Series(range(len(ordered))).groupby(subject).transform("min")
    return [chunk for _, chunk in ordered.groupby(starts // size, sort=True)]


def named(chunk: pd.DataFrame) -> list[tuple[str, str]]:
    """Give each subject of a chunk once, as its kind and its identifier, which cleaning has normalised."""
    return list(dict.fromkeys(zip(_plain(chunk["subject_kind"]), _plain(chunk["subject_id"]), strict=True)))


def identifiers(chunk: pd.DataFrame) -> list[Identifier]:
    """Give each subject of a chunk once, as the value that cleaning has proven its text to be."""
    subjects = chunk[["subject_kind", "subject_id"]].drop_duplicates()
    return [BY_KIND[SubjectKind(kind)](text) for kind, text in subjects.itertuples(index=False)]


def _held_names(chunk: pd.DataFrame, kind: str) -> list[str]:
    """Name the columns that go into payloads: not what describes the row, unless the kind has a field of that name."""
    own = _OWN - catalogue().kinds[kind].fields.keys()  # a rating's valid_to is one
    return [name for name in chunk.columns if name not in own and not name.startswith(TOLD)]


def new_records(chunk: pd.DataFrame, outcome: TableOutcome, subjects: dict[str, UUID]) -> list[NewRecord]:
    """Turn a chunk's rows into records: fields by catalogue name, those without a value left out."""
    names = _held_names(chunk, str(outcome.kind))
    columns = [_plain(chunk[name]) for name in names]
    bases = {text: Basis.parse(text) for text in chunk["basis"].unique()}
    stated = {*chunk["valid_from"].dropna(), *chunk["valid_to"].dropna()}
    days = {text: date.fromisoformat(text) for text in stated}
    meta = ["subject_id", "sheet", "row_no", "basis", "period", "code", "valid_from", "valid_to"]
    rows = zip(
        zip(*(_plain(chunk[name]) for name in meta), strict=True),
        zip(*columns, strict=True),
        _identities(chunk, str(outcome.kind)),
        strict=True,
    )
    return [
        NewRecord(
            subject_id=subjects[subject],
            kind=str(outcome.kind),
            payload={name: value for name, value in zip(names, values, strict=True) if value is not None},
            sheet=sheet,
            row_no=row_no,
            basis=bases[basis],
            quality=outcome.quality,
            period=period,
            remark=code or None,
            valid_from=days.get(start),
            valid_to=days.get(end),
            identity=identity,
        )
        for (subject, sheet, row_no, basis, period, code, start, end), values, identity in rows
    ]


def record_columns(chunk: pd.DataFrame, outcome: TableOutcome, subjects: Mapping[str, bytes]) -> RecordColumns:
    """Turn a chunk's rows into records side by side, as `new_records` does one by one; `subjects` are ids as bytes."""
    names = _held_names(chunk, str(outcome.kind))
    size = len(chunk)
    fields = {name: _plain(chunk[name]) for name in names}
    identity = [
        _plain(chunk[TOLD + name]) if TOLD + name in chunk else fields.get(name, [None] * size)
        for name in catalogue().kinds[str(outcome.kind)].identity
    ]
    return RecordColumns(
        subjects=[subjects[text] for text in _plain(chunk["subject_id"])],
        kinds=[str(outcome.kind)] * size,
        fields=fields,
        identity=list(zip(*identity, strict=True)) if identity else [()] * size,
        row_nos=_plain(chunk["row_no"]),
        sheets=_plain(chunk["sheet"]),
        bases=_plain(chunk["basis"]),
        qualities=[outcome.quality] * size,
        periods=_plain(chunk["period"]),
        remarks=[code or None for code in _plain(chunk["code"])],
        valid_from=_days(chunk["valid_from"]),
        valid_to=_days(chunk["valid_to"]),
    )


def persons(named: Iterable[tuple[str, str]]) -> list[str]:
    """Give the identifiers of those subjects of a chunk that are persons."""
    return [text for kind, text in named if kind == SubjectKind.PERSON.value and text]


def _days(column: "pd.Series[str]") -> list[date | None]:
    read: dict[str | None, date | None] = {None: None}
    texts = _plain(column)
    read |= {text: date.fromisoformat(text) for text in {*texts} - {None}}
    return [read[text] for text in texts]


def _identities(chunk: pd.DataFrame, kind: str) -> Iterable[tuple[Any, ...] | None]:
    """Give each row's identity where not all of it may be stored; None where the payload tells it."""
    names = catalogue().kinds[kind].identity
    if not any(TOLD + name in chunk for name in names):
        return repeat(None, len(chunk))
    told = [chunk.get(TOLD + name, chunk.get(name)) for name in names]
    return zip(*(repeat(None, len(chunk)) if one is None else _plain(one) for one in told), strict=True)


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Give a column as plain Python values, None where it has none."""
    values: list[Any] = pa.array(column, from_pandas=True).to_pylist()
    return values
