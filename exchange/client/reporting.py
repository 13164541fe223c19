"""What a lender says back of its queries: decisions, disbursements, repayments, settlements. Flows.

What is stated of amounts lies sealed at the exchange while a consent stands. The person sees it; regulators see where
nothing came back (AQ09).
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, TypedDict, Unpack

from exchange.client.flow import Flow
from exchange.client.keys import Json
from exchange.client.session import Ask, Session

OUTCOMES_PATH: Final = "/v1/outcomes"
OutcomeKind = Literal["decision", "disbursement", "repayment", "settlement"]


class Details(TypedDict):
    """What goes with a kind: amounts in fen, terms in months; the OpenAPI document says which with which."""

    decision: NotRequired[str]
    amount_fen: NotRequired[int]
    balance_fen: NotRequired[int]
    term_months: NotRequired[int]
    repayment_status: NotRequired[str]
    five_class: NotRequired[str]
    overdue_days: NotRequired[int]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A page of this lender's reports in their order; `next` is the cursor of the following one, None at the end."""

    outcomes: tuple[Json, ...] = field(repr=False)
    next: str | None


def report_outcome(
    session: Session, query_id: str, *, reference: str, kind: OutcomeKind, happened_on: str, **details: Unpack[Details]
) -> Flow[Json]:
    """Report what became of a query: `outcome_id`, and whether the details are kept.

    Args:
        session: whose.
        query_id: from an answer of this lender's.
        reference: a code of the lender's own for this report; the same again changes nothing, so it may be repeated.
        kind: of what is reported.
        happened_on: the day in Beijing, as 2026-06-01.
        details: see `Details`.

    Raises:
        RequestWrong: not this lender's query, another report under the same reference, or details that do not fit.
    """
    body: dict[str, Any] = {"query_id": query_id, "reference": reference, "kind": kind, "happened_on": happened_on}
    response = yield from session.call(Ask("POST", OUTCOMES_PATH, json=body | dict(details), safe=True))
    kept: Json = response.json()
    return kept


def outcomes(session: Session, cursor: str | None = None, *, most: int = 100) -> Flow[Outcomes]:
    """List what this lender has reported: a page behind a cursor."""
    params = {"limit": str(most)} | ({} if cursor is None else {"cursor": cursor})
    said = (yield from session.call(Ask("GET", OUTCOMES_PATH, params=params, safe=True))).json()
    return Outcomes(tuple(said["outcomes"]), said["next"])
