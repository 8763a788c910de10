"""Metrics, in the real library's words."""

from contextlib import suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.delivery.rows import lease, set_aside, subscribed, write, write_delivery, write_event
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import Steady
from tests.patience import PATIENCE
from tests.threads import at_once
from tms_webhooks import signals
from tms_webhooks.models import Delivery, DrainSlot
from tms_webhooks.monitoring.liveness import examine
from tms_webhooks.net.transports import client
from tms_webhooks.telemetry import prometheus


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Each exchange takes an eighth of a second."""
    monkeypatch.setattr(client, "time", Steady())


def disconnect(registry):
    """Undo `prometheus.connect`."""
    signals.attempt_recorded.disconnect(sender=Delivery, dispatch_uid=prometheus.UID)
    registry.unregister(prometheus._connected.pop())


@pytest.fixture
def registry():
    """A registry of the test's own, with our metrics in it."""
    registry = CollectorRegistry(auto_describe=True)
    prometheus.connect(registry)
    yield registry
    disconnect(registry)


def scraped(registry):
    """Scrape as Prometheus does: what `generate_latest` writes, read by the library's own parser."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_attempts_are_counted_by_outcome(registry, clock, run, wire):
    wire.answers = [500, "timeout", 200]
    subscribed(happened=1)

    run()
    for seconds in (5, 60):
        clock.advance(seconds=seconds)
        run()

    found = scraped(registry)
    assert {name: value for name, value in found.items() if name.startswith("tms_webhooks_attempts")} == {
        "tms_webhooks_attempts_total{outcome=http_status}": 1.0,
        "tms_webhooks_attempts_total{outcome=timeout}": 1.0,
        "tms_webhooks_attempts_total{outcome=delivered}": 1.0,
    }
    assert found["tms_webhooks_attempt_seconds_count"] == 3.0
    assert found["tms_webhooks_attempt_seconds_sum"] == pytest.approx(0.375)
    assert found["tms_webhooks_attempt_seconds_bucket{le=0.25}"] == 3.0


def test_no_label_grows_with_the_number_of_webhooks(registry, run):
    for number in range(3):
        subscribed(f"/{number}", happened=1)

    run()

    assert len([name for name in scraped(registry) if name.startswith("tms_webhooks_attempts_total")]) == 1


def test_the_first_attempts_of_two_threads_make_one_metric(monkeypatch):
    registry, together = CollectorRegistry(), Barrier(2)
    histogram = prometheus.Histogram

    def made_together(*args, **kwargs):
        # One thread alone waits in vain.
        with suppress(BrokenBarrierError):
            together.wait(timeout=0.2)
        return histogram(*args, **kwargs)

    monkeypatch.setattr(prometheus, "Histogram", made_together)
    metrics = prometheus.AttemptMetrics(registry)

    errors = at_once(*[lambda: metrics.record(error_class="", seconds=0.1) for _ in range(2)])

    assert errors == []
    assert scraped(registry)["tms_webhooks_attempt_seconds_count"] == 2.0


def test_the_backlog_is_read_at_each_scrape(registry):
    assert scraped(registry) == {**dict.fromkeys(prometheus.GAUGES, 0.0), "tms_webhooks_health": 2.0}
    now = timezone.now()
    webhook = subscribed()
    write_delivery(webhook, now=now - timedelta(seconds=90))
    held = subscribed()
    write_delivery(held, now=now)
    lease(held, now + timedelta(seconds=30))
    event = write_event(webhook.organization)
    write(event, occurred_at=now - timedelta(seconds=40))
    set_aside(webhook.organization, now=now - timedelta(seconds=50))
    DrainSlot.objects.create(number=1, owner="drain", held_until=now + timedelta(seconds=9))

    found = scraped(registry)

    assert found["tms_webhooks_health"] == 1.0
    assert found["tms_webhooks_deliveries_open"] == 2.0
    assert found["tms_webhooks_deliveries_leased"] == 1.0
    assert 90.0 <= found["tms_webhooks_delivery_due_seconds"] < 90.0 + PATIENCE
    assert found["tms_webhooks_events_to_fan_out"] == 1.0
    assert 40.0 <= found["tms_webhooks_event_waiting_seconds"] < 40.0 + PATIENCE
    assert found["tms_webhooks_events_set_aside"] == 1.0
    assert 50.0 <= found["tms_webhooks_event_set_aside_seconds"] < 50.0 + PATIENCE
    assert found["tms_webhooks_drains"] == 1.0


def test_starting_asks_the_database_nothing(django_assert_num_queries):
    registry = CollectorRegistry(auto_describe=True)
    with django_assert_num_queries(0):
        prometheus.connect(registry)
    disconnect(registry)


def test_a_database_that_does_not_answer_costs_the_backlog_only(registry, run, caplog):
    subscribed(happened=1)
    run()

    with connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_drainslot", times=1)):
        found = scraped(registry)

    assert found["tms_webhooks_attempts_total{outcome=delivered}"] == 1.0
    assert not set(prometheus.GAUGES) & set(found)
    assert "The backlog can't be read for Prometheus." in caplog.text


@pytest.mark.parametrize("fails", [True, False])
def test_a_scrape_closes_old_connections_as_the_end_of_a_request_does(registry, monkeypatch, fails):
    # It may run in a thread of its own, where no code closes them.
    closed, found = [], examine()

    def read():
        if fails:
            raise OperationalError
        return found

    monkeypatch.setattr(prometheus, "close_old_connections", lambda: closed.append(True))
    monkeypatch.setattr(prometheus, "examine", read)

    generate_latest(registry)

    assert closed == [True]


def test_connecting_twice_counts_once(registry, run):
    prometheus.connect(registry)
    subscribed(happened=1)

    run()

    assert scraped(registry)["tms_webhooks_attempts_total{outcome=delivered}"] == 1.0
