"""With Celery as the queue, a change of the host wakes a drain in the host's own workers, after the commit."""

import pytest
from django.db import transaction

from tests.hosts.on_celery import tasks
from tests.receiver import Receiver
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.wake import DRAIN, waker
from tms_webhooks.queues import get_queue

pytestmark = pytest.mark.django_db(databases=["training", "default"], transaction=True)


@pytest.fixture(autouse=True)
def _queue(settings_of_app, meetup):
    settings_of_app(QUEUE="tms_webhooks.queues.celery.CeleryQueue")
    tasks.app.set_current()
    assert get_queue().check() == []
    # The fixtures have woken a drain.
    waker.reset()
    waiting()
    yield
    waiting()


def waiting():
    """Return the names and arguments of the tasks that wait for a worker, and take them from the broker."""
    found = []
    with tasks.app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        while queue.qsize():
            message = queue.get(block=False)
            message.ack()
            found.append((message.headers["task"], message.payload[0]))
    return found


def test_a_drain_is_enqueued_after_the_commit_and_delivers_in_a_worker(settings_of_app, meetup):
    receiver = Receiver()
    settings_of_app(ALLOWED_SCHEMES=["http"], UNCHECKED_HOSTS=["127.0.0.1"], ALLOWED_PORTS=[receiver.port])
    Webhook.objects.update(url=f"http://127.0.0.1:{receiver.port}/")
    with transaction.atomic(using="training"):
        tasks.call_off(str(meetup.pk))
        assert waiting() == []

    ((name, arguments),) = waiting()
    assert (name, arguments[0]) == ("tms_webhooks.run", DRAIN)
    tasks.app.tasks[name](*arguments)
    receiver.close()

    assert [event["type"] for event in receiver.events] == ["class.cancelled"]
