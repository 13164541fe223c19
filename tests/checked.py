"""Records of anybody, published as one batch of an agency's table, for tests of what the consistency rules find."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from exchange.home import Home
from registry import clock, store
from registry.basis import Basis, BasisKind
from registry.catalogue import current
from registry.identifiers import (
    CREDIT_ALPHABET,
    CREDIT_WEIGHTS,
    CreditCode,
    Identifier,
    ResidentId,
    organisation_check,
    resident_check,
)
from registry.records import NewRecord, Payload, Provenance
from registry.suites import sha256

AGENCY = "民和县农业农村局"

Rows = Sequence[tuple[Identifier, str, Payload]]


def person(number: int) -> ResidentId:
    """Make up a person; 000 in the sequence is given to nobody."""
    digits = f"630222{1950 + number % 50}0101000"
    return ResidentId.parse(digits + resident_check(digits))


def organisation(number: int) -> CreditCode:
    """Make up an organisation."""
    body = f"{number:08d}"
    code = f"91630222{body}{organisation_check(body)}"
    total = sum(
        CREDIT_ALPHABET.index(character) * weight for character, weight in zip(code, CREDIT_WEIGHTS, strict=True)
    )
    return CreditCode.parse(code + CREDIT_ALPHABET[-total % 31])


def published(  # one argument a fact
    home: Home,
    rows: Rows,
    *,
    agency: str = AGENCY,
    codes: Mapping[str, int] | None = None,
    since: Mapping[str, date] | None = None,
) -> UUID:
    """Publish rows as one batch: row 7 is the first. Of persons on consent, of organisations as such.

    `since` says from when records of a kind speak; of the others it is not known.
    """
    began = since or {}
    now, raw_id, batch_id, publication_id = clock.now(), uuid4(), uuid4(), uuid4()
    digest = sha256(raw_id.bytes)
    kind = rows[0][1] if rows else "SUBSIDY"
    class_code = current().kinds[kind].class_code
    said = Provenance(publication_id, "test", "某局", class_code, current().version, digest, date(2026, 6, 15))
    people = len({who.text for who, _, _ in rows if isinstance(who, ResidentId)})
    told = {"warned": dict(codes or {})}
    totals = {"apparent": told, "people": people}
    with home.database.transaction() as tx:
        tx.execute(
            "INSERT INTO raw_file (raw_id, sha256, sm3, label, size_bytes, received_at, open_until, channel, agency,"
            " source, manifest, mapping) VALUES (%s, %s, %s, 'x', 1, %s, %s, 'upload', %s, '', '', '{}')",
            (raw_id, digest, digest, now, now, agency),
        )
        tx.execute(
            "INSERT INTO batch (batch_id, raw_id, label, class_code, kind, state, as_of, rows, accepted, warned,"
            " quarantined, rejected, codes, totals, evaluations, evaluated_at)"
            " VALUES (%s, %s, 'x', %s, %s, 'published', '2026-06-15', %s, %s, 0, 0, 0, %s, %s, 1, %s)",
            (batch_id, raw_id, class_code, kind, max(len(rows), 20), len(rows), Jsonb(told), Jsonb(totals), now),
        )
        if rows:
            subjects = store.ensure_subjects(
                tx, home.keyring, list({who.text: who for who, _, _ in rows}.values()), now=now
            )
            store.open_publication(tx, batch_id, said, raw_sm3=digest, now=now)
            records = [
                NewRecord(
                    subjects[who.text], of, payload, 7 + place, _basis(who), "B", "2026", valid_from=began.get(of)
                )
                for place, (who, of, payload) in enumerate(rows)
            ]
            store.stage(tx, home.sealing, said, records, now=now)
            store.publish(tx, said, now=now)
    return batch_id


def _basis(who: Identifier) -> Basis:
    kind = BasisKind.CONSENT if isinstance(who, ResidentId) else BasisKind.ORGANISATION
    return Basis(kind, "test")
