"""Cancel what waits: a backlog is called off, and what is under way is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.delivery.jobs import HOUR, count, statuses
from tests.integration.delivery.rows import OCCURRED_AT, new_event, subscribed
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DisabledReason, JobKind, JobStatus
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.models import Event
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.django_db


def test_cancelling_calls_off_what_waits_and_leaves_what_is_under_way(do, finished, worker, due, clock):
    webhook = subscribed(max_in_flight=1)
    due(webhook, 1)
    alice = worker("alice")
    (request,) = alice.claim()
    due(webhook, 2)
    due(webhook, 1, status="waiting", attempts=3, charged=3, due_at=clock.now + HOUR)
    finished(webhook, "exhausted")
    other = subscribed("/other")
    due(other, 1)
    assert count(JobKind.CANCEL_PENDING, webhook) == 3

    job = do(JobKind.CANCEL_PENDING, webhook)

    assert (job.total, job.done, job.status) == (3, 3, JobStatus.FINISHED)
    assert statuses(webhook) == ["in_flight", *["cancelled"] * 3, "exhausted"]
    assert statuses(other) == ["pending"]
    alice.write(alice.send(request))
    assert statuses(webhook)[0] == "delivered"


def test_what_is_under_way_and_fails_is_tried_again_all_the_same(do, worker, wire, due):
    webhook = subscribed()
    due(webhook, 1)
    alice = worker("alice")
    (request,) = alice.claim()
    do(JobKind.CANCEL_PENDING, webhook)
    wire.answers = [answer(500)]

    alice.write(alice.send(request))

    assert statuses(webhook) == ["waiting"]


def test_events_that_happen_after_it_was_asked_for_are_not_cancelled(clock, due):
    webhook = subscribed()
    due(webhook, 2)
    job = replay.start(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    later = new_event(webhook.organization)
    later.occurred_at = clock.now + timedelta(seconds=1)
    later.save()
    fan_out(clock.advance(minutes=1))

    while replay.work_on(job, now=clock.now):
        pass

    assert statuses(webhook) == ["cancelled", "cancelled", "pending"]
    assert (job.done, job.total) == (2, 2)


def test_a_range_cancels_a_part(do, due, clock):
    webhook = subscribed()
    first, second = due(webhook, 2)
    Event.objects.filter(pk=first.event_id).update(occurred_at=OCCURRED_AT - 2 * HOUR)

    do(JobKind.CANCEL_PENDING, webhook, since=OCCURRED_AT - 3 * HOUR, until=OCCURRED_AT - HOUR)

    assert statuses(webhook) == ["cancelled", "pending"]
    assert second.status == "pending"


def test_what_waits_for_a_disabled_webhook_can_be_cancelled(do, run, finished, clock):
    webhook = subscribed()
    (delivery,) = finished(webhook, "exhausted")
    lifecycle.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)
    replay.resend(delivery, now=clock.now)

    assert do(JobKind.CANCEL_PENDING, webhook).done == 1

    assert statuses(webhook) == ["cancelled"]
