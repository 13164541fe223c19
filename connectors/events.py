"""Names of the log entries that intake writes; listed in docs/events.md."""

from enum import StrEnum


class Event(StrEnum):
    """`source:subject:action`. Fields carry hashes and counts; no row, no person."""

    FILE_RECEIVED = "connectors:file:received"
    BATCH_PUBLISHED = "connectors:batch:published"
    BATCH_BLOCKED = "connectors:batch:blocked"
    BATCH_REEVALUATED = "connectors:batch:reevaluated"
    BYTES_DESTROYED = "connectors:file:destroyed"
