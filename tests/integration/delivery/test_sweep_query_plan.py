"""What is run every minute, and what a person waits for, reads deliveries by indexes, however much is finished."""

from datetime import timedelta

import pytest

from tests import sweeps
from tests.integration.delivery.jobs import WITH_A_RANGE
from tests.integration.test_query_plans import (
    DELIVERIES,
    OPEN,
    WEBHOOKS,
    analyze,
    clock,
    explained,
    history,
    moment,
    plans,
)
from tms_webhooks.delivery import health, replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Webhook

__all__ = ["clock", "history", "moment"]

pytestmark = plans


def test_looking_for_what_is_too_old_reads_what_is_due(history, clock):
    with explained() as statements:
        assert sweeps.give_up_old(clock.now) == 0

    assert statements.whole_scans(DELIVERIES) == []
    assert statements.uses("tms_delivery_due")


def test_giving_up_what_is_too_old_reads_by_keys(history, clock):
    clock.advance(days=8)
    analyze()

    with explained() as statements:
        assert sweeps.give_up_old(clock.now) == WEBHOOKS * OPEN

    assert statements.whole_scans(DELIVERIES) == []


def test_settling_reads_what_is_open_of_one_webhook_after_the_other(history, clock):
    Webhook.objects.filter(pk=history[0].pk).update(enabled=False)
    Webhook.objects.filter(pk=history[1].pk).update(deleted_at=clock.now)
    clock.advance(minutes=1)
    analyze()

    with explained() as statements:
        assert sweeps.settle(clock.now) == 2 * OPEN
        health.warn_all(clock.now)

    assert statements.whole_scans(DELIVERIES) == []


@pytest.mark.parametrize("kind", WITH_A_RANGE)
def test_counting_and_doing_a_job_reads_deliveries_by_indexes(history, clock, kind):
    since = clock.now - timedelta(days=13)

    with explained() as statements:
        job = start_job(kind, history[0], now=clock.now, since=since)
        replay.work_on(job, now=clock.now)

    assert statements.whole_scans(DELIVERIES) == []
