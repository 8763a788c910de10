"""``webhooks_drain`` and no cluster, with a queue that has no workers: one process does everything."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.utils import timezone

from tests.patience import PATIENCE
from tests.scenarios.clusters import empty_queue, with_queue
from tests.scenarios.outcome import fill
from tests.scenarios.processes import stop
from tests.scenarios.queues import NAME
from tms_webhooks.choices import JobKind
from tms_webhooks.models import DeliveryAttempt, DrainSlot, Job, Webhook

pytestmark = pytest.mark.slow

COMMIT = """
from django.utils import timezone
from example_project.training.models import Organization
from tests.integration.delivery.rows import new_event
from tms_webhooks.outbox.wake import waker
event = new_event(Organization.objects.get())
event.subject_id, event.occurred_at = "committed", timezone.now()
event.save()
waker.wake()
"""
# Of Django's tasks, migrating enqueues one.
IN_ADVANCE = 1 if NAME == "django_tasks" else 0
# Seconds between two polls of an idle drain, where NOTIFY has to wake it.
REST = 4 * PATIENCE


@pytest.fixture
def other_host():
    """The environment of a process that shares no wake-up socket with the drain."""
    with TemporaryDirectory(prefix="tms-") as folder:
        yield {"TMPDIR": str(Path(folder))}


def test_every_periodic_job_runs_and_nothing_is_left_for_a_cluster(receiver, processes, tables, other_host):
    is_notified = tables.connection.vendor == "postgresql"
    rests = {"worker.drain.DRAIN_REST": REST, "worker.drain.DRAIN_SLEEP": REST}
    alone = with_queue(processes, tables).but(**(rests if is_notified else {}))
    fill(alone, receiver, 1)
    now, webhook = timezone.now(), Webhook.objects.using(tables.using).first()
    job = Job.objects.using(tables.using).create(
        kind=JobKind.RECOVER, webhook=webhook, since=now - timedelta(hours=1), until=now, created_at=now
    )

    with alone.drain(seconds=10 * PATIENCE) as drain:
        tables.wait_for({"delivered": 2})
        tables.wait_until_all_jobs_ran()
        tables.wait_until(lambda: Job.objects.using(tables.using).get(pk=job.pk).status == "finished")
        assert DrainSlot.objects.db_manager(tables.using).held(timezone.now()).count() == 1

        alone.but(environment=other_host).run("django", "shell", "--command", COMMIT)
        tables.wait_for({"delivered": 4})
        last = DeliveryAttempt.objects.using(tables.using).select_related("delivery__event").latest("pk")
        assert last.started_at - last.delivery.event.occurred_at < timedelta(seconds=REST / 2)
        assert NAME == "celery" or empty_queue(tables) == IN_ADVANCE
        stop(drain)

    assert not DrainSlot.objects.db_manager(tables.using).held(timezone.now()).exists()
