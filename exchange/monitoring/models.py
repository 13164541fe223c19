"""What the doors for subscriptions read and write. Errors repeat nothing of what was sent."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exchange import paging
from exchange.lender_api import StaffModel
from exchange.monitoring import declared
from exchange.naming import CODE, PRINTABLE, Code, ItemCode, SubjectModel

_EventType = Literal[
    "record.new",
    "record.corrected",
    "record.recalled",
    "rating.changed",
    "dispute.opened",
    "dispute.closed",
    "consent.changed",
    "warning",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SubscribeModel(_Strict):
    """Of whom to hear what: of a `subject`, or of whoever gave the consent of this `consent_id`; never both.

    Without `items` all is meant that the consent covers. `consent.changed` is told in any case.
    """

    subject: SubjectModel | None = None
    consent_id: Annotated[str, Field(pattern=PRINTABLE, min_length=1, max_length=80)] | None = None
    purpose: str = Field(pattern=CODE, max_length=40, examples=["POST_LOAN"])
    business_no: Code | None = None
    events: list[_EventType] = Field(min_length=1, max_length=len(declared.TYPES), examples=[["record.new", "warning"]])
    items: list[ItemCode] | None = Field(default=None, min_length=1, max_length=400, examples=[["RATING", "JUDICIAL"]])
    staff: StaffModel | None = None
    until: date | None = Field(default=None, description="last day on which something is told, in Beijing")

    @model_validator(mode="after")
    def _of_one(self) -> "SubscribeModel":
        if (self.subject is None) is (self.consent_id is None):
            raise ValueError("either subject or consent_id")
        return self


class SubscriptionModel(BaseModel):
    """A subscription. It names the consent, never the person."""

    subscription_id: UUID
    consent_id: str
    purpose: str
    business_no: str | None
    items: list[str]
    events: list[str]
    made_at: str
    until: str | None
    latest: int = Field(description="the number of its latest event, 0 before the first")
    ended_at: str | None
    ended: str | None = Field(
        description="withdrawn, expired or superseded, as the consent; until, deleted; or suspended, as your system"
    )


class SubscriptionsModel(BaseModel):
    """A page of subscriptions, in the order in which they were made; `next` is null behind the last."""

    subscriptions: list[SubscriptionModel]
    next: str | None


class EventsModel(BaseModel):
    """Events in order, each as /schemas/monitor-event-v1.json has it; `next` is where to go on, at the end too."""

    events: list[dict[str, Any]]
    next: str
    more: bool


class AddressModel(_Strict):
    """Where events are to be sent: https, a public host, no query."""

    url: str = Field(max_length=300, pattern=r"^https?://[\x21-\x7e]+$", examples=["https://bank.example/qingqiao"])


class WebhookModel(BaseModel):
    """The address that events are sent to, and how it fares."""

    url: str
    state: Literal["pending", "verified", "unproven", "paused"] = Field(
        description="pending: a challenge is due; unproven: none was answered; ask for another by POST /v1/webhook/test"
    )
    since: str
    verified_at: str | None
    failures: int = Field(description="in a row")
    next_at: str = Field(description="not before then is something sent")
    paused_at: str | None
    paused: str | None = Field(description="failures: too many in a row; gone: it answered 410")


class AgainModel(_Strict):
    """From where on to send again: a cursor of GET /v1/events; null from the oldest that is kept."""

    after: str | None = Field(default=None, max_length=paging.LONGEST)


class AgainedModel(BaseModel):
    """How many events will be sent again."""

    events: int


class DeliveryModel(BaseModel):
    """One attempt to send something to the address. `event_id` is null of a challenge."""

    event_id: UUID | None
    at: str
    attempt: int
    outcome: str = Field(description="accepted, status:…, challenge-unanswered, or why nobody was reached")
    milliseconds: int


class DeliveriesModel(BaseModel):
    """A page of attempts, the latest first; `next` is null behind the last."""

    deliveries: list[DeliveryModel]
    next: str | None
