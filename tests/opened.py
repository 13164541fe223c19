"""Records as the gate opens them, for tests of what is said of them; no database."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid4

from registry.catalogue import current
from registry.records import OpenedRecord, Payload, Provenance, RecordRef, VisibleRecord, header
from registry.suites import sha256

TODAY = date(2026, 6, 15)
TAKEN_IN = datetime(2026, 6, 16, 1, tzinfo=UTC)
PERSON = UUID(int=7)


def record(
    kind: str, fields: Payload, *, as_of: date = TODAY, period: str = "2026", quality: str = "B"
) -> OpenedRecord:
    """A record of one subject."""
    class_code = current().kinds[kind].class_code
    said = Provenance(uuid4(), "src", "某局", class_code, current().version, b"\x01" * 32, as_of, TAKEN_IN)
    ref = RecordRef(PERSON, uuid4(), 1)
    seen = VisibleRecord(
        ref, kind, period, quality, None, "", 7, None, None, uuid4(), 0, sha256(ref.record_id.bytes), None,
        frozen=False, basis="consent:test", provenance=said,
    )  # fmt: skip
    return OpenedRecord(seen, header(kind, said, sheet="", row_no=7, period=period, quality=quality), fields)
