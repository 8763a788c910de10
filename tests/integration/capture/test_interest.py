"""An event is stored only if a subscription of its organization matches its type."""

import pytest
from django.utils import timezone

from example_project.training.factories import (
    CourseAssignmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
)
from tests.factories import WebhookFactory
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, Event, EventSequence, Subscription
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def training_class():
    return TrainingClassFactory()


@pytest.mark.parametrize("wanted", ["class.guaranteed_to_run", "enrollment.*", "classes.*", "class"])
def test_no_event_is_stored_if_no_subscription_matches(training_class, wanted):
    WebhookFactory(organization=training_class.organization, events=[wanted])

    training_class.cancel()

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


@pytest.mark.parametrize("wanted", ["class.cancelled", "class.*", "*"])
def test_a_name_a_noun_and_a_star_match_an_event(training_class, wanted):
    WebhookFactory(organization=training_class.organization, events=[wanted])

    training_class.cancel()

    assert Event.objects.get().type == "class.cancelled"


def test_the_events_of_a_disabled_webhook_are_stored(training_class):
    webhook = WebhookFactory(organization=training_class.organization, events=["class.*"], enabled=False)

    training_class.cancel()
    fan_out(timezone.now())

    assert Event.objects.get().type == "class.cancelled"
    delivery = Delivery.objects.get()
    assert (delivery.webhook, delivery.status) == (webhook, DeliveryStatus.SKIPPED)


def test_a_deleted_webhook_does_not_count(training_class):
    WebhookFactory(organization=training_class.organization, events=["*"], deleted_at=timezone.now())

    training_class.cancel()

    assert not Event.objects.exists()


def test_a_new_subscription_counts_from_the_next_change_on(training_class):
    webhook = WebhookFactory(organization=training_class.organization)
    training_class.cancel()
    Subscription.objects.create(webhook=webhook, event_type="class.*")

    training_class.guarantee()

    assert list(Event.objects.values_list("type", flat=True)) == ["class.guaranteed_to_run"]


def test_the_new_organization_receives_the_event_if_the_old_one_has_no_subscription(training_class, recorded):
    new = OrganizationFactory()
    WebhookFactory(organization=new, events=["class.added"])

    training_class.organization = new
    training_class.save()

    (event,) = recorded()
    assert (event["organization"]["id"], event["type"]) == (new.pk, "class.added")
    assert (event["changed"], event["previous"]) == ([], {})


def test_the_old_organization_receives_the_event_if_the_new_one_has_no_subscription(training_class, recorded):
    old = training_class.organization
    WebhookFactory(organization=old, events=["*"])

    training_class.organization = OrganizationFactory()
    training_class.save()

    (event,) = recorded()
    assert (event["organization"]["id"], event["type"]) == (old.pk, "class.removed")


def test_the_subscriptions_of_a_learners_organization_count(recorded):
    assignment = CourseAssignmentFactory()
    WebhookFactory(events=["*"])
    assignment.complete(at=timezone.now())
    assert not Event.objects.exists()
    WebhookFactory(organization=assignment.user.organization, events=["course_assignment.started"])

    other = CourseAssignmentFactory(user=assignment.user)
    other.start(at=timezone.now())

    assert [event["type"] for event in recorded()] == ["course_assignment.started"]
