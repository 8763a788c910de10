"""Tens of thousands of rows are settled, cancelled, given up and pruned in small transactions.

The process that does it is killed in the middle, runs out of time again and again, and keeps no save of another
connection waiting.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from example_project.training.models import Organization
from tests.integration.delivery.rows import new_event
from tests.patience import PATIENCE
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job, Webhook

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 10_000
FEWER = 8_000
CHUNK = 2_000
BUDGET = 0.02
"""Seconds of each run: less than the whole takes."""


@pytest.fixture
def backlog(tables) -> Callable[..., Webhook]:
    """Write a webhook with ``ROWS`` deliveries, or as many as asked."""

    def write(status: str = "pending", *, age: timedelta = timedelta(), rows: int = ROWS, **values: Any) -> Webhook:
        using, moment = tables.using, timezone.now() - age
        organization = Organization.objects.using(using).create(name="Alder Freight")
        webhook = Webhook(organization=organization, name="Large", url="https://receiver.example.com/hook", **values)
        webhook.save(using=using)
        events = _events(rows, webhook, moment)
        Event.objects.using(using).bulk_create(events, batch_size=CHUNK)
        keys = Event.objects.using(using).order_by("pk").values_list("pk", flat=True)
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


def _events(number: int, webhook: Webhook, moment: datetime) -> list[Event]:
    events = [new_event(webhook.organization, body='{"id":"evt_1"}') for _ in range(number)]
    for position, event in enumerate(events):
        event.subject_id = f"large-{position}"
        event.occurred_at = event.fanned_out_at = moment + position * timedelta(milliseconds=5)
    return events


def finish(processes, tables, task: str) -> dict[str, int]:
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
    outcome: dict[str, int] = json.loads(printed)
    assert outcome["runs"] > 1
    return outcome


def _seconds_of_a_save(tables) -> float:
    began = time.monotonic()
    Organization.objects.using(tables.using).order_by("pk")[:1].get().save(using=tables.using)
    return time.monotonic() - began


def test_the_backlog_of_a_disabled_webhook_is_skipped(backlog, processes, tables):
    webhook = backlog(enabled=False, disabled_reason="gone")

    outcome = finish(processes, tables, "work_on_jobs")

    assert outcome["most"] <= 1_000
    assert tables.statuses() == {"skipped": ROWS}
    assert Delivery.objects.using(tables.using).filter(webhook=webhook.pk, finished_at__isnull=True).count() == 0


def test_the_backlog_of_a_deleted_webhook_is_cancelled(backlog, processes, tables):
    # All of them: a fast machine cancels fewer within one budget.
    backlog(deleted_at=timezone.now())

    outcome = finish(processes, tables, "work_on_jobs")

    assert outcome["most"] <= 1_000
    assert tables.statuses() == {"cancelled": ROWS}


def test_a_job_cancels_what_waits_and_counts_each_delivery_once(backlog, processes, tables):
    now = timezone.now()
    webhook = backlog(age=timedelta(minutes=10), rows=FEWER)
    job = Job(kind=JobKind.CANCEL_PENDING, webhook_id=webhook.pk, until=now, total=FEWER, created_at=now)
    job.save(using=tables.using)

    outcome = finish(processes, tables, "work_on_jobs")

    assert outcome["most"] <= 501
    assert tables.statuses() == {"cancelled": FEWER}
    job.refresh_from_db(using=tables.using)
    assert (job.status, job.done) == ("finished", FEWER)


def test_deliveries_that_are_too_old_are_given_up(backlog, processes, tables):
    backlog(age=timedelta(days=8), rows=FEWER)

    outcome = finish(processes, tables, "prune")

    assert outcome["most"] <= 200
    assert tables.statuses() == {"exhausted": FEWER}


def test_old_payloads_are_blanked(backlog, processes, tables):
    backlog("delivered", age=timedelta(days=31))

    outcome = finish(processes, tables, "prune")

    # The cursor, too.
    assert outcome["most"] <= 1_001
    assert set(Event.objects.using(tables.using).values_list("body", flat=True)) == {""}
    assert tables.statuses() == {"delivered": ROWS}


def test_old_events_are_deleted_with_all_that_belongs_to_them(backlog, processes, tables):
    backlog("delivered", age=timedelta(days=91), rows=FEWER)
    deliveries = Delivery.objects.using(tables.using).values_list("pk", "created_at")
    DeliveryAttempt.objects.using(tables.using).bulk_create(
        [DeliveryAttempt(delivery_id=pk, number=1, started_at=at, duration_ms=5) for pk, at in deliveries],
        batch_size=CHUNK,
    )

    outcome = finish(processes, tables, "prune")

    assert outcome["most"] <= 1_001
    for model in (Event, Delivery, DeliveryAttempt):
        assert not model.objects.using(tables.using).exists()
