"""An event is stored only if a webhook of its organization could want it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, Event, EventSequence, Subscription
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.django_db


@pytest.fixture
def training_class():
    return TrainingClassFactory()


def test_nothing_is_stored_where_there_is_no_webhook(training_class):
    training_class.cancel()

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


@pytest.mark.parametrize("wanted", ["class.completed", "enrollment.*", "classes.*", "class"])
def test_nothing_is_stored_where_the_webhooks_want_something_else(training_class, wanted):
    WebhookFactory(organization=training_class.organization, events=[wanted])

    training_class.cancel()

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


@pytest.mark.parametrize("wanted", ["class.cancelled", "class.*", "*"])
def test_a_name_a_noun_and_a_star_want_an_event(training_class, wanted):
    WebhookFactory(organization=training_class.organization, events=[wanted])

    training_class.cancel()

    assert Event.objects.get().type == "class.cancelled"


def test_webhooks_of_another_organization_do_not_count(training_class):
    WebhookFactory(organization=OrganizationFactory(), events=["*"])

    training_class.cancel()

    assert not Event.objects.exists()
    assert not EventSequence.objects.exists()


def test_a_disabled_webhook_still_wants_its_events(training_class):
    webhook = WebhookFactory(organization=training_class.organization, events=["class.*"], enabled=False)

    training_class.cancel()
    fan_out(timezone.now())

    assert Event.objects.get().type == "class.cancelled"
    delivery = Delivery.objects.get()
    assert (delivery.webhook, delivery.status) == (webhook, DeliveryStatus.SKIPPED)


def test_a_deleted_webhook_wants_nothing(training_class):
    WebhookFactory(organization=training_class.organization, events=["*"], deleted_at=timezone.now())

    training_class.cancel()

    assert not Event.objects.exists()


def test_a_new_subscription_counts_from_the_next_change_on(training_class):
    webhook = WebhookFactory(organization=training_class.organization)
    training_class.cancel()
    Subscription.objects.create(webhook=webhook, event_type="class.*")

    training_class.complete()

    assert list(Event.objects.values_list("type", flat=True)) == ["class.completed"]


def test_an_object_that_changes_hands_is_told_to_the_new_organization(training_class, told):
    old, new = training_class.organization, OrganizationFactory()
    for organization in (old, new):
        WebhookFactory(organization=organization, events=["class.*"])

    training_class.organization = new
    training_class.save()

    (event,) = told()
    assert event["organization"] == {"id": new.pk, "external_id": new.external_id}
    assert event["previous"] == {"organization": {"id": old.pk}}
    assert Event.objects.get().organization == new


def test_an_object_of_no_organization_is_told_to_nobody(django_user_model):
    WebhookFactory(events=["*"])
    operator = django_user_model.objects.create(username="root", email="root@operations.example")

    operator.city = "Utrecht"
    operator.save()

    assert not Event.objects.exists()
