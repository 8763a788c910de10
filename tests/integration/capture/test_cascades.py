"""Rows that Django changes or deletes because an object that they refer to is deleted."""

import pytest
from django.db import models, transaction

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    SubscriptionAssignmentFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import TrainingClass, User
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event


@pytest.fixture
def bob(training_class):
    """The instructor of a class, in both of its fields."""
    bob = UserFactory(username="bob", organization=training_class.organization)
    training_class.primary_instructor = bob
    training_class.save()
    training_class.instructors.add(bob)
    prune_events()
    return bob


def test_a_class_whose_instructor_is_deleted_is_updated_once(training_class, bob, recorded):
    key = bob.pk

    bob.delete()

    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("class.updated", training_class.pk)
    assert event["changed"] == ["instructor.id", "instructor_ids"]
    assert event["previous"] == {"instructor": {"id": key}, "instructor_ids": [key]}
    assert event["data"]["instructor"]["id"] is None


def test_many_instructors_who_are_deleted_by_a_queryset_are_seen(training_class, bob, recorded):
    other = TrainingClassFactory(organization=training_class.organization)
    TrainingClass.objects.filter(pk=other.pk).update(primary_instructor=UserFactory(username="carol"))
    prune_events()

    User.objects.filter(username__in=["bob", "carol"]).delete()

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [
        ("class.updated", training_class.pk),
        ("class.updated", other.pk),
    ]


def test_a_deletion_that_fails_records_nothing(training_class, bob, recorded):
    class Refused(Exception):
        pass

    def refuse(**_kwargs):
        raise Refused

    models.signals.pre_delete.connect(refuse, sender=User)
    try:
        with pytest.raises(Refused), transaction.atomic():
            bob.delete()
    finally:
        models.signals.pre_delete.disconnect(refuse, sender=User)
    training_class.save()

    assert not Event.objects.exists()


def test_a_class_that_is_deleted_with_its_roster_makes_an_event_for_each(training_class, recorded):
    WebhookFactory(organization=training_class.organization, events=["enrollment.deleted"])
    enrollments = ClassEnrollmentFactory.create_batch(2, training_class=training_class)
    keys = [enrollment.pk for enrollment in enrollments]
    prune_events()

    training_class.delete()

    events = recorded()
    assert sorted(event["data"]["id"] for event in events if event["type"] == "enrollment.deleted") == keys
    assert [event["type"] for event in events].count("class.deleted") == 1
    assert len(events) == 3


def test_the_last_event_of_an_object_that_is_deleted_with_what_it_refers_to_is_that_of_its_deletion(recorded):
    """Django deletes the learner's subscription, sets it to null in the assignment, and then deletes the assignment."""
    subscription = SubscriptionAssignmentFactory()
    assignment = CourseAssignmentFactory(user=subscription.user, subscription=subscription)
    WebhookFactory(organization=subscription.user.organization, events=["course_assignment.*"])
    key = assignment.pk

    subscription.user.delete()

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [("course_assignment.deleted", key)]
