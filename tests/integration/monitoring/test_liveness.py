"""Liveness: how many drains run, when the last one stopped, and the deliveries that a drain holds and does not send."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import lease, subscribed, write_delivery
from tms_webhooks.models import DrainSlot, WebhookState
from tms_webhooks.monitoring.liveness import HealthLevel, HealthProblem, assess, read_liveness


@pytest.mark.parametrize(
    ("slots", "drains", "gone"),
    [
        ([], 0, None),
        ([("drain", 5)], 1, 0.0),
        ([("drain", 5), ("other", 3), ("", -50)], 2, 0.0),
        ([("", -50), ("killed", -20)], 0, 20.0),
        # Given up by a process whose clock is ahead.
        ([("", 4)], 0, 0.0),
    ],
)
def test_how_long_ago_a_drain_held_a_slot(clock, slots, drains, gone):
    for number, (owner, seconds) in enumerate(slots, start=1):
        DrainSlot.objects.create(number=number, owner=owner, held_until=clock.now + timedelta(seconds=seconds))

    found = read_liveness(now=clock.now)

    assert (found.drains, found.drain_gone_seconds) == (drains, gone)


@pytest.mark.parametrize(
    ("seconds", "state", "named"),
    [
        (61, {}, True),
        (59, {}, False),
        (61, {"served_at": 30}, False),
        (61, {"succeeded_at": 30}, False),
        (61, {"failed_at": 30}, False),
        (61, {"succeeded_at": 90, "failed_at": 70}, True),
    ],
)
def test_due_deliveries_of_a_held_webhook_without_an_attempt_for_a_minute_need_an_operator_now(
    clock, seconds, state, named
):
    webhook, ago = subscribed(), {"served_at": seconds, **state}
    WebhookState.objects.update(**{name: clock.now - timedelta(seconds=value) for name, value in ago.items()})
    for _ in range(3):
        write_delivery(webhook, now=clock.now - timedelta(seconds=seconds))
    lease(webhook, clock.now + timedelta(seconds=10))

    DrainSlot.objects.create(number=1, owner="a worker", held_until=clock.now + timedelta(seconds=20))
    report = assess(read_liveness(now=clock.now), max_lag=120.0, keeps_drains=False)

    reason = f"Deliveries that a worker holds and does not send: 3 (webhooks: {webhook.pk}). Restart it."
    assert report.problems == ((HealthProblem(HealthLevel.STOPPED, reason),) if named else ())


def test_a_webhook_whose_lease_has_expired_is_not_held(clock):
    webhook = subscribed()
    WebhookState.objects.update(served_at=clock.now - timedelta(minutes=5))
    write_delivery(webhook, now=clock.now - timedelta(minutes=5))
    lease(webhook, clock.now - timedelta(seconds=1))

    assert read_liveness(now=clock.now).urgent == ()
