"""Names of the log entries that the consent floor writes: `source:subject:action`, listed in docs/events.md."""

from enum import StrEnum


class Event(StrEnum):
    """What can happen to a consent. The values stand in the log for ever; never reuse one."""

    REQUESTED = "consent:request:recorded"  # asked for, not agreed to: permits nothing
    AMENDED = "consent:request:amended"  # a request whose terms changed before anyone agreed
    REFUSED = "consent:request:refused"  # a person said no to a recipient
    GRANTED = "consent:grant:recorded"  # agreed to; from here it can permit
    PAUSED = "consent:grant:paused"
    RESUMED = "consent:grant:resumed"
    RECONFIRMED = "consent:grant:reconfirmed"  # confirmed once more where its purpose asks for it
    WITHDRAWN = "consent:grant:withdrawn"
    EXPIRED = "consent:grant:expired"
    NOTICE_REVIEWED = "consent:notice:reviewed"  # a named reviewer signed a text off, or refused it
    SUPERSEDED = "consent:grant:superseded"  # a later consent took its place
