"""A receiver that is down for days gets everything once it is up; the clock is moved, and the wire is real."""

from collections import Counter
from datetime import timedelta
from itertools import accumulate

import pytest

from tests.integration.delivery.rows import distinct, subscribed, work_off, write_event, write_events
from tests.scenarios.timeline import Intermittent, Timeline
from tms_webhooks.choices import JobKind
from tms_webhooks.conf import AppSettings
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import DeliveryAttempt, Event

# The first attempts: four one after the other; then one at the end of each pause, of 1, 2, 4, … minutes and at most a
# day. Each is followed by the retries of its own delivery, which no pause moves.
PROBES = [0, 0, 0, 0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1_023, 2_047, 3_487]


@pytest.fixture
def down():
    """A receiver that refuses connections."""
    receiver = Intermittent()
    yield receiver
    receiver.close()


@pytest.fixture
def timeline(clock, receiver, down, settings_of_app):
    """A time that has just begun; webhooks may reach both receivers."""
    ports = [receiver.port, down.port]
    settings_of_app(ALLOWED_PORTS=ports)
    return Timeline(clock)


@pytest.fixture
def webhook(down):
    """The webhook of the receiver that is down."""
    return subscribed(url=down.url, max_in_flight=1)


@pytest.fixture
def watcher(webhook, receiver):
    """Another one of the same organization, whose receiver is well."""
    return subscribed(url=receiver.url, organization=webhook.organization, events=["class.*", "webhook.*"])


def operational(receiver):
    """What came of news about webhooks: the type, and how far a failing one is on its way."""
    return [
        (event["type"], event.get("details", {}).get("percent"))
        for event in receiver.events
        if event["type"].startswith("webhook")
    ]


def ids(requests):
    return Counter(request.headers["webhook-id"] for request in requests)


def classes():
    """Each event of the outbox that is not about webhooks, once."""
    return Counter(event.public_id for event in Event.objects.filter(type__startswith="class."))


def every(timeline, hours, *, until, webhook):
    return [(timeline.at(hours=hour), lambda: write_event(webhook.organization)) for hour in range(hours, until, hours)]


def states(webhook):
    return Counter(webhook.deliveries.values_list("status", flat=True))


def test_one_event_is_tried_on_the_schedule_and_delivered_by_the_eleventh_attempt(timeline, webhook, down):
    write_event(webhook.organization)

    timeline.live_until(timeline.at(hours=60))
    down.come_up()
    timeline.live_until(timeline.at(hours=80))

    moments = [0, *accumulate(vars(AppSettings)["RETRY_DELAYS_SECONDS"].default)]
    assert [60 * minutes for minutes in timeline.minutes_of_attempts(webhook)] == pytest.approx(moments)
    log = list(DeliveryAttempt.objects.order_by("number").values_list("number", "error_class", "delay_reason"))
    assert log == [*[(number, "connection_refused", "schedule") for number in range(1, 11)], (11, "", "")]
    assert ids(down.received) == classes()
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts, delivery.charged) == ("delivered", 11, 11)


def test_after_six_days_it_is_disabled_and_gets_all_that_it_missed_by_a_replay(
    timeline, webhook, watcher, receiver, down, clock
):
    write_events(webhook.organization, 20)
    timeline.live_until(timeline.at(days=6), happenings=every(timeline, 6, until=6 * 24, webhook=webhook))

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, "failing")
    # Its last attempt was the first one after five days.
    attempts = timeline.minutes_of_attempts(webhook)
    assert timeline.minutes_since(webhook.disabled_at) == attempts[-1] > 5 * 24 * 60 > attempts[-2]
    assert timeline.minutes_of_attempts(webhook, number=1) == [*PROBES, PROBES[-1] + 24 * 60, PROBES[-1] + 2 * 24 * 60]
    # The first ones have used up their retries; what waited and what came later was not given up.
    assert states(webhook) == {"skipped": 28, "exhausted": 15}
    later = webhook.deliveries.filter(created_at__gt=webhook.disabled_at)
    assert distinct(later, "attempts") == {0}
    assert later.count() == 3
    assert Counter(operational(receiver)) == {
        **{("webhook.failing", percent): 1 for percent in (50, 70, 90)},
        ("webhook.exhausted", None): 15,
        ("webhook.disabled", None): 1,
    }

    down.come_up()
    timeline.live_until(timeline.at(days=6.5))
    assert down.received == []

    webhooks.enable(webhook, now=clock.now)
    ranges = {JobKind.REPLAY_MISSED: {}, JobKind.RECOVER: {"since": timeline.at(days=-7), "until": clock.now}}
    jobs = [start_job(kind, webhook, now=clock.now, **range_) for kind, range_ in ranges.items()]
    for job in jobs:
        work_off(job, clock.now)
    timeline.live_until(timeline.at(days=6.5) + timedelta(minutes=1))

    for job, total in zip(jobs, (28, 15), strict=True):
        job.refresh_from_db()
        assert (job.status, job.done, job.total) == ("finished", total, total)
    assert states(webhook) == {"delivered": 43}
    assert ids(down.received) == classes()
    assert operational(receiver)[-1] == ("webhook.recovered", None)
