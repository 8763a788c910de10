"""A worker taken apart: it claims, sends and writes down when the test says so."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.conftest import Clock
from tests.integration.delivery.rows import write_delivery
from tests.integration.delivery.wire import Wire
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.delivery.outgoing import SendResult
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.worker.claim import OutgoingRequest, claim, claimed_deliveries
from tms_webhooks.worker.claim_queries import Candidate
from tms_webhooks.worker.result_writer import PendingResults
from tms_webhooks.worker.send import make_requests, send

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

    def claim(self, room: int = 64) -> list[OutgoingRequest]:
        return claim(token=self.token, now=self.clock.now, until=self.lease_end, room=room).outgoing_requests

    def send(self, outgoing: OutgoingRequest) -> SendResult:
        return send(outgoing, client=self.wire, clock=self.clock)

    def answered(self, webhook: Webhook) -> SendResult:
        """Hold one new delivery to a webhook, and return what came of sending it."""
        now, lease = self.clock.now, {"lease": self.token, "due_at": self.lease_end}
        delivery = write_delivery(webhook, now=now, status=DeliveryStatus.IN_FLIGHT, **lease)
        candidate = Candidate(webhook, sealed=webhook.sealed_secrets(now))
        (outgoing,) = make_requests(
            claimed_deliveries([delivery.pk], token=self.token), candidates={webhook.pk: candidate}, caps={}
        )
        return self.send(outgoing)

    def write(self, *results: SendResult) -> None:
        unwritten = PendingResults(token=self.token, clock=self.clock, dice=lambda: 0.5)
        for result in results:
            unwritten.add(result)
        while unwritten:
            unwritten.write()

    def renew(self) -> int:
        return Delivery.objects.all().renew(token=self.token, until=self.lease_end)

    def work(self, room: int = 64) -> list[OutgoingRequest]:
        """Claim, send and write down."""
        outgoing_requests = self.claim(room)
        self.write(*[self.send(outgoing) for outgoing in outgoing_requests])
        return outgoing_requests
