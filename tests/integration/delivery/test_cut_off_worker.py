"""A worker that was cut off for long returns with results of deliveries that it lost and claimed again."""

from __future__ import annotations

import pytest

from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import DeliveryAttempt


@pytest.fixture
def delivery(clock):
    return write_delivery(subscribed(), now=clock.now)


def log(delivery) -> list[tuple[int | None, int | None]]:
    return list(delivery.attempt_log.order_by("pk").values_list("number", "status_code"))


def test_its_result_is_late_after_an_attempt_of_another_worker_and_it_sends_the_delivery_only_then(
    delivery, worker, wire, clock
):
    alice, bob = worker("alice"), worker("bob")
    (lost,) = alice.claim()
    wire.answers = [answer(200)]
    result = alice.send(lost)
    clock.advance(seconds=16)
    wire.answers = [answer(500)]
    assert bob.work()
    clock.advance(seconds=5)
    # It has leased the webhook again, and the first request may still be in flight.
    assert alice.claim() == []

    alice.write(result)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.WAITING, 1)
    (again,) = alice.work()
    assert again.number == 2
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 2)
    assert log(delivery) == [(1, 500), (None, 200), (2, 200)]
    late = DeliveryAttempt.objects.get(number=None)
    assert (late.charged, late.next_delay, late.delay_reason) == (False, None, "")


def test_results_of_others_in_the_same_batch_are_written_all_the_same(delivery, worker, wire, clock, due):
    alice, bob = worker("alice"), worker("bob")
    (lost,) = alice.claim()
    clock.advance(seconds=16)
    wire.answers = [answer(500)]
    bob.work()
    clock.advance(seconds=5)
    (other,) = due(subscribed("/other"), 1)
    requests = alice.claim()

    alice.write(alice.send(lost), *[alice.send(request) for request in requests])

    other.refresh_from_db()
    delivery.refresh_from_db()
    assert (other.status, delivery.status) == (DeliveryStatus.DELIVERED, DeliveryStatus.WAITING)
    alice.work()
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DELIVERED
