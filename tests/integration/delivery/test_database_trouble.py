"""A database that refuses a step of the drain: the step is repeated, and no request is sent twice."""

from __future__ import annotations

import time

import pytest
from django.db import InterfaceError, OperationalError, connection

from tests.integration.delivery.rows import subscribed, write_delivery, write_event, write_events
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt, Event
from tms_webhooks.net.transports.threads import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

ATTEMPTS = DeliveryAttempt._meta.db_table
DELIVERIES = Delivery._meta.db_table
EVENTS = Event._meta.db_table


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("tms_webhooks.worker.drain.RETRY_PAUSE", 0.001)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("times", [1, 5])
def test_a_result_that_cant_be_written_is_written_again_and_the_request_not_sent_again(run, wire, caplog, times, error):
    webhook = subscribed()
    write_event(webhook.organization)
    trouble = Trouble("INSERT", ATTEMPTS, times=times, error=error)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused == times
    assert len(wire.requests) == 1
    assert (tally.sent, tally.delivered) == (1, 1)
    assert webhook.deliveries.get().status == DeliveryStatus.DELIVERED
    assert list(DeliveryAttempt.objects.values_list("number", "status_code")) == [(1, 200)]
    assert "The database refused a step of the drain" in caplog.text


def test_nothing_of_a_write_that_failed_is_kept(run, wire):
    webhook = subscribed()
    write_events(webhook.organization, 3)
    wire.otherwise = answer(500)
    trouble = Trouble("INSERT", ATTEMPTS, times=2)

    with connection.execute_wrapper(trouble):
        run()

    assert len(wire.requests) == 3
    assert set(Delivery.objects.values_list("status", "attempts", "charged")) == {(DeliveryStatus.WAITING, 1, 1)}
    assert DeliveryAttempt.objects.count() == 3


def test_results_that_come_while_the_database_refuses_are_written_too(run, wire, settings):
    webhook = subscribed(max_in_flight=5)
    write_events(webhook.organization, 40)
    trouble = Trouble("INSERT", ATTEMPTS, times=10)

    with connection.execute_wrapper(trouble):
        run()

    assert trouble.refused == 10
    assert len(wire.requests) == 40
    assert Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == 40
    assert DeliveryAttempt.objects.count() == 40


@pytest.mark.parametrize(
    ("verb", "table"), [("SELECT", DELIVERIES), ("UPDATE", DELIVERIES), ("SELECT", EVENTS), ("UPDATE", EVENTS)]
)
def test_a_drain_that_cant_poll_polls_again(run, wire, verb, table):
    webhook = subscribed()
    write_event(webhook.organization)
    trouble = Trouble(verb, table, times=2)

    with connection.execute_wrapper(trouble):
        tally = run()

    assert trouble.refused == 2
    assert tally.delivered == 1
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["1"]
    assert webhook.deliveries.get().status == DeliveryStatus.DELIVERED


def test_a_lease_that_cant_be_renewed_is_renewed_later(run, wire, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "HEARTBEAT": 0.1}
    webhook = subscribed(max_in_flight=1)
    write_events(webhook.organization, 30)
    wire.otherwise = _slow
    trouble = Trouble("UPDATE", DELIVERIES, times=3)

    with connection.execute_wrapper(trouble):
        run()

    assert len(wire.requests) == 30
    assert Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == 30


def _slow(request):
    time.sleep(0.01)
    return answer()


def test_leases_that_cant_be_released_expire(wire, clock, caplog):
    webhook = subscribed()
    write_event(webhook.organization)
    trouble = Trouble("UPDATE", DELIVERIES, times=0)

    def closing():
        trouble.left = 100

    with connection.execute_wrapper(trouble):
        drain = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire))
        tally = drain.run(until_idle=True, after_last_claim=closing)

    assert trouble.refused > 0
    assert tally.delivered == 1
    assert "The database refused a step of the drain" in caplog.text


def test_more_attempts_than_a_small_number_holds_can_be_written(worker, wire, clock):
    # A receiver that says "429, Retry-After: 1" for two days gets here.
    webhook = subscribed()
    for attempts in (32_767, 65_535):
        write_delivery(webhook, now=clock.now, status="waiting", attempts=min(attempts, _most()))
    wire.otherwise = answer(429, {"retry-after": "1"})

    assert len(worker("alice").work()) == 2

    assert not Delivery.objects.exclude(lease="").exists()
    assert DeliveryAttempt.objects.count() == 2


def _most() -> int:
    limits = connection.ops.integer_field_range(Delivery._meta.get_field("attempts").get_internal_type())
    return limits[1] or 65_535
