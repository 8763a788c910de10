"""Replays have a lower priority than live deliveries: a quarter of the requests beside these, and else all of them."""

import pytest

from tests.integration.delivery.rows import distinct, subscribed, write_events
from tests.integration.delivery.wire import Gate, Wire
from tms_webhooks.choices import Priority
from tms_webhooks.models import Delivery


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
    assert distinct(Delivery, "status") == {"delivered"}
    last_live = max(index for index, is_old in enumerate(order) if not is_old)
    assert 20 <= sum(order[:last_live]) <= 48
