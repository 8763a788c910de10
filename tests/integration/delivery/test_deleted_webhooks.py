"""A deleted webhook gets nothing more; its row and its log stay."""

import pytest

from tests import sweeps
from tests.integration.delivery.rows import stored, subscribed
from tests.integration.delivery.wire import answer
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Webhook


@pytest.mark.parametrize(
    "said, status",
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
