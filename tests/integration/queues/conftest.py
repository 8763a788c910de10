"""A host row whose save records an event that a webhook wants, and queues under the settings."""

import pytest

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Event
from tms_webhooks.outbox.wake import waker


@pytest.fixture(autouse=True)
def _no_drain_is_known():
    """Forget the drain that an earlier test enqueued, for whose start a wake-up would wait."""
    waker.reset()


@pytest.fixture
def use_queue(settings):
    """Choose the queue by its dotted path."""

    def use(path):
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": path}

    return use


@pytest.fixture
def training_class(db):
    """A class whose organization has a webhook, before its first event."""
    created = TrainingClassFactory()
    WebhookFactory(organization=created.organization, events=["class.updated"])
    Event.objects.all().delete()
    return created


@pytest.fixture
def rename(training_class, django_capture_on_commit_callbacks):
    """Save the class with another name, and run what is to happen after the commit; one event is recorded."""

    def rename(name):
        before = Event.objects.count()
        with django_capture_on_commit_callbacks(execute=True):
            training_class.name = name
            training_class.save()
        assert Event.objects.count() == before + 1

    return rename
