"""Names of the log entries that intake writes; listed in docs/events.md."""

from enum import StrEnum


class Event(StrEnum):
    """`source:subject:action`. Fields carry hashes and counts; no row, no person."""

    FILE_RECEIVED = "connectors:file:received"
    BATCH_PUBLISHED = "connectors:batch:published"
    BATCH_BLOCKED = "connectors:batch:blocked"
    BATCH_REEVALUATED = "connectors:batch:reevaluated"
    BYTES_DESTROYED = "connectors:file:destroyed"
    UPLOAD_OPENED = "connectors:upload:opened"
    UPLOAD_COMPLETED = "connectors:upload:completed"
    UPLOAD_ENDED = "connectors:upload:ended"
    MANIFEST_RECEIVED = "connectors:manifest:received"
    MANIFEST_APPLIED = "connectors:manifest:applied"
    AGENCY_KEY_ADDED = "connectors:key:added"
    AGENCY_KEY_REVOKED = "connectors:key:revoked"
    SOURCES_PERMITTED = "connectors:sources:permitted"
    SOURCES_REFUSED = "connectors:sources:refused"
    CREDENTIAL_SET = "connectors:credential:set"
    CREDENTIAL_ERASED = "connectors:credential:erased"
    ROWS_PROPOSED = "connectors:rows:proposed"
    ROWS_DECIDED = "connectors:rows:decided"
    ROWS_DROPPED = "connectors:rows:dropped"
    FOUR_EYES_SET = "connectors:four-eyes:set"
    COLUMNS_MAPPED = "connectors:columns:mapped"
