"""A job shows what became of its deliveries, counted from the deliveries."""

from __future__ import annotations

import pytest

from tests.integration.delivery.jobs import EVERYTHING
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import answer
from tests.sweeps import settle
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery.replay import JobProgress, progress
from tms_webhooks.models import Delivery


def test_a_recovery_counts_its_own_deliveries_as_they_end(do, finished, run, wire):
    webhook = subscribed(schedule="none")
    finished(webhook, "exhausted", 2)
    finished(webhook, "cancelled")
    finished(webhook, "delivered", 3)
    job = do(JobKind.RECOVER, webhook, **EVERYTHING)
    assert progress(job) == JobProgress(delivered=0, failed=0, skipped=0, cancelled=0, waiting=3)
    wire.answers = [answer(500)]

    run()

    assert progress(job) == JobProgress(delivered=2, failed=1, skipped=0, cancelled=0, waiting=0)


def test_deliveries_that_a_410_keeps_from_being_sent_are_skipped_and_not_failed(do, finished, run, wire):
    webhook = subscribed(max_in_flight=1)
    finished(webhook, "exhausted", 12)
    wire.answers = [answer(410)]
    job = do(JobKind.RECOVER, webhook, **EVERYTHING)

    run()
    settle(now=job.created_at)

    assert len(wire.requests) == 1
    assert progress(job) == JobProgress(delivered=0, failed=1, skipped=11, cancelled=0, waiting=0)


def test_a_replay_counts_skipped_and_new_deliveries(do, finished, run):
    webhook = subscribed()
    finished(webhook, "skipped", 2)
    (missed,) = finished(webhook, "skipped")
    Delivery.objects.filter(pk=missed.pk).delete()
    webhook.created_at = missed.event.occurred_at
    webhook.save()

    job = do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert progress(job) == JobProgress(delivered=3, failed=0, skipped=0, cancelled=0, waiting=0)


def test_a_delivery_counts_for_the_last_job_that_sent_it(do, finished, run, wire):
    webhook = subscribed(schedule="none")
    finished(webhook, "exhausted", 2)
    wire.answers = [answer(500)]
    first = do(JobKind.RECOVER, webhook, **EVERYTHING)
    run()

    second = do(JobKind.RECOVER, webhook, **EVERYTHING)
    run()

    assert progress(first) == JobProgress(delivered=1, failed=0, skipped=0, cancelled=0, waiting=0)
    assert progress(second) == JobProgress(delivered=1, failed=0, skipped=0, cancelled=0, waiting=0)


@pytest.mark.parametrize("kind", [JobKind.CANCEL_PENDING, JobKind.SEND_NOW])
def test_a_job_about_deliveries_that_wait_has_none_of_its_own(do, clock, kind):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now)

    job = do(kind, webhook)

    assert job.done == 1
    assert progress(job) is None
    assert not Delivery.objects.filter(job=job.pk).exists()
