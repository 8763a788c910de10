"""The values that travel between a worker and the wire: the request to send, and the result that came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from tms_webhooks.delivery.outcome import Outcome
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.timing import Timing
from tms_webhooks.payloads.formats import JSON, RequestFormat


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """What all outgoing_requests of one webhook share: today's URL, headers and secrets.

    ``cap`` is how many this worker may send at once. ``problem`` says why nothing can be sent at all; secrets and
    headers are empty then. ``repr`` shows neither.
    """

    webhook_id: int
    verb: str
    url: str
    headers: Mapping[str, str]
    secrets: Sequence[str]
    timeout: float
    schedule: Any
    max_retries: int | None
    cap: int = 1
    problem: DeliveryError | None = None
    shape: RequestFormat = field(default_factory=RequestFormat)

    def __repr__(self) -> str:
        return f"<Route of webhook {self.webhook_id}>"


class ClaimedDelivery(NamedTuple):
    """One delivery that is held now: as it stands, and its event's id, body and time."""

    delivery_id: int
    webhook_id: int
    attempts: int
    charged: int
    priority: int
    uid: str
    body: str
    occurred_at: datetime | None = None


class OutgoingRequest(NamedTuple):
    """One delivery to send: its event, its bytes, its next attempt's number and those charged before.

    A ``single`` one is resent by hand: it is not retried, and says nothing of the webhook's health. Without a ``url`` it
    goes to that of its route; ``problem`` says why it can't be sent. ``expected_at`` is the time of the event plus the
    webhook's delay, for a first attempt; None for a retry, a replay and a delivery sent by hand.
    """

    delivery_id: int
    event_id: str
    number: int
    charged: int
    single: bool
    body: bytes
    route: Endpoint
    content_type: str = JSON
    url: str | None = None
    problem: DeliveryError | None = None
    expected_at: datetime | None = None

    @property
    def webhook_id(self) -> int:
        """Whom it goes to."""
        return self.route.webhook_id

    def __repr__(self) -> str:
        return f"<Parcel {self.event_id} delivery {self.delivery_id} webhook {self.webhook_id} attempt {self.number}>"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What came of sending one outgoing."""

    outgoing: OutgoingRequest
    started_at: datetime
    seconds: float
    outcome: Outcome
    status: int | None = None
    body: str = ""
    timing: Timing = field(default_factory=Timing)

    def without_texts(self) -> SendResult:
        """Return the same without what the receiver wrote, for a database that can't keep that."""
        return replace(self, body="", outcome=replace(self.outcome, message="not kept: the database refused it"))


def may_stop_webhook(result: SendResult) -> bool:
    """Return whether a result may keep its webhook from getting more: a failure, or a word to stop."""
    return not result.outcome.success or result.outcome.disable is not None
