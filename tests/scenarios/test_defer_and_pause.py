"""A real drain, and a receiver that fails: it is tried again as the schedule says."""

from collections import defaultdict

import pytest

from tests.receiver import Answer
from tests.scenarios.outcome import fill, name
from tests.scenarios.processes import stop
from tms_webhooks.models import DeliveryAttempt, Webhook

pytestmark = pytest.mark.slow


def test_six_attempts_of_the_schedule_skillable_take_15_seconds_although_the_webhook_is_paused(
    processes, tables, receiver
):
    events = 3
    fill(processes, receiver, events)
    Webhook.objects.using(tables.using).update(schedule="skillable", max_in_flight=events)
    receiver.respond = lambda request: Answer(500)

    with processes.but(RETRY_JITTER=0.0).drain() as drain:
        tables.wait_for({"exhausted": 2 * events})
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
