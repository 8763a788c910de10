"""Replays have a lower priority than live deliveries: a quarter of the requests beside these, and else all of them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.wire import Gate, Wire, answer
from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.models import Delivery


def priorities(requests) -> Counter[int]:
    ids = [request.delivery_id for request in requests]
    return Counter(Delivery.objects.filter(pk__in=ids).values_list("priority", flat=True))


def test_live_ones_go_first(worker, due):
    webhook = subscribed(max_in_flight=3)
    due(webhook, 10, priority=Priority.REPLAY)
    due(webhook, 3)
    alice = worker("alice")

    assert priorities(alice.work()) == {Priority.LIVE: 3}
    assert priorities(alice.work()) == {Priority.REPLAY: 3}


def test_they_take_a_quarter_of_the_places_that_live_ones_leave(worker, due):
    webhook = subscribed(max_in_flight=8)
    due(webhook, 10, priority=Priority.REPLAY)
    due(webhook, 3)

    assert priorities(worker("alice").claim()) == {Priority.LIVE: 3, Priority.REPLAY: 2}


def test_it_is_retried_on_the_schedule_as_any_other(worker, wire, due, clock):
    webhook = subscribed()
    (delivery,) = due(webhook, 1, priority=Priority.REPLAY)
    wire.answers = [answer(500)]
    worker("alice").work()
    clock.advance(seconds=5)

    worker("alice").work()

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.priority) == (DeliveryStatus.DELIVERED, 2, Priority.REPLAY)


@pytest.mark.parametrize("max_in_flight", [1, 4])
def test_beside_live_ones_a_drain_sends_a_quarter_of_it(run, due, max_in_flight):
    webhook = subscribed(max_in_flight=max_in_flight)
    due(webhook, 100, priority=Priority.REPLAY)
    write_events(webhook.organization, 120)
    gate = Gate()
    gate.open()
    replayed = {one.public_id for one in webhook.deliveries.all()}
    wire = Wire(otherwise=gate)

    run(wire=wire)

    order = [request.headers["tms-delivery-id"] in replayed for request in wire.requests]
    assert len(order) == 220
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.DELIVERED}
    last_live = max(index for index, is_old in enumerate(order) if not is_old)
    assert 20 <= sum(order[:last_live]) <= 48
