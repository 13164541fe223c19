"""Earlier queries of the same lender about the same subject, for a report's record of queries; read from the log.

Only the lender's own: of those of other institutions no consent speaks. They are read up to the moment of the decision
under the consents' locks, so that the same query opened again lists the same. No further back than the consent reaches,
and than `queries_months` of the layout.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from typing import Final

import orjson

from exchange.accesses import SHOWN
from exchange.release.cases import Case
from exchange.reports import layout
from exchange.reports.conditions import months_before
from exchange.reports.sections import Queried
from registry.clock import BEIJING, beijing_day, rfc3339
from registry.database import Transaction

_MODE: Final = "report"
_EARLIER: Final = (
    "SELECT given.query_id, e.at, e.fields -> 'access' ->> 'purpose'"
    " FROM json_to_recordset(%b::text::json) AS given(query_id uuid, subject_id uuid, lender text,"
    " since timestamptz, until timestamptz)"
    " JOIN log_entry e ON e.subject_id = given.subject_id AND e.event = ANY(%s)"
    " AND e.at >= given.since AND e.at < given.until AND e.fields -> 'access' ->> 'lender' = given.lender"
    " ORDER BY e.at, e.entry_id"
)


def note(tx: Transaction, cases: Sequence[Case]) -> None:
    """Keep with each report what the same lender asked about the same subject before; nothing for other modes."""
    reports = [case for case in cases if case.facts is not None and case.facts.mode == _MODE and not case.conflict]
    if not reports:
        return
    given = orjson.dumps([_wanted(case) for case in reports]).decode()
    found: dict[object, list[Queried]] = defaultdict(list)
    for query_id, at, purpose in tx.execute(_EARLIER, (given, list(SHOWN))).fetchall():
        found[query_id].append(Queried(rfc3339(at), purpose))
    for case in reports:
        if case.facts is not None:
            case.facts = replace(case.facts, queries=tuple(found[case.facts.query_id]))


def _wanted(case: Case) -> dict[str, object]:
    if case.facts is None or case.facts.asked is None:
        raise TypeError("a report is a query that says how it was asked")
    facts, asked = case.facts, case.facts.asked
    months = min(asked.history_months, layout.current().queries_months)
    since = datetime.combine(months_before(beijing_day(facts.decided_at), months), time(), BEIJING)
    return {
        "query_id": facts.query_id,
        "subject_id": facts.subject_id,
        "lender": facts.lender,
        "since": since,
        "until": facts.decided_at,
    }
