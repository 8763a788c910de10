"""A real drain, and receivers that defer or fail: deferred by the second, and retried as the schedule says."""

from __future__ import annotations

import json
import threading
from collections import defaultdict

import pytest

from tests.receiver import Answer
from tests.scenarios.answers import held
from tests.scenarios.outcome import fill, name
from tests.scenarios.processes import stop
from tms_webhooks.choices import DelayReason, DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook
from tms_webhooks.worker.endpoint_queues import AdaptiveLimit

pytestmark = pytest.mark.django_db(transaction=True)


def test_six_attempts_of_the_schedule_skillable_take_15_seconds_although_the_webhook_is_paused(
    processes, tables, receiver
):
    events = 3
    fill(processes, receiver, events)
    Webhook.objects.using(tables.using).update(schedule="skillable", max_in_flight=events)
    receiver.respond = lambda request: Answer(500)

    with processes.but(RETRY_JITTER=0.0).drain() as drain:
        tables.wait_for({DeliveryStatus.EXHAUSTED: 2 * events})
        stop(drain)

    moments = defaultdict(list)
    for request in receiver.received:
        moments[name(request)].append(request.at)
    assert len(moments) == 2 * events
    for came in moments.values():
        assert len(came) == 6
        assert came[-1] - came[0] >= 14.9
    planned = defaultdict(float)
    for attempt in DeliveryAttempt.objects.using(tables.using).filter(next_delay__isnull=False):
        planned[attempt.delivery_id] += attempt.next_delay
    assert list(planned.values()) == [pytest.approx(15.0)] * (2 * events)
    assert all(webhook.state.pauses for webhook in Webhook.objects.using(tables.using).all())


def test_retry_after_holds_a_webhook_and_no_other_one_and_costs_nothing(processes, tables, receiver):
    events, seconds = 20, 3
    fill(processes, receiver, events)
    deferred, gate = [], threading.Event()

    def respond(request):
        if request.path == "/first" and not deferred:
            deferred.append(request)
            return Answer(429, {"retry-after": str(seconds)})
        # The others that are in flight are answered once the first answer was recorded.
        return held(gate) if request.path == "/first" else Answer()

    receiver.respond = respond
    with processes.but(RETRY_JITTER=0.0).drain() as drain:
        tables.wait_until(lambda: DeliveryAttempt.objects.using(tables.using).exclude(error_class="").exists())
        gate.set()
        tables.wait_for({DeliveryStatus.DELIVERED: 2 * events})
        stop(drain)

    until = deferred[0].at + seconds
    # Before came only the requests that were in flight when the first answer came.
    early = [request for request in receiver.received if request.path == "/first" and request.at < until - 0.1]
    assert len(early) <= AdaptiveLimit.FIRST
    assert all(request.at < until for request in receiver.received if request.path == "/second")
    assert set(Delivery.objects.using(tables.using).values_list("charged", flat=True)) == {1}
    log = DeliveryAttempt.objects.using(tables.using).exclude(error_class="")
    assert list(log.values_list("delay_reason", "charged")) == [(DelayReason.RETRY_AFTER, False)]
    assert set(Webhook.objects.using(tables.using).values_list("state__failures", "state__pauses")) == {(0, 0)}


def test_a_drain_with_the_wrong_keys_keeps_everything_for_one_with_the_right_ones(processes, tables, receiver):
    fill(processes, receiver, 5)
    wrong = processes.but(
        ENCRYPTION_KEYS=["bm90IHRoZSBrZXkgdGhhdCBlbmNyeXB0ZWQgdGhlbSE="], **{"models.encryption.KEYS_WAIT": 2.0}
    )

    with wrong.drain() as drain:
        tables.wait_until(lambda: DeliveryAttempt.objects.using(tables.using).count() >= 2)
        stop(drain)
    assert receiver.received == []
    health = wrong.attempt("django", "webhooks_health", "--json")
    assert health.returncode == 2
    assert "ENCRYPTION_KEYS" in json.loads(health.stdout)["reasons"][-1]

    with processes.drain() as drain:
        tables.wait_for({DeliveryStatus.DELIVERED: 10})
        stop(drain)
    assert set(Delivery.objects.using(tables.using).values_list("charged", flat=True)) == {1}
    assert len(receiver.received) == 10
