"""The task that the queue runs every few minutes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.expiry.assignments import assign, recorded, subscribed_organization
from tms_webhooks import tasks
from tms_webhooks.queues import SilentQueue, use_queue


class Recorder(SilentQueue):
    """Keeps what it is asked to run."""

    def __init__(self):
        self.enqueued = []

    def enqueue(self, function, *args):
        self.enqueued.append(function)


@pytest.fixture
def queue():
    queue = Recorder()
    with use_queue(queue):
        yield queue


@pytest.fixture
def three_near():
    organization = subscribed_organization()
    return [assign(organization, expires_at=timezone.now() + timedelta(days=days)) for days in (3, 4, 5)]


def test_the_task_records_what_is_due_now(queue, three_near):
    assert tasks.scan_expiring() == 3
    assert tasks.scan_expiring() == 0
    assert recorded() == [("expiring", assignment.pk) for assignment in three_near]
    assert queue.enqueued == []


def test_a_task_whose_time_is_up_leaves_the_rest_to_another(queue, three_near, monkeypatch):
    def after_an_event(_seconds):
        before = len(recorded())
        return lambda: len(recorded()) > before

    monkeypatch.setattr(tasks, "after", after_an_event)

    assert [tasks.scan_expiring() for _ in range(4)] == [1, 1, 1, 0]
    assert queue.enqueued == ["tms_webhooks.tasks.scan_expiring"] * 3
    assert recorded() == [("expiring", assignment.pk) for assignment in three_near]
