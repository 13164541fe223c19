"""What travels with a person's data into every answer: marks of disputes (异议标注), and the person's statement.

Both are read in the gate's own transaction, after the locks of the consents are held, and never remembered: a dispute
takes the same locks (`exchange.disputes`), so every answer that is decided after its commit carries the mark. A fresh
query's row notes what was said with it; an answer that is opened again says what stands as of then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from consent import ledger, uses
from exchange.answer import Beside, Noted, Statement
from exchange.home import Home
from exchange.release.cases import Case
from exchange.release.words import Where, open_words
from registry import store
from registry.clock import rfc3339
from registry.database import Transaction
from registry.verify import NO_VALUES

_MARKS: Final = (  # of one subject: [record_id, version, item] for each version of `versions` that is disputed
    "SELECT coalesce(jsonb_agg(jsonb_build_array(d.record_id, (v ->> 1)::int, d.item)"
    " ORDER BY d.record_id, (v ->> 1)::int, d.item), '[]')"
    " FROM dispute d, jsonb_array_elements({versions}) v WHERE d.marked AND d.subject_id = {subject}"
    " AND d.record_id = (v ->> 0)::uuid AND (v ->> 1)::int >= d.version"
    " AND (d.until_version IS NULL OR (v ->> 1)::int <= d.until_version)"
)
_STATEMENT: Final = (
    "SELECT jsonb_build_object('id', s.statement_id, 'at', s.made_at, 'sealed', encode(s.sealed, 'hex'))"
    " FROM subject_statement s WHERE s.subject_id = {subject} AND s.ended_at IS NULL"
)
MARKS_OF_GIVEN: Final = _MARKS.format(versions="given.records -> 'versions'", subject="given.subject_id")
STATEMENT_OF_ROW: Final = _STATEMENT.format(subject="q.subject_id")
_MARKS_OF_ROW: Final = _MARKS.format(versions="q.records -> 'versions'", subject="q.subject_id")
_AGAIN: Final = (
    f"SELECT q.query_id, ({_MARKS_OF_ROW}),"  # noqa: S608  # fixed texts
    f" ({STATEMENT_OF_ROW}) FROM query q WHERE q.query_id = ANY(%s)"
)


def hold_answers(tx: Transaction, subject_id: UUID) -> None:
    """Keep the gate from deciding about a subject until the transaction ends; wait for what it decides now.

    The subject first, so that no consent is added meanwhile, then its consents: the order of every change of them.
    """
    store.hold_subjects(tx, [subject_id])
    given = {consent.terms.scope.recipient for consent in ledger.list_for_subject(tx, subject_id)}
    uses.lock(tx, [subject_id], given)


def note_again(tx: Transaction, cases: Sequence[Case]) -> None:
    """Read what stands beside answers that are opened again: their queries have been written before."""
    again = [case for case in cases if case.versions is not None and case.open and case.facts is not None]
    if not again:
        return
    rows = tx.execute(_AGAIN, (list({case.facts.query_id for case in again if case.facts}),)).fetchall()
    found = {query_id: (marks, statement) for query_id, marks, statement in rows}
    for case in again:
        if case.facts is not None:
            note(case, *found[case.facts.query_id])


def note(
    case: Case, marks: Sequence[Sequence[Any]], statement: Mapping[str, Any] | None, *, noted: Noted | None = None
) -> None:
    """Keep with a case what stands beside its answer: marks in clear, the statement still sealed.

    Of a query that was decided just now also what is `noted` of the quality of its records.
    """
    if case.facts is None:
        raise TypeError("only a query that was permitted has something beside its answer")
    disputed: dict[tuple[UUID, int], list[str]] = {}
    for record_id, version, item in marks:
        if item in case.facts.items:
            disputed.setdefault((UUID(record_id), version), []).append(item)
    case.facts = replace(case.facts, beside=Beside(disputed), noted=noted or case.facts.noted)
    case.statement = statement if case.facts.mode not in NO_VALUES else None


def open_statements(home: Home, cases: Sequence[Case]) -> None:
    """Open the statements of cases that were permitted; only where there are some is the key store asked."""
    sealed = {
        (case.facts.subject_id, Where.STATEMENT, UUID(case.statement["id"])): bytes.fromhex(case.statement["sealed"])
        for case in cases
        if case.facts is not None and case.statement is not None and case.open and not case.conflict
    }
    opened = open_words(home, sealed) if sealed else {}
    for case in cases:
        if case.facts is None or case.statement is None:
            continue
        text = opened.get((case.facts.subject_id, Where.STATEMENT, UUID(case.statement["id"])))
        if text is not None:
            said = Statement(text, rfc3339(datetime.fromisoformat(case.statement["at"])))
            case.facts = replace(case.facts, beside=replace(case.facts.beside, statement=said))
