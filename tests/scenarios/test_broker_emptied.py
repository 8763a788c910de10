"""The queue's table is emptied while deliveries wait: what the queue knew is lost, and nothing else."""

import time
from collections import Counter

import pytest
from django.utils import timezone

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.clusters import empty_queue, let_the_sweep_come, with_queue
from tests.scenarios.outcome import fill, name
from tests.scenarios.queues import NAME
from tms_webhooks.models import Delivery, DrainSlot, Event

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NAME == "celery", reason="a Celery worker keeps the next drain in its memory, and no table has it"
    ),
]

QUIET = 0.5
"""Seconds after which a successor that waits for its turn, or an idle drain that nobody wakes, would have come."""


def test_the_sweep_finds_all_that_was_lost_with_the_queue(receiver, processes, tables):
    clustered = with_queue(processes, tables).but(RETRY_DELAYS_SECONDS=[600], RETRY_JITTER=0, PAUSE_AFTER_FAILURES=100)
    receiver.respond = lambda request: Answer(status=503 if request.headers["tms-attempt"] == "1" else 200)
    fill(clustered, receiver, 3)

    with clustered.cluster() as cluster:
        receiver.wait_for(6, seconds=PATIENCE)
        tables.wait_for({"waiting": 6})
        empty_until_nobody_works(tables)
        tables.add_events(2)
        Delivery.objects.using(tables.using).update(due_at=timezone.now())
        time.sleep(2 * QUIET)
        assert (len(receiver.received), tables.statuses()) == (6, {"waiting": 6})
        assert Event.objects.using(tables.using).filter(fanned_out_at=None).count() == 2

        let_the_sweep_come(clustered, tables)
        tables.wait_for({"delivered": 6, "waiting": 4})
        Delivery.objects.using(tables.using).filter(status="waiting").update(due_at=timezone.now())
        tables.wait_for({"delivered": 10})
        assert cluster.poll() is None

    sent = Counter((name(request), request.headers["tms-attempt"]) for request in receiver.received)
    assert len(sent) == 20
    assert set(sent.values()) == {1}
    assert list(tables.numbers().values()) == [[1, 2]] * 10


def empty_until_nobody_works(tables):
    """Empty the queue until the last drain has ended, whose successor was lost with it."""
    at_work_at = [time.monotonic()]
    held = DrainSlot.objects.using(tables.using).exclude(owner="")

    def is_quiet():
        empty_queue(tables)
        if held.filter(held_until__gt=timezone.now()).exists():
            at_work_at[0] = time.monotonic()
        return time.monotonic() - at_work_at[0] > QUIET

    tables.wait_until(is_quiet)
