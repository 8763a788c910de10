"""Several workers at the same moment keep within each webhook's concurrency, and send nothing twice."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import Worker
from tests.patience import PATIENCE
from tests.threads import at_once, several
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery
from tms_webhooks.net.transports.threads import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

pytestmark = [pytest.mark.django_db(transaction=True), several]


def test_workers_at_the_same_moment_never_fill_a_share_twice(backlog, clock):
    webhooks = [backlog(40, max_in_flight=2) for _ in range(5)]
    workers = [Worker(name, clock=clock, wire=Wire()) for name in ("alice", "bob", "charlie", "dora")]
    for _ in range(5):
        taken = []
        errors = at_once(*[lambda one=one, taken=taken: taken.extend(one.claim()) for one in workers])

        assert errors == []
        ids = [request.delivery_id for request in taken]
        shares = Counter(request.webhook_id for request in taken)
        assert len(set(ids)) == len(ids)
        assert max(shares.values()) <= 2
        assert set(shares) == {webhook.pk for webhook in webhooks}
        for one in workers:
            one.leases.give_all_back()
        workers = [Worker(one.token + "'", clock=clock, wire=Wire()) for one in workers]


def test_two_drains_send_everything_once_and_keep_to_the_shares(clock):
    webhooks = [subscribed(f"/{number}", max_in_flight=2) for number in range(4)]
    for webhook in webhooks:
        write_events(webhook.organization, 60)
    in_flight, peaks, lock = Counter(), Counter(), threading.Lock()

    def count(request):
        with lock:
            in_flight[request.url] += 1
            peaks[request.url] = max(peaks[request.url], in_flight[request.url])
        time.sleep(0.002)
        with lock:
            in_flight[request.url] -= 1
        return answer()

    wires = [Wire(otherwise=count), Wire(otherwise=count)]

    def drain(wire):
        def work():
            end = time.monotonic() + PATIENCE
            while Delivery.objects.open().exists() or not Delivery.objects.exists():
                assert time.monotonic() < end
                Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

        return work

    assert at_once(*[drain(wire) for wire in wires]) == []

    assert set(Delivery.objects.values_list("status", "attempts")) == {(DeliveryStatus.DELIVERED, 1)}
    sent = Counter(request.headers["tms-delivery-id"] for wire in wires for request in wire.requests)
    assert (len(sent), set(sent.values())) == (240, {1})
    assert max(peaks.values()) <= 2
