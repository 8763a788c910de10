"""An outage of the operator's proxy costs the receivers nothing: no attempt is charged, and no event is lost."""

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import distinct, subscribed
from tests.integration.net.servers import Server
from tests.integration.net.test_proxy import tunnels
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.monitoring.liveness import proxy_failures

OUTAGE = timedelta(minutes=10)


@pytest.mark.parametrize("transport", ["curl", "threads"])
def test_a_proxy_that_is_down_for_ten_minutes_charges_and_loses_nothing(
    clock, drain, receiver, settings_of_app, transport
):
    for _ in range(3):
        subscribed(url=receiver.url, max_retries=0, happened=1)
    down, up = Server(tunnels), Server(tunnels)
    down.close()
    settings_of_app(TRANSPORT=transport, PROXY_URL=f"http://alice:hunter2@127.0.0.1:{down.port}")
    ends_at = clock.now + OUTAGE

    while clock.now < ends_at:
        drain()
        waiting = Delivery.objects.filter(status="waiting")
        assert waiting.count() == Delivery.objects.count() == 3
        assert {one.charged for one in waiting} == {0}
        clock.now = min(one.due_at for one in waiting)
    assert receiver.received == []
    assert proxy_failures(now=clock.now) >= 3
    settings_of_app(PROXY_URL=f"http://alice:hunter2@127.0.0.1:{up.port}")
    for _ in range(3):
        drain()
        clock.now += timedelta(seconds=40)
    up.close()

    assert len(receiver.received) == 3
    assert proxy_failures(now=clock.now) == 0
    assert distinct(Delivery, "status", "charged") == {("delivered", 1)}
    assert distinct(Webhook, "enabled", "state__failures", "state__pauses") == {(True, 0, 0)}
    attempt = Delivery.objects.first().attempt_log.exclude(error_class="").first()
    assert (attempt.error_class, attempt.delay_reason) == ("proxy_error", "proxy")
    assert "hunter2" not in attempt.message
