"""``delete()`` of a queryset, and what it takes with it or leaves behind."""

import pytest
from django.db import transaction
from django.db.models import ProtectedError

from example_project.training.factories import (
    ClassEnrollmentFactory,
    TrainingClassFactory,
    UserAchievementFactory,
    UserFactory,
    VoucherFactory,
)
from example_project.training.models import TrainingClass, User
from tests.factories import WebhookFactory

# Committed, so that the database's own deferred constraints have their say.
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_refused_deletion_that_the_host_catches_was_none(recorded):
    training_class = TrainingClassFactory()
    VoucherFactory(organization=training_class.organization, redeemed_class=training_class)
    WebhookFactory(organization=training_class.organization, events=["class.*"])

    with transaction.atomic():
        with pytest.raises(ProtectedError):
            TrainingClass.objects.all().delete()
        training_class.cancel()

    assert [(event["type"], event["sequence"]) for event in recorded()] == [("class.cancelled", 1)]


@pytest.mark.parametrize("by", ["object", "queryset"])
def test_what_goes_with_others_is_recorded_as_well(recorded, by):
    """An achievement's model has no children: without a receiver Django would delete its rows unseen."""
    award = UserAchievementFactory()
    user, key = award.user, award.pk
    UserAchievementFactory(user=user, achievement=award.achievement)
    WebhookFactory(organization=user.organization, events=["achievement.*", "user.deleted"])

    if by == "object":
        user.delete()
    else:
        User.objects.filter(pk=user.pk).delete()

    assert sorted(event["type"] for event in recorded()) == [
        "achievement.revoked",
        "achievement.revoked",
        "user.deleted",
    ]
    assert key in {event["data"]["id"] for event in recorded() if event["type"] == "achievement.revoked"}


@pytest.mark.parametrize("by", ["object", "queryset"])
def test_what_loses_a_reference_to_what_goes_is_recorded_as_well(recorded, by):
    instructor = UserFactory()
    training_class = TrainingClassFactory(organization=instructor.organization, primary_instructor=instructor)
    ClassEnrollmentFactory(training_class=training_class)
    key = instructor.pk
    WebhookFactory(organization=instructor.organization, events=["class.*"])

    if by == "object":
        instructor.delete()
    else:
        User.objects.filter(pk=key).delete()

    (event,) = recorded()
    assert event["type"] == "class.updated"
    assert event["previous"] == {"instructor": {"id": key}}
    assert event["data"]["instructor"]["id"] is None
