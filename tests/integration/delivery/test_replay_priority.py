"""Replays have a lower priority than live deliveries: a quarter of the requests beside these, and else all of them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tests.integration.delivery.rows import subscribed, write_delivery, write_events
from tests.integration.delivery.wire import Gate, Wire, answer
from tests.threads import at_once, several
from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.models import Delivery

pytestmark = pytest.mark.django_db


def priorities(requests) -> Counter[int]:
    ids = [request.delivery_id for request in requests]
    return Counter(Delivery.objects.filter(pk__in=ids).values_list("priority", flat=True))


def test_live_ones_go_first(worker, due):
    webhook = subscribed(max_in_flight=3)
    due(webhook, 10, priority=Priority.REPLAY)
    due(webhook, 3)
    alice = worker("alice")

    assert priorities(alice.work()) == {Priority.LIVE: 3}
    assert priorities(alice.work()) == {Priority.REPLAY: 1}


def test_one_worker_at_a_time_has_them(worker, due):
    webhook = subscribed(max_in_flight=10)
    due(webhook, 10, priority=Priority.REPLAY)
    alice, bob = worker("alice"), worker("bob")
    (request,) = alice.claim()
    assert bob.claim() == []
    # She may have more of them at a time.
    (second,) = alice.claim()

    for one in (request, second):
        alice.write(alice.send(one))

    assert len(bob.claim()) == 1


def test_it_takes_a_place_that_live_ones_leave(worker, due):
    webhook = subscribed(max_in_flight=3)
    due(webhook, 10, priority=Priority.REPLAY)
    due(webhook, 1)

    assert priorities(worker("alice").claim()) == {Priority.LIVE: 1, Priority.REPLAY: 1}


def test_live_ones_that_come_while_it_is_under_way_need_not_wait(worker, due):
    webhook = subscribed(max_in_flight=2)
    due(webhook, 10, priority=Priority.REPLAY)
    alice = worker("alice")
    assert priorities(alice.claim()) == {Priority.REPLAY: 1}

    due(webhook, 5)

    assert priorities(alice.claim()) == {Priority.LIVE: 1}


def test_a_replay_of_one_webhook_is_nothing_to_another(worker, due):
    webhooks = [subscribed() for _ in range(3)]
    for webhook in webhooks:
        due(webhook, 5, priority=Priority.REPLAY)

    assert Counter(request.webhook_id for request in worker("alice").claim()) == {webhook.pk: 1 for webhook in webhooks}


def test_webhooks_that_replay_already_take_no_place_in_a_batch(worker, due, clock):
    for _ in range(5):
        due(subscribed(), 5, priority=Priority.REPLAY)
    assert len(worker("alice").claim()) == 5
    # Served last: those that replay would come first.
    live = write_delivery(subscribed(served_at=clock.now + timedelta(seconds=1)), now=clock.now)

    assert [request.delivery_id for request in worker("bob").claim(limit=1)] == [live.pk]


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


@several
@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_moment_take_one(worker, due):
    due(subscribed(max_in_flight=10), 20, priority=Priority.REPLAY)
    workers, taken = [worker(name) for name in ("alice", "bob", "charlie", "dora")], []

    assert at_once(*[lambda one=one: taken.extend(one.claim()) for one in workers]) == []

    assert len(taken) == 1
