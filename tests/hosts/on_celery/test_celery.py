"""A change in a Celery task is recorded once, when its transaction commits: by a worker, with retries, and after a commit."""

import pytest
from celery.contrib.testing.worker import start_worker

from tests.hosts.on_celery import tasks
from tests.patience import PATIENCE
from tms_webhooks.actors import actor_context

pytestmark = pytest.mark.django_db(databases=["training", "default"], transaction=True)


@pytest.fixture(scope="module")
def worker_of_module(django_db_setup, django_db_blocker):
    # It takes seconds to stop one. At its start, Celery runs the checks of the project, which read the database.
    with (
        django_db_blocker.unblock(),
        start_worker(tasks.app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE),
    ):
        yield


@pytest.fixture
def worker(worker_of_module, meetup):
    """Run the host's tasks in the thread of a worker."""
    yield
    tasks.hang_up.delay().get(timeout=PATIENCE)


@pytest.fixture
def eager(meetup):
    """Run the host's tasks in this thread."""
    tasks.app.conf.update(task_always_eager=True)
    yield
    tasks.app.conf.update(task_always_eager=False)


@pytest.fixture(params=["eager", "worker"])
def celery(request):
    """Run the host's tasks in one way and in the other."""
    request.getfixturevalue(request.param)


def test_a_task_that_changes_an_object_twice_in_a_transaction_is_one_event(celery, meetup, recorded):
    tasks.call_off.delay(str(meetup.pk)).get(timeout=PATIENCE)

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["name", "status"])
    assert event["previous"] == {"name": "Azure, mornings", "status": {"code": 0, "name": "Scheduled"}}


def test_a_task_that_fails_and_is_tried_again_is_one_event(celery, meetup, recorded):
    tasks.call_off_when_available.delay(str(meetup.pk)).get(timeout=PATIENCE)

    assert [(event["type"], event["sequence"]) for event in recorded()] == [("class.cancelled", 2)]


def test_the_actor_of_a_request_is_not_the_actor_of_a_task_in_a_worker(worker, meetup, member, recorded):
    with actor_context("user", str(member.pk)):
        tasks.call_off_all.delay().get(timeout=PATIENCE)

    (event,) = recorded()
    assert event["actor"] == {"kind": "system", "id": None}
