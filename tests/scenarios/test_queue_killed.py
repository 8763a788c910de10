"""All workers of the queue are killed with SIGKILL and started again: nothing is lost, and the periodic jobs go on."""

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import distinct
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.clusters import with_queue
from tests.scenarios.outcome import assert_all_delivered_once, came, fill, wait_until_all
from tests.scenarios.queues import only
from tms_webhooks.models import PeriodicRun

pytestmark = pytest.mark.slow

EVENTS = 20
RESTARTED = 90.0
"""Seconds after which the sweep has come, on a busy machine."""
EVERY_MINUTE = {"tms_webhooks.tasks.sweep", "tms_webhooks.tasks.work_on_jobs"}
# The next request to one of the two webhooks is sent when the last one is answered.
AT_ONCE = {"MAX_IN_FLIGHT": 1}


def test_a_killed_cluster_that_is_started_again_delivers_the_rest_and_its_periodic_jobs_go_on(
    receiver, processes, tables
):
    clustered = with_queue(processes, tables).but(**AT_ONCE)
    receiver.respond = lambda request: Answer(delay=0.1)
    fill(clustered, receiver, EVENTS)

    with clustered.cluster():
        receiver.wait_for(EVENTS, seconds=PATIENCE)
    before = len(receiver.received)
    assert tables.statuses()["delivered"] < 2 * EVENTS
    PeriodicRun.objects.using(tables.using).update(started_at=timezone.now() - timedelta(days=2))
    killed_at = timezone.now()

    with clustered.cluster():
        wait_until_all(receiver, 2 * EVENTS, seconds=RESTARTED)
        tables.wait_for({"delivered": 2 * EVENTS}, seconds=RESTARTED)
        runs = PeriodicRun.objects.using(tables.using).filter(started_at__gt=killed_at)
        tables.wait_until(lambda: distinct(runs, "function") >= EVERY_MINUTE, seconds=RESTARTED)

    assert before < 2 * EVENTS
    times = came(receiver)
    # Those that were in flight at the kill came twice, and those whose answers were not recorded yet.
    assert max(times.values()) <= 2
    assert sum(times.values()) - len(times) < EVENTS
    assert_all_delivered_once(tables.outcome(), events=EVENTS)


@only("celery", "Celery alone ends its processes without waiting for their threads")
def test_a_celery_worker_that_is_asked_to_stop_waits_for_its_last_answers(receiver, processes, tables):
    clustered = with_queue(processes, tables)
    receiver.respond = lambda request: Answer(delay=4.0)
    fill(clustered, receiver, 1)

    with clustered.cluster() as cluster:
        receiver.wait_for(2, seconds=PATIENCE)
        cluster.send_signal(signal.SIGTERM)
        cluster.communicate(timeout=PATIENCE)

    assert cluster.returncode == 0
    assert tables.statuses() == {"delivered": 2}
    assert len(receiver.received) == 2
    assert_all_delivered_once(tables.outcome(), events=1)
