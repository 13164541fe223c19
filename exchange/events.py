"""Names of what the doors write to the log; published in docs/events.md, which a test holds equal."""

from enum import StrEnum


class Event(StrEnum):
    """`source:subject:action`. Never reuse a name."""

    PERMITTED = "release:query:permitted"
    REOPENED = "release:query:reopened"
    REFUSED = "release:query:refused"
    CLIENT_ADDED = "exchange:client:added"
    CLIENT_SUSPENDED = "exchange:client:suspended"
    CLIENT_RESUMED = "exchange:client:resumed"
    KEY_ROTATED = "exchange:key:rotated"
    AUDIT_READ = "audit:events:read"
