"""Errors of the consent floor. A refusal of data is not among them: that is an answer (consent.decision).

ConsentError
├── DeclarationInvalid     purposes.yml or a notice does not have its declared shape; the operator must correct it
├── TermsRefused           a consent may not be recorded on these terms; whoever sent it must correct it (has `code`)
├── RegisterUnreadable     a file is no consent register, a column is missing; the sender must correct it
├── UnknownConsent         there is no consent under this id; the caller must correct it
├── TransitionRefused      a consent cannot go from its state to that one; nobody can change this, a new one is needed
├── UsesExhausted          more uses were counted than the consent has left: the caller decided without its lock
├── ReceiptInvalid         a receipt is not ours, was changed, or is not of the declared form
├── ContactInvalid         how an organisation is reached is not said, or not in its form; who states it must mend it
└── ReviewRefused          a text cannot be signed off so: other bytes, nobody named; the operator must correct it
"""

from enum import StrEnum


class Fault(StrEnum):
    """Why a consent could not be recorded. The values are published; never reuse one."""

    NUMBER_MISSING = "NUMBER_MISSING"
    NUMBER_TWICE = "NUMBER_TWICE"
    NUMBER_REUSED = "NUMBER_REUSED"
    SUBJECT_TYPE_UNKNOWN = "SUBJECT_TYPE_UNKNOWN"
    IDENTITY_INVALID = "IDENTITY_INVALID"
    GUARDIAN_NEEDED = "GUARDIAN_NEEDED"
    RECIPIENT_NOT_ONE = "RECIPIENT_NOT_ONE"
    RECIPIENT_WITHOUT_CONTACT = "RECIPIENT_WITHOUT_CONTACT"
    PURPOSE_UNKNOWN = "PURPOSE_UNKNOWN"
    PURPOSE_NOT_FOR_LENDERS = "PURPOSE_NOT_FOR_LENDERS"
    ITEM_UNKNOWN = "ITEM_UNKNOWN"
    ITEM_OUTSIDE_PURPOSE = "ITEM_OUTSIDE_PURPOSE"
    DATE_UNREADABLE = "DATE_UNREADABLE"
    TAKEN_OUT_OF_TIME = "TAKEN_OUT_OF_TIME"
    PERIOD_INVERTED = "PERIOD_INVERTED"
    BEGINS_TOO_LATE = "BEGINS_TOO_LATE"
    VALIDITY_TOO_LONG = "VALIDITY_TOO_LONG"
    HISTORY_TOO_LONG = "HISTORY_TOO_LONG"
    TOO_MANY_USES = "TOO_MANY_USES"
    MODE_TOO_HIGH = "MODE_TOO_HIGH"
    STATE_UNKNOWN = "STATE_UNKNOWN"
    ACKNOWLEDGEMENT_UNREADABLE = "ACKNOWLEDGEMENT_UNREADABLE"
    ACKNOWLEDGEMENT_NOT_WRITTEN = "ACKNOWLEDGEMENT_NOT_WRITTEN"
    TEXT_UNKNOWN = "TEXT_UNKNOWN"
    ITEM_NOT_IN_TEXT = "ITEM_NOT_IN_TEXT"
    LANGUAGE_UNKNOWN = "LANGUAGE_UNKNOWN"
    CHANNEL_UNKNOWN = "CHANNEL_UNKNOWN"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    EVIDENCE_INVALID = "EVIDENCE_INVALID"
    EVIDENCE_REUSED = "EVIDENCE_REUSED"
    PAPER_NEEDS_FOUR_EYES = "PAPER_NEEDS_FOUR_EYES"
    FINGERPRINTS_NOT_REDACTED = "FINGERPRINTS_NOT_REDACTED"
    RESOLUTION_MISSING = "RESOLUTION_MISSING"
    BEFORE_WITHDRAWAL = "BEFORE_WITHDRAWAL"
    BEFORE_REDUCTION = "BEFORE_REDUCTION"
    TOO_MANY_USES_PER_MONTH = "TOO_MANY_USES_PER_MONTH"
    DATA_LIFE_TOO_LONG = "DATA_LIFE_TOO_LONG"
    SENSITIVE_NOT_AGREED = "SENSITIVE_NOT_AGREED"
    SENSITIVE_BY_PROXY = "SENSITIVE_BY_PROXY"
    REPRESENTATION_INVALID = "REPRESENTATION_INVALID"
    REPRESENTATION_OVER = "REPRESENTATION_OVER"
    GUARDIANSHIP_UNPROVEN = "GUARDIANSHIP_UNPROVEN"
    GUARDIAN_NOT_NEEDED = "GUARDIAN_NOT_NEEDED"
    POWER_OF_ATTORNEY_MISSING = "POWER_OF_ATTORNEY_MISSING"
    REPRESENTATIVE_UNFIT = "REPRESENTATIVE_UNFIT"
    SUBJECT_UNAVAILABLE = "SUBJECT_UNAVAILABLE"
    COLLECTIVE_FOR_MEMBER = "COLLECTIVE_FOR_MEMBER"
    RESOLUTION_INVALID = "RESOLUTION_INVALID"
    QUORUM_MISSED = "QUORUM_MISSED"
    VOTES_MISSED = "VOTES_MISSED"
    PUBLICITY_TOO_SHORT = "PUBLICITY_TOO_SHORT"
    PUBLICITY_NOT_OVER = "PUBLICITY_NOT_OVER"
    REFUSED_LATELY = "REFUSED_LATELY"
    NOT_NARROWER = "NOT_NARROWER"
    CONFIRMED_TOO_EARLY = "CONFIRMED_TOO_EARLY"
    CONFIRMATION_OVER = "CONFIRMATION_OVER"
    TERMS_CHANGED = "TERMS_CHANGED"
    TRANSITION_REFUSED = "TRANSITION_REFUSED"


class ConsentError(Exception):
    """Any failure that the consent floor names."""


class DeclarationInvalid(ConsentError):
    """A file of ours that does not say what it should."""


class TermsRefused(ConsentError):
    """A consent that may not be recorded as it stands."""

    def __init__(self, code: Fault, detail: str) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code


class RegisterUnreadable(ConsentError):
    """A table that is no consent register (授权台账)."""


class UnknownConsent(ConsentError):
    """No consent has this id."""


class TransitionRefused(ConsentError):
    """A step that the life of a consent does not have."""


class UsesExhausted(ConsentError):
    """A count that would pass the uses a subject agreed to."""


class ReceiptInvalid(ConsentError):
    """A text that is no receipt of ours."""


class ContactInvalid(ConsentError):
    """A contact of which a part is missing or not of its form."""


class ReviewRefused(ConsentError):
    """A review of a text that does not say who read which bytes, or why they were refused."""
