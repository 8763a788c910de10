"""The steps of a worker, called one by one: claim, send and write."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.conftest import Clock
from tests.integration.delivery.rows import write_delivery
from tests.integration.delivery.wire import Wire
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker.claim import Claimer
from tms_webhooks.worker.claim_queries import WebhookRow, claimed_deliveries
from tms_webhooks.worker.results import PendingResults
from tms_webhooks.worker.send import make_requests, with_contents
from tms_webhooks.worker.sender import send

LEASE = timedelta(seconds=30)


class Worker:
    """The steps of a drain. Two of them are two workers."""

    def __init__(self, name: str, *, clock: Clock, wire: Wire) -> None:
        self.token = name
        self.clock = clock
        self.wire = wire

    @property
    def lease_end(self) -> datetime:
        return self.clock.now + LEASE

    def claim(self, limit: int = 64) -> list[OutgoingRequest]:
        return Claimer(self.token).claim(now=self.clock.now, until=self.lease_end, limit=limit).requests

    def send(self, request: OutgoingRequest) -> SendResult:
        (rendered,) = with_contents([request], TimeSpent())
        return send(rendered, client=self.wire, clock=self.clock)

    def answered(self, webhook: Webhook) -> SendResult:
        """Hold one new delivery to a webhook, send it, and return the result."""
        now, lease = self.clock.now, {"lease": self.token, "due_at": self.lease_end}
        delivery = write_delivery(webhook, now=now, status=DeliveryStatus.IN_FLIGHT, **lease)
        candidate = WebhookRow(webhook, sealed=webhook.sealed_secrets(now))
        claimed = claimed_deliveries([delivery.pk], token=self.token)
        (request,) = make_requests(claimed, webhooks={webhook.pk: candidate})
        return self.send(request)

    def write(self, *results: SendResult) -> None:
        pending = PendingResults(token=self.token, clock=self.clock, random=lambda: 0.5)
        for result in results:
            pending.add(result)
        while pending:
            pending.write()

    def renew(self) -> int:
        return Delivery.objects.all().renew(token=self.token, until=self.lease_end)

    def work(self, limit: int = 64) -> list[OutgoingRequest]:
        """Claim, send and write; return the requests."""
        requests = self.claim(limit)
        self.write(*[self.send(request) for request in requests])
        return requests
