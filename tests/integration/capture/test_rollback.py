"""What is rolled back never happened: no event, no number, no occurrence is left of it."""

import contextlib

import pytest
from django.db import transaction
from django.db.models.signals import post_save, pre_save

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks.models import Event, EventSequence

pytestmark = pytest.mark.django_db(transaction=True)


class Refused(Exception):
    """What a test ends a transaction with."""


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    return training_class


def test_a_savepoint_that_is_rolled_back_leaves_only_what_came_before_it(training_class, recorded):
    with transaction.atomic():
        training_class.cancel()
        with pytest.raises(Refused), transaction.atomic():
            training_class.guarantee()
            raise Refused
        training_class.guarantee()

    assert [(event["type"], event["sequence"], event["previous"]["status"]["code"]) for event in recorded()] == [
        ("class.cancelled", 1, 0),
        ("class.guaranteed_to_run", 2, 2),
    ]
    assert EventSequence.objects.get().last == 2


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_what_a_receiver_refuses_and_the_host_commits_is_recorded(listen, organization, recorded, first):
    if first == "ours":
        listen(WorkshopSource, Workshop)
    with raising_after_the_write(Workshop):
        if first == "theirs":
            listen(WorkshopSource, Workshop)
        with transaction.atomic(), contextlib.suppress(Refused):
            Workshop.objects.create(organization=organization, title="Pair programming")

    assert Workshop.objects.get().title == "Pair programming"
    (event,) = recorded()
    assert (event["type"], event["sequence"]) == ("workshop.created", 1)


def test_what_a_receiver_refuses_before_it_is_written_is_not_recorded(listen, organization):
    listen(WorkshopSource, Workshop)

    with raising(pre_save, Workshop), transaction.atomic(), contextlib.suppress(Refused):
        Workshop.objects.create(organization=organization, title="Pair programming")

    assert not Workshop.objects.exists()
    assert not Event.objects.exists()


def raising_after_the_write(model):
    return raising(post_save, model)


@contextlib.contextmanager
def raising(signal, model):
    """A receiver of the host's that refuses every save."""

    def refuse(**_kwargs):
        raise Refused

    signal.connect(refuse, sender=model)
    try:
        yield
    finally:
        signal.disconnect(refuse, sender=model)
