"""Every attempt is counted once, by the hour and by the day, together with what it did to its delivery."""

from datetime import timedelta, timezone

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import subscribed
from tests.integration.delivery.trouble import Trouble
from tests.integration.delivery.wire import Steady, answer, broken
from tests.threads import at_once, several
from tms_webhooks.choices import AttemptResult, Health, Priority, TotalSpan
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Event
from tms_webhooks.models.total import COUNTS, LAGS, CountedAttempt
from tms_webhooks.monitoring.figures import health_by_webhook, history
from tms_webhooks.net.transports import client


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Each exchange takes an eighth of a second."""
    monkeypatch.setattr(client, "time", Steady())


def counts(**wanted):
    """Return what is counted, without the noughts, of the only total that is like this."""
    row = DeliveryTotal.objects.get(**wanted)
    return {name: getattr(row, name) for name in COUNTS if getattr(row, name)}


def test_an_hour_and_a_day_know_what_attempts_came_to(run, wire, clock):
    webhook = subscribed(max_retries=1, happened=3)
    wire.answers = [200, 500, "connection_refused"]
    run()
    clock.advance(seconds=6)
    wire.answers = [200, 503]
    run()

    expected = {"delivered": 2, "retried": 2, "given_up": 1, "took_160": 4}
    total = dict.fromkeys(expected, 0)
    for row in DeliveryTotal.objects.filter(webhook=webhook, span=TotalSpan.DAY):
        for name in total:
            total[name] += getattr(row, name)

    assert total == expected
    assert history(webhook, now=clock.now).day.success_rate == 0.4


def test_a_total_is_of_the_hour_in_which_the_attempt_began(clock):
    webhook = subscribed()
    clock.now = clock.now.replace(hour=23, minute=59, second=59)
    delhi = timezone(timedelta(hours=5, minutes=30))
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, clock.now, AttemptResult.DELIVERED, 5)])()
    DeliveryTotal.objects.addition(
        [CountedAttempt(webhook.pk, clock.advance(seconds=1).astimezone(delhi), AttemptResult.GIVEN_UP, None)]
    )()

    for span, length in ((TotalSpan.HOUR, timedelta(hours=1)), (TotalSpan.DAY, timedelta(days=1))):
        assert counts(span=span, starts_at=clock.now - length) == {"delivered": 1, "took_10": 1}
        assert counts(span=span, starts_at=clock.now) == {"given_up": 1}


@pytest.mark.parametrize("error_class", ["proxy_error", "keys_missing"])
def test_a_failure_of_the_operators_machines_is_not_counted_until_the_delivery_is_given_up(
    run, wire, clock, settings_of_app, monkeypatch, error_class
):
    settings_of_app(DELIVERY_LIFETIME_SECONDS=400.0)
    monkeypatch.setattr("tms_webhooks.net.proxy.PROXY_WAIT", 300.0)
    webhook = subscribed(happened=4)
    wire.answers = [200, 200]
    wire.otherwise = broken(error_class)
    run()
    webhook.refresh_from_db()
    day = history(webhook, now=clock.now).day

    assert webhook.deliveries.filter(status="waiting", error_class=error_class).exists()
    word = Health.DEGRADED if webhook.state.is_held(clock.now) else Health.HEALTHY
    found = health_by_webhook([webhook], now=clock.now)[webhook.pk]
    assert (day.attempts, day.success_rate, found.word) == (2, 1.0, word)
    clock.advance(seconds=399)
    run()
    assert history(webhook, now=clock.now).day.given_up > 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", [DeliveryTotal._meta.db_table, DeliveryAttempt._meta.db_table])
def test_a_success_is_written_down_whole_or_not_at_all(alice, backlog, table):
    webhook = backlog(1)
    result = alice.send(alice.claim()[0])

    with connection.execute_wrapper(Trouble("INSERT", table, times=1)), pytest.raises(OperationalError):
        alice.write(result)
    assert not DeliveryTotal.objects.exists()
    assert not DeliveryAttempt.objects.exists()
    assert webhook.deliveries.get().status == "pending"
    alice.write(result)

    assert counts(span=TotalSpan.DAY) == {"delivered": 1, "took_160": 1, "lag_longer": 1}
    assert webhook.deliveries.get().status == "delivered"


def test_a_batch_is_counted_in_one_statement(alice, backlog):
    for _ in range(5):
        backlog(4, max_in_flight=4)
    done = [alice.send(request) for request in alice.claim()]

    with CaptureQueriesContext(connection) as queries:
        alice.write(*done)

    assert len(done) == 20
    assert len([query for query in queries if DeliveryTotal._meta.db_table in query["sql"]]) == 1
    assert DeliveryTotal.objects.count() == 10


@pytest.mark.django_db(transaction=True)
@several
def test_workers_at_the_same_moment_count_everything(clock):
    webhooks = [subscribed() for _ in range(3)]
    one_each = [CountedAttempt(webhook.pk, clock.now, AttemptResult.DELIVERED, 5) for webhook in webhooks]

    def work(attempts):
        def count_many():
            for _ in range(20):
                DeliveryTotal.objects.addition(attempts)()

        return count_many

    assert at_once(work(one_each), work(one_each[::-1]), work(one_each)) == []

    assert list(DeliveryTotal.objects.filter(span=TotalSpan.DAY).values_list("delivered", flat=True)) == [60] * 3


# Lag


def lags():
    """Return the lags that are counted, without zeros, over all hours."""
    rows = DeliveryTotal.objects.filter(span=TotalSpan.HOUR).values(*LAGS)
    return {name: number for name in LAGS if (number := sum(row[name] for row in rows))}


@pytest.mark.parametrize(
    "duration, lag, names",
    [
        (0, 0, ("took_10", "lag_10")),
        (10, 10, ("took_10", "lag_10")),
        (11, 11, ("took_20", "lag_30")),
        (10_240, 3_600_000, ("took_10240", "lag_3600000")),
        (10_241, 3_600_001, ("took_longer", "lag_longer")),
    ],
)
def test_a_bucket_of_durations_or_lags_includes_its_limit(clock, duration, lag, names):
    webhook = subscribed()
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, clock.now, AttemptResult.DELIVERED, duration, lag)])()

    assert counts(span=TotalSpan.HOUR) == {"delivered": 1, **dict.fromkeys(names, 1)}


@pytest.mark.parametrize("status", [200, 500])
def test_the_lag_is_from_the_event_to_its_first_attempt(run, wire, clock, status):
    subscribed(max_retries=1, happened=3)
    Event.objects.update(occurred_at=clock.now - timedelta(milliseconds=250))
    wire.otherwise = answer(status)

    run()
    clock.advance(seconds=60)
    run()

    assert lags() == {"lag_300": 3}


def test_the_delay_of_a_webhook_is_no_lag(run, clock):
    subscribed(delay_seconds=60, happened=1)
    Event.objects.update(occurred_at=clock.now)
    run()

    clock.advance(seconds=62)
    run()

    assert lags() == {"lag_3000": 1}


@pytest.mark.parametrize("priority", [Priority.REPLAY, Priority.MANUAL])
def test_a_replay_and_a_delivery_sent_by_hand_have_no_lag(alice, backlog, priority):
    backlog(1)
    Delivery.objects.update(priority=priority)

    alice.work()

    assert counts(span=TotalSpan.HOUR) == {"delivered": 1, "took_160": 1}
