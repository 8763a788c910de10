"""A save that the database refuses leaves nothing behind, neither in the outbox nor on the instance."""

import copy
import pickle

import pytest
from django.db import DatabaseError, IntegrityError
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_save

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests import uncaptured
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory(external_id="CLS-1")
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    return training_class


def test_later_saves_of_the_instance_are_right(training_class, recorded):
    end_at, training_class.end_at = training_class.end_at, training_class.start_at
    with pytest.raises(IntegrityError):
        training_class.cancel()
        training_class.save()
    training_class.end_at = end_at
    uncaptured.update(QuerySet(TrainingClass).filter(pk=training_class.pk), confirmation_status_id=4)

    training_class.guarantee()

    assert [(event["type"], event["sequence"], event["previous"]["status"]["name"]) for event in recorded()] == [
        ("class.cancelled", 1, "Scheduled"),
        ("class.guaranteed_to_run", 2, "Tentative"),
    ]


def test_a_save_that_forces_an_update_of_nothing_leaves_nothing(training_class):
    gone = TrainingClass.objects.get(pk=training_class.pk)
    training_class.delete()
    prune_events()

    with pytest.raises(DatabaseError):
        gone.save(force_update=True)

    assert not Event.objects.exists()


def test_saving_writes_nothing_on_the_instance(training_class):
    before = set(vars(training_class))
    seen = []

    def look(instance, **_kwargs):
        seen.append(set(vars(instance)))
        copy.deepcopy(instance)
        pickle.dumps(instance)

    for signal in (pre_save, post_save):
        signal.connect(look, sender=TrainingClass)
    try:
        training_class.cancel()
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(look, sender=TrainingClass)

    assert seen == [before, before]
    assert set(vars(training_class)) == before
