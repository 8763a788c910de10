"""Results that come late: after another worker's attempt, or after a crash in which the database lost the delivery."""

import pytest

from tests.integration.delivery.rows import new_event, stored, subscribed, write_delivery
from tests.integration.delivery.wire import answer
from tms_webhooks.models import Delivery, DeliveryAttempt, Event


@pytest.fixture(params=["delivery", "delivery and event"])
def crash(request, worker):
    """Return a function that has the database lose a delivery, and give its id to another event's."""

    def crash(lost):
        held = Delivery.objects.get(pk=lost.pk)
        event = new_event(lost.webhook.organization)
        event.fanned_out_at = held.created_at
        if request.param == "delivery and event":
            event.pk = held.event_id
            Event.objects.filter(pk=held.event_id).delete()
        event.save(force_insert=True)
        Delivery.objects.filter(pk=held.pk).delete()
        held.event = event
        held.save(force_insert=True)
        return held

    return crash


@pytest.mark.parametrize("status", [200, 500, 410])
def test_a_result_is_not_written_for_another_event_with_the_same_ids(crash, alice, wire, clock, status):
    webhook = subscribed(max_in_flight=3)
    lost, kept = (write_delivery(webhook, now=clock.now) for _ in range(2))
    requests = {request.delivery_id: request for request in alice.claim()}
    wire.answers = [answer(status), 200]
    results = [alice.send(requests[one.pk]) for one in (lost, kept)]
    other = crash(lost)

    alice.write(*results)

    assert stored(other, "status", "attempts") == ("pending", 0)
    assert not other.attempt_log.exists()
    assert stored(kept, "status", "attempts") == ("delivered", 1)
    assert stored(webhook, "enabled")
    assert stored(webhook, "state__failures") == 0


@pytest.mark.parametrize("status", [200, 500])
def test_the_result_of_a_delivery_that_is_gone_leaves_no_attempt(alice, wire, clock, status):
    lost = write_delivery(subscribed(), now=clock.now)
    (request,) = alice.claim()
    wire.answers = [answer(status)]
    result = alice.send(request)
    Delivery.objects.filter(pk=lost.pk).delete()

    alice.write(result)

    assert not DeliveryAttempt.objects.exists()
