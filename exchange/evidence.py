"""The file that proves an answer: assembled here, checked by `registry.verify` without us.

  full       for the lender: receipt, answer, openings of every served field and of the subject, and all proofs
  redacted   for anyone: entries, record commitments and proofs, without a value, a lender or a subject

Both rest on one checkpoint. While it does not cover every entry, there is no evidence yet (None; the door says 202).
Record headers name source, file digest and row, no person. The full form is built from what the gate opened, by the
same act that decided and logged it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from consent import ledger
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home
from exchange.release import Permitted
from registry import log, merkle, store
from registry.canonical import canonical
from registry.commitments import SUBJECT
from registry.database import Transaction
from registry.records import OpenedRecord, RecordRef, VisibleRecord
from registry.verify import ACCESS_OPENED, CHUNK_OPENED, CONSENT_OPENED, FORMAT, NO_VALUES


def full(home: Home, permitted: Permitted) -> bytes | None:
    """Build the full evidence for an answer that the gate has just opened; None while the log is behind.

    Canonical bytes, ending in a newline.

    Args:
        home: the installation.
        permitted: the outcome of an `AskAgain`: only that opens records with what evidence shows of them.
    """
    facts = permitted.facts
    with home.database.transaction() as tx:
        parts = _parts(tx, "full", facts.query_id, facts.consent_id, [one.visible for one in permitted.opened])
        receipt = ledger.get(tx, [facts.consent_id])[facts.consent_id].receipt
    if parts is None:
        return None
    for place, opened in enumerate(permitted.opened):
        parts["records"][place].update(_record(opened, values=facts.mode not in NO_VALUES))
    said = orjson.loads(permitted.body)
    return canonical(parts | {"answer": said, "signature": permitted.signature, "receipt": receipt}) + b"\n"


def redacted(home: Home, query_id: UUID, client_id: str) -> bytes | None:
    """Build the redacted evidence for a query of this client; None while the log is behind.

    Nothing is opened and nothing in it tells who asked about whom: it stays to be had after a withdrawal.

    Raises:
        RequestRefused: this client has made no such query.
    """
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT subject_id, consent_id, records FROM query WHERE query_id = %s AND client_id = %s",
            (query_id, client_id),
        ).fetchone()
        if row is None:
            raise RequestRefused("query-unknown")
        refs = [RecordRef(row[0], UUID(record_id), version) for record_id, version in row[2]["versions"]]
        found = {record.ref: record for record in store.versions(tx, refs)}
        parts = _parts(tx, "redacted", query_id, row[1], [found[ref] for ref in refs])
    if parts is None:
        return None
    for part, ref in zip(parts["records"], refs, strict=True):
        part["commitment"] = found[ref].commitment.hex()
    return canonical(parts) + b"\n"


def _parts(
    tx: Transaction, form: str, query_id: UUID, consent_id: str, records: Sequence[VisibleRecord]
) -> dict[str, Any] | None:
    """Collect entries and proofs, all on the latest checkpoint; None if it does not cover them all."""
    access = log.entry_of_query(tx, query_id, Event.PERMITTED)
    if access is None:
        raise RequestRefused("query-unknown")
    consent = ledger.get(tx, [consent_id])[consent_id]
    order = list(dict.fromkeys(record.chunk_id for record in records))
    chunks = store.chunks(tx, order)
    wanted = [access, consent.receipt_entry, *(chunks[chunk_id].entry_id for chunk_id in order)]
    proofs, openings = log.proofs(tx, wanted), log.openings(tx, wanted)
    if len(proofs) < len(wanted):
        return None
    opened = [ACCESS_OPENED[form], CONSENT_OPENED[form], *[CHUNK_OPENED] * len(order)]
    entries = [_entry(proofs[one], openings[one], names) for one, names in zip(wanted, opened, strict=True)]
    return {
        "format": FORMAT,
        "form": form,
        "access": entries[0],
        "consent": entries[1],
        "chunks": entries[2:],
        "checkpoint": proofs[access].note,
        "records": _placed(records, chunks),
    }


def _entry(proof: log.InclusionProof, opening: log.Opening, names: Iterable[str]) -> dict[str, Any]:
    return {
        "leaf": proof.leaf.decode(),
        "opened": {name: opening.of(name) for name in names},
        "proof": proof.tlog_proof,
    }


def _placed(records: Sequence[VisibleRecord], chunks: Mapping[UUID, store.ChunkProofSource]) -> list[dict[str, Any]]:
    """Say where each record lies. Chunks are numbered as they come; each is hashed once, however many lie in it."""
    numbers: dict[UUID, int] = {}
    trees: list[merkle.Levels] = []
    places = []
    for record in records:
        number = numbers.setdefault(record.chunk_id, len(numbers))
        if number == len(trees):
            trees.append(merkle.Levels.over(merkle.leaf_hashes(chunks[record.chunk_id].commitments)))
        path = trees[number].path(record.chunk_position)
        places.append(
            {
                "chunk": number,
                "position": record.chunk_position,
                "size": trees[number].size,
                "path": [node.hex() for node in path],
            }
        )
    return places


def _record(opened: OpenedRecord, *, values: bool) -> dict[str, Any]:
    proving = opened.proving
    if proving is None:
        raise TypeError("evidence is made from an answer that was asked for again")
    told = {SUBJECT: str(opened.visible.ref.subject_id), **(opened.fields if values else {})}
    return {
        "header": dict(opened.header),
        "digests": dict(proving.digests),
        "opened": {name: {"salt": proving.salts[name].hex(), "value": value} for name, value in told.items()},
    }
