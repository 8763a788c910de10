"""A deleted webhook gets nothing more; its row and its log stay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests import sweeps
from tests.integration.delivery.rows import stored, subscribed, write
from tests.integration.delivery.wire import answer
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook


def test_deleting_cancels_waiting_deliveries_and_keeps_the_log(run, wire, clock, due):
    webhook = subscribed(max_in_flight=1)
    delivered, tried, _untried = due(webhook, 3)
    other = subscribed("/other")
    (theirs,) = due(other, 1)
    wire.answers = [200, 500]
    write(other, paused_until=clock.now + timedelta(days=365))
    wire.otherwise = 500
    run()
    webhook.refresh_from_db()

    webhooks.delete(webhook, now=clock.now)
    sweeps.settle(clock.now)

    assert webhook.deleted_at == clock.now
    assert Webhook.objects.get(pk=webhook.pk).deleted_at == clock.now
    assert not Webhook.objects.existing().filter(pk=webhook.pk).exists()
    statuses = dict(Delivery.objects.values_list("pk", "status"))
    assert statuses.pop(delivered.pk) == "delivered"
    assert statuses.pop(theirs.pk) == "pending"
    assert set(statuses.values()) == {"cancelled"}
    assert stored(tried, "attempts", "due_at", "finished_at") == (1, None, clock.now)
    assert DeliveryAttempt.objects.filter(delivery__webhook=webhook).count() == len(wire.requests)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (answer(200), "delivered"),
        (answer(500), "cancelled"),
        (answer(410), "failed"),
    ],
)
def test_requests_in_flight_are_completed_and_not_tried_again(alice, wire, clock, due, heard, said, status):
    webhook = subscribed(error_action="disable")
    (delivery,) = due(webhook, 1)
    (request,) = alice.claim()
    webhooks.delete(webhook, now=clock.now)
    wire.answers = [said]

    alice.write(alice.send(request))

    assert stored(delivery, "status", "due_at", "attempts") == (status, None, 1)
    assert heard == []
    assert Webhook.objects.get(pk=webhook.pk).enabled


def test_a_resend_that_waits_is_cancelled_and_no_other_is_begun(run, wire, clock):
    webhook = subscribed(happened=1)
    run()
    delivery = webhook.deliveries.get()
    resend(delivery, now=clock.now)

    webhooks.delete(webhook, now=clock.now)
    run()
    sweeps.settle(clock.now)

    delivery.refresh_from_db()
    assert delivery.status == "cancelled"
    assert len(wire.requests) == 1
    with pytest.raises(ReplayError, match="its webhook was deleted"):
        resend(delivery, now=clock.now)
