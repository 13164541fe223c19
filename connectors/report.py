"""The report of an intake: for each table its counts, codes and accepted amount, in the form of the answer key.

Counts and codes only. Who else takes part (the lender, the number of consents) is added by the command that knows it.
"""

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

from connectors.codes import Outcome
from connectors.normalise import TableOutcome

Json: TypeAlias = "str | int | dict[str, Json]"

_FEN_PER_YUAN = 100


def report(outcomes: Sequence[TableOutcome], *, as_of: date) -> dict[str, Json]:
    """Give `{"as_of": …, "files": {label: entry}}`, in the order of the tables."""
    return {"as_of": as_of.isoformat(), "files": {outcome.label: entry(outcome) for outcome in outcomes}}


def entry(outcome: TableOutcome) -> dict[str, Json]:
    """Give one table's entry: what it is, then its counts, or why it is blocked."""
    said: dict[str, Json] = {}
    if outcome.class_code:
        said["dataset"] = outcome.class_code
    if outcome.project:
        said["project"] = outcome.project
    if outcome.blocked:
        rows: dict[str, Json] = {"rows": outcome.rows} if outcome.class_code else {}
        return said | {"blocked": outcome.blocked} | rows | {"accepted": 0}
    said["rows"] = outcome.rows
    for end in (Outcome.ACCEPTED, Outcome.WARNED, Outcome.QUARANTINED, Outcome.REJECTED):
        said[end.value] = outcome.counts.get(end.value, 0)
        if end.value in outcome.codes:
            said[f"{end.value}_codes"] = dict(outcome.codes[end.value])
    if outcome.amount_fen is not None:
        said["accepted_amount_yuan"] = yuan(outcome.amount_fen)
    return said


def yuan(fen: int) -> str:
    """Write fen as yuan with two decimals."""
    whole, part = divmod(abs(fen), _FEN_PER_YUAN)
    return f"{'-' if fen < 0 else ''}{whole}.{part:02}"
