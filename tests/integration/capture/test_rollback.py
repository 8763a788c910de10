"""What is rolled back never happened: no event, no number, no occurrence is left of it."""

from __future__ import annotations

import contextlib

import pytest
from django.db import transaction
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks.models import Event, EventSequence, Occurrence

pytestmark = pytest.mark.django_db(transaction=True)


class Refused(Exception):
    """What a test ends a transaction with."""


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    return training_class


def test_an_outer_transaction_that_is_rolled_back_leaves_nothing(training_class):
    with pytest.raises(Refused), transaction.atomic():
        training_class.cancel()
        assert Event.objects.count() == 1
        raise Refused

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


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


def test_what_is_recorded_once_may_be_recorded_after_it_was_rolled_back():
    assignment = CourseAssignmentFactory()
    WebhookFactory(organization=assignment.user.organization, events=["course_assignment.expired"])
    past = timezone.now().replace(microsecond=0) - timezone.timedelta(days=1)
    with pytest.raises(Refused), transaction.atomic():
        assignment.extend(expires_at=past)
        assert (Event.objects.count(), Occurrence.objects.count()) == (1, 1)
        raise Refused
    assert (Event.objects.count(), Occurrence.objects.count()) == (0, 0)

    assignment.extend(expires_at=past)

    assert Event.objects.get().type == "course_assignment.expired"


def test_a_receiver_that_raises_takes_row_and_event_back_with_it(training_class):
    with raising_after_the_write(TrainingClass), pytest.raises(Refused):
        training_class.cancel()

    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == 0
    assert not Event.objects.exists()


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
