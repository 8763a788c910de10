"""What the tests of capture share: looking into the outbox, and listening to the test app's models."""

import json
from contextlib import ExitStack, contextmanager

import pytest

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.catalogue import temporary_type
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import EVENT_TYPES
from tests.outbox import number_events
from tests.registration import disconnect, temporarily
from tms_webhooks import catalogue, tasks
from tms_webhooks.capture import receivers
from tms_webhooks.catalogue.values import has_value
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Event, Job

REFERENCED = ("course", "classroom", "company", "organization", "profile", "department")


@pytest.fixture
def recorded():
    """Return what the outbox holds, in the order of its writing. Each event but a thin one is valid against its schema.

    Events of objects that others only refer to are left out: the organization of a test and its courses are made in it.
    Each holds an old value of every field that it names as changed, or none where the object is new to its organization.
    """

    def read():
        number_events()
        events = [json.loads(event.body) for event in Event.objects.exclude(subject_type__in=REFERENCED).order_by("pk")]
        for event in events:
            catalogue.get(event["type"]).validate(event)
            assert not event["previous"] or all(has_value(event["previous"], name) for name in event["changed"])
        return events

    return read


@pytest.fixture
def organization():
    """An organization that hears of everything."""
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["*"])
    return organization


@pytest.fixture
def training_class():
    """A class whose organization hears of classes."""
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    return training_class


@pytest.fixture
def lenient(settings):
    """Production's way with payloads that can't be built."""
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "STRICT_PAYLOADS": False}


@pytest.fixture
def old():
    """The organization that an object or a branch leaves."""
    return OrganizationFactory(external_id="OLD-ORG", name="Old Corp")


@pytest.fixture
def new():
    """The organization that an object or a branch comes into."""
    return OrganizationFactory(external_id="NEW-ORG", name="New Corp")


def work():
    """Work on the jobs of moves until none is left, and return all."""
    while job := Job.objects.unfinished().order_by("pk").first():
        assert job.kind == JobKind.MOVE
        while tasks._work_on(job, lambda: True):
            pass
    return list(Job.objects.order_by("pk"))


@contextmanager
def listening(source_class, model):
    """Register a source and listen to its model for the length of the ``with`` block."""
    with temporarily(source_class, model) as source:
        receivers.connect(source)
        try:
            yield source
        finally:
            disconnect(source)


@pytest.fixture
def listen():
    """Listen to a model of the test app until the test is over; its event types are known as long."""
    with ExitStack() as stack:
        for event_type in EVENT_TYPES:
            stack.enter_context(temporary_type(event_type))
        yield lambda source_class, model: stack.enter_context(listening(source_class, model))
