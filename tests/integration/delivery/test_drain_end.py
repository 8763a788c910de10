"""A drain ends when the last result is written, and releases leases that it no longer needs."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import Gate, Wire, answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt, WebhookState
from tms_webhooks.net.transports.threads import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker import drain
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

ATTEMPTS = DeliveryAttempt._meta.db_table
DELIVERIES = Delivery._meta.db_table


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(drain, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(drain, "LONGEST_PAUSE", 0.001)


def statuses() -> set[str]:
    return set(Delivery.objects.values_list("status", flat=True))


def test_answers_that_come_after_the_time_is_over_are_written(clock):
    webhook = subscribed(max_in_flight=8)
    write_events(webhook.organization, 8)
    gate = Gate()
    wire = Wire(otherwise=gate)
    tally = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire)).run(
        seconds=0.5, after_last_start=lambda: threading.Timer(0.1, gate.open).start()
    )

    sent = len(wire.requests)
    assert sent
    assert (tally.sent, tally.delivered) == (sent, sent)
    assert Delivery.objects.filter(status=DeliveryStatus.DELIVERED).count() == sent
    assert DeliveryAttempt.objects.count() == sent
    assert not WebhookState.objects.exclude(lease="").exists()


def test_a_last_result_that_the_database_refuses_is_written_all_the_same(clock):
    webhook = subscribed()
    write_events(webhook.organization, 1)
    gate, trouble = Gate(), Trouble("INSERT", ATTEMPTS, times=0)

    def closing():
        trouble.left = 5
        gate.open()

    stop = threading.Event()

    def look(now):
        if gate.waiting:
            stop.set()
        return fan_out(now)

    with connection.execute_wrapper(trouble):
        Drain(fan_out=look, clock=clock, transport=ThreadTransport(Wire(gate))).run(stop=stop, after_last_start=closing)

    assert trouble.refused == 5
    assert statuses() == {DeliveryStatus.DELIVERED}
    assert DeliveryAttempt.objects.count() == 1


def test_it_ends_with_no_request_in_flight_and_no_thread_however_often(clock):
    webhook = subscribed(max_in_flight=8)
    before = set(threading.enumerate())
    for _ in range(10):
        write_events(webhook.organization, 30)
        wire = Wire(otherwise=answer())
        tally = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

        assert (tally.sent, len(wire.requests)) == (30, 30)
        assert Delivery.objects.open().count() == 0
        assert set(threading.enumerate()) <= before


def test_a_drain_that_breaks_sends_nothing_more_of_what_it_holds(clock):
    webhook = subscribed(max_in_flight=1)
    write_events(webhook.organization, 40)
    gate, quick = Gate(), [answer()] * 10
    wire = Wire(*quick, otherwise=gate)

    def look(now):
        if gate.waiting:
            threading.Timer(0.05, gate.open).start()
            raise RuntimeError("out of memory")
        return fan_out(now)

    with pytest.raises(RuntimeError, match="out of memory"):
        Drain(fan_out=look, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

    assert len(wire.requests) == 11
    assert not WebhookState.objects.exclude(lease="").exists()


def test_a_claim_that_is_cut_short_after_its_commit_is_released_and_claimed_again(clock, monkeypatch, run, wire):
    webhook = subscribed(max_in_flight=5)
    write_events(webhook.organization, 5)
    original, calls = drain.make_requests, []

    def pack(*args, **kwargs):
        calls.append(None)
        if len(calls) == 1:
            raise OperationalError("the connection was lost")
        return original(*args, **kwargs)

    monkeypatch.setattr(drain, "make_requests", pack)

    # On a clock that stands still: no lease ever runs out.
    tally = run()

    assert tally.delivered == 5
    assert len(wire.requests) == 5
    assert statuses() == {DeliveryStatus.DELIVERED}


def test_deliveries_in_flight_are_not_released_with_it(clock, monkeypatch):
    slow = subscribed("/slow")
    write_events(slow.organization, 1)
    other = subscribed("/other")
    gate = Gate()
    wire = Wire(otherwise=lambda request: gate(request) if "/slow" in request.url else answer())
    original, broken = drain.make_requests, []

    def pack(*args, **kwargs):
        if gate.waiting and not broken:
            broken.append(None)
            raise OperationalError("the connection was lost")
        return original(*args, **kwargs)

    def look(now):
        if gate.waiting and not other.deliveries.exists():
            write_events(other.organization, 1)
        if other.deliveries.filter(status=DeliveryStatus.DELIVERED).exists():
            gate.open()
        return fan_out(now)

    monkeypatch.setattr(drain, "make_requests", pack)
    Drain(fan_out=look, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

    assert broken
    assert statuses() == {DeliveryStatus.DELIVERED}
    assert (len(wire.to("/slow")), len(wire.to("/other"))) == (1, 1)
    assert set(DeliveryAttempt.objects.values_list("number", flat=True)) == {1}


def test_webhooks_that_could_not_be_given_back_at_a_pause_are_given_back_later(clock):
    webhook = subscribed(max_in_flight=1)
    write_events(webhook.organization, 60)
    wire = Wire(*[answer()] * 30, otherwise=answer(410))
    trouble = Trouble("UPDATE", WebhookState._meta.db_table, times=1, only="lease = ''")

    with connection.execute_wrapper(trouble):
        Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

    assert not WebhookState.objects.exclude(lease="").exists()
    assert len(wire.requests) == 31
