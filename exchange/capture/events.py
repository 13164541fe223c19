"""Names of what capture writes to the log; published in docs/events.md, which a test holds equal.

What becomes of a request to a phone has no entry here: an agreement is the consent's own, and the rest must not be told
apart by whoever reads the public log.
"""

from enum import StrEnum


class Event(StrEnum):
    """`source:subject:action`. Never reuse a name."""

    REQUEST_OFFERED = "capture:request:offered"
    COLLECTOR_ADDED = "capture:collector:added"
    COLLECTOR_ENDED = "capture:collector:ended"
    PAPER_ENTERED = "capture:paper:entered"
    PAPER_CONFIRMED = "capture:paper:confirmed"
    PAPER_REFUSED = "capture:paper:refused"
    PAPER_EXPIRED = "capture:paper:expired"
    DEVICE_ADDED = "capture:device:added"
    DEVICE_ENDED = "capture:device:ended"
    DEVICE_BLOCKED = "capture:device:blocked"
    CHAIN_RECEIVED = "capture:chain:received"
