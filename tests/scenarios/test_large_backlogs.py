"""Tens of thousands of rows are settled, cancelled, given up and pruned in small transactions.

The process that does it is killed in the middle, runs out of time again and again, and keeps no save of another
connection waiting.
"""

import json
import signal
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.models import Organization
from tests.integration.delivery.rows import new_event
from tests.patience import PATIENCE
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job, Webhook

pytestmark = pytest.mark.slow

ROWS = 6_000
"""Deliveries of each webhook."""
CHUNK = 2_000
BUDGET = 0.02
"""Seconds of each run: less than the whole takes."""


@pytest.fixture
def backlog(tables):
    """Write a webhook with deliveries."""

    def write(status="pending", *, age=timedelta(), **values):
        using, moment = tables.using, timezone.now() - age
        organization = Organization.objects.using(using).create(name="Alder Freight")
        webhook = Webhook(organization=organization, name="Large", url="https://receiver.example.com/hook", **values)
        webhook.save(using=using)
        Event.objects.using(using).bulk_create(_events(webhook, moment), batch_size=CHUNK)
        keys = Event.objects.using(using).filter(organization=organization).order_by("pk").values_list("pk", flat=True)
        is_open = status == "pending"
        Delivery.objects.using(using).bulk_create(
            [
                Delivery(
                    event_id=pk,
                    webhook_id=webhook.pk,
                    status=status,
                    due_at=moment if is_open else None,
                    created_at=moment,
                    finished_at=None if is_open else moment,
                    attempts=0 if is_open else 1,
                    charged=0 if is_open else 1,
                )
                for pk in keys
            ],
            batch_size=CHUNK,
        )
        return webhook

    return write


def _events(webhook, moment):
    events = [new_event(webhook.organization, body='{"id":"evt_1"}') for _ in range(ROWS)]
    for position, event in enumerate(events):
        event.subject_id = f"{webhook.name}-{webhook.pk}-{position}"
        event.occurred_at = event.fanned_out_at = moment + position * timedelta(milliseconds=5)
    return events


def finish(processes, tables, task):
    """Kill the process in the middle, have another finish, and save all the while; return what that one printed."""
    with processes.start("tests.scenarios.large", task, str(PATIENCE), "5") as victim:
        victim.wait(PATIENCE)
    assert victim.returncode == -signal.SIGKILL
    saves = []
    with processes.start("tests.scenarios.large", task, str(BUDGET)) as heir:
        while heir.poll() is None:
            saves.append(_seconds_of_a_save(tables))
            time.sleep(0.02)
        printed, _ = heir.communicate(timeout=PATIENCE)
    assert heir.returncode == 0
    # Saves do not wait for one transaction with all rows: the tests below count those of each.
    assert max(saves) < PATIENCE
    outcome = json.loads(printed)
    assert outcome["runs"] > 1
    return outcome


def _seconds_of_a_save(tables):
    began = time.monotonic()
    Organization.objects.using(tables.using).order_by("pk")[:1].get().save(using=tables.using)
    return time.monotonic() - began


def test_what_waits_for_a_disabled_webhook_for_a_deleted_one_and_for_a_job_that_cancels_it_is_finished_once(
    backlog, processes, tables
):
    now = timezone.now()
    backlog(enabled=False, disabled_reason="gone")
    backlog(deleted_at=now)
    webhook = backlog(age=timedelta(minutes=10))
    job = Job(kind=JobKind.CANCEL_PENDING, webhook_id=webhook.pk, until=now, total=ROWS, created_at=now)
    job.save(using=tables.using)

    outcome = finish(processes, tables, "work_on_jobs")

    assert outcome["most"] <= 1_000
    assert tables.statuses() == {"skipped": ROWS, "cancelled": 2 * ROWS}
    assert not Delivery.objects.using(tables.using).filter(finished_at=None).exists()
    job.refresh_from_db(using=tables.using)
    assert (job.status, job.done) == ("finished", ROWS)


def test_what_is_too_old_is_given_up_blanked_or_deleted_with_all_that_belongs_to_it(backlog, processes, tables):
    backlog(age=timedelta(days=8))
    blanked = backlog("delivered", age=timedelta(days=31))
    deleted = backlog("delivered", age=timedelta(days=91))
    deliveries = Delivery.objects.using(tables.using).filter(webhook=deleted.pk).values_list("pk", "created_at")
    DeliveryAttempt.objects.using(tables.using).bulk_create(
        [DeliveryAttempt(delivery_id=pk, number=1, started_at=at, duration_ms=5) for pk, at in deliveries],
        batch_size=CHUNK,
    )

    outcome = finish(processes, tables, "prune")

    # The cursor, too.
    assert outcome["most"] <= 1_001
    assert tables.statuses() == {"exhausted": ROWS, "delivered": ROWS}
    assert not DeliveryAttempt.objects.using(tables.using).exists()
    events = Event.objects.using(tables.using)
    assert events.filter(body="").count() == events.filter(organization=blanked.organization).count() == ROWS
    assert events.count() == 2 * ROWS
