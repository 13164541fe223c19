"""Names of what the doors write to the log; published in docs/events.md, which a test holds equal."""

from enum import StrEnum


class Event(StrEnum):
    """`source:subject:action`. Never reuse a name."""

    PERMITTED = "release:query:permitted"
    REOPENED = "release:query:reopened"
    REFUSED = "release:query:refused"
    PEOPLE_TOLD = "release:people:told"
    RECORDS_CHECKED = "release:records:checked"
    PROVIDER_OPENED = "release:provider:opened"
    NOTICE_ACKNOWLEDGED = "exchange:notice:acknowledged"
    LENDERS_NOTIFIED = "exchange:lenders:notified"
    CLIENT_ADDED = "exchange:client:added"
    CLIENT_SUSPENDED = "exchange:client:suspended"
    CLIENT_RESUMED = "exchange:client:resumed"
    FEED_PAUSED = "exchange:feed:paused"
    FEED_RESUMED = "exchange:feed:resumed"
    FEED_RUN = "exchange:feed:run-by-hand"
    FILES_WEIGHED = "exchange:files:weighed-again"
    KEY_ROTATED = "exchange:key:rotated"
    AUDIT_READ = "audit:events:read"
    FINDINGS_READ = "audit:findings:read"
