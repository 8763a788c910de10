"""The signal that tells of each attempt."""

import pytest

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Steady, Wire
from tests.integration.delivery.worker import Worker
from tms_webhooks import signals
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.net.transports import client
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Each exchange takes an eighth of a second."""
    monkeypatch.setattr(client, "time", Steady())


@pytest.fixture
def received():
    """What the signal was sent with, without the signal itself."""
    heard = []

    def hear(*, sender, signal, **facts):
        assert sender is Delivery
        heard.append(facts)

    signals.attempt_recorded.connect(hear)
    yield heard
    signals.attempt_recorded.disconnect(hear)


def test_the_signal_of_a_success_and_a_failure_has_the_recorded_values(clock, run, wire, received):
    webhook = subscribed()
    event = write_event(webhook.organization)
    wire.answers = [503]
    started_at = clock.now

    run()
    clock.advance(seconds=5)
    run()

    delivery = Delivery.objects.get()
    same = {"delivery_id": delivery.pk, "event_id": event.public_id, "webhook_id": webhook.pk, "seconds": 0.125}
    assert received == [
        {
            **same,
            "number": 1,
            "started_at": started_at,
            "status_code": 503,
            "error_class": "http_status",
            "next_delay": 5.0,
        },
        {**same, "number": 2, "started_at": clock.now, "status_code": 200, "error_class": "", "next_delay": None},
    ]


def test_a_receiver_that_raises_breaks_nothing(run, caplog):
    def fail(**_facts):
        raise RuntimeError("no")

    signals.attempt_recorded.connect(fail)
    try:
        subscribed(happened=1)
        run()
    finally:
        signals.attempt_recorded.disconnect(fail)

    assert Delivery.objects.get().status == "delivered"
    assert "RuntimeError: no" in caplog.text


def test_no_signal_is_sent_for_a_late_attempt(clock, received):
    subscribed(happened=1)
    slow, quick = (Worker(name, clock=clock, wire=Wire()) for name in ("slow", "quick"))
    fan_out(clock.now)
    (request,) = slow.claim()
    result = slow.send(request)
    clock.advance(seconds=31)
    quick.work()
    slow.write(result)

    assert [(one["number"], one["started_at"]) for one in received] == [(1, clock.now)]
    assert DeliveryAttempt.objects.count() == 2
