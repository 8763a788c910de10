"""What a host's tests use: captured events, assertions that explain themselves, a receiver, deliveries at once."""

from __future__ import annotations

import re

import pytest
from django.db import transaction

from example_project.training.factories import OrganizationFactory, TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tms_webhooks.choices import ClassStatus
from tms_webhooks.conf import app_settings
from tms_webhooks.listener import ScriptedResponse
from tms_webhooks.models import Event
from tms_webhooks.outbox.emit import emit
from tms_webhooks.testing import assert_event, assert_no_event, capture_events

pytestmark = pytest.mark.django_db


def test_events_are_captured_without_a_subscription():
    training_class = TrainingClassFactory()

    with capture_events() as events:
        training_class.cancel()
        UserFactory()
    training_class.name = "Without a subscription"
    training_class.save()

    assert events.types == ["class.cancelled", "user.created"]
    event = assert_event(
        events,
        "class.cancelled",
        data={"id": training_class.pk, "status": {"name": "Cancelled"}},
        previous={"status.name": "Scheduled"},
        changed=["status"],
    )
    assert event is not events[0]
    assert (event.sequence, event.actor["kind"], event.event) == (
        1,
        "system",
        Event.objects.get(type="class.cancelled"),
    )


def test_bulk_operations_deletions_and_emitted_events_are_captured_too():
    training_class = TrainingClassFactory()

    with capture_events() as events:
        TrainingClass.objects.filter(pk=training_class.pk).update(confirmation_status_id=ClassStatus.COMPLETED)
        emit("class.denied", training_class)
        TrainingClass.objects.filter(pk=training_class.pk).delete()

    assert events.types == ["class.completed", "class.denied", "class.deleted"]


def test_a_rolled_back_change_emits_no_event():
    training_class = TrainingClassFactory()

    with capture_events() as events, transaction.atomic():
        training_class.cancel()
        assert events.types == ["class.cancelled"]
        transaction.set_rollback(True)

    assert len(events) == 0
    assert_no_event(events)


def test_earlier_events_are_not_captured():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    training_class.cancel()

    with capture_events() as events:
        pass

    assert list(events) == []


def test_a_failed_assertion_shows_the_events_and_the_differences():
    training_class = TrainingClassFactory()
    with capture_events() as events:
        training_class.cancel()

    with pytest.raises(AssertionError) as failed:
        assert_event(events, "class.cancelled", data={"status.name": "Completed", "colour": 1}, changed=["name"])

    assert str(failed.value).splitlines() == [
        "class.cancelled: expected 1 event like this, got 0.",
        "Captured events: class.cancelled.",
        "  class.cancelled 1: data.status.name is 'Cancelled', not 'Completed'",
        "  class.cancelled 1: data.colour is missing, not 1",
        "  class.cancelled 1: changed is ['status'], not ['name']",
    ]
    with pytest.raises(AssertionError, match=re.escape("class.completed: expected 1 event like this, got 0.")):
        assert_event(events, "class.completed")
    with pytest.raises(AssertionError, match="expected 2 events like this, got 1"):
        assert_event(events, "class.cancelled", times=2)
    with pytest.raises(AssertionError, match="Expected no class.cancelled, got class.cancelled"):
        assert_no_event(events, "class.cancelled")
    assert_no_event(events, "class.completed")


def test_a_receiver_gets_verified_events(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    training_class = TrainingClassFactory(organization=organization)
    webhook_receiver.subscribe(organization, "class.*", name="CRM")

    training_class.cancel()
    assert deliver_webhooks().delivered == 1

    (request,) = webhook_receiver.requests
    assert request.verified
    assert [event["type"] for event in webhook_receiver.events] == ["class.cancelled"]


def test_a_receiver_answers_as_configured_and_accepts_a_rotated_secret(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    webhook = webhook_receiver.subscribe(organization, "*")
    webhook_receiver.answer = ScriptedResponse(503)
    TrainingClassFactory(organization=organization)
    assert deliver_webhooks().delivered == 0

    webhook_receiver.answer = lambda request: ScriptedResponse(204 if request.verified else 401)
    webhook.rotate_secret()
    webhook_receiver.trust(webhook)
    TrainingClassFactory(organization=organization)
    assert deliver_webhooks().delivered > 0


def test_what_does_not_verify_is_refused(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    webhook = webhook_receiver.subscribe(organization, "*")
    webhook.secrets.update(value="whsec_" + "A" * 43 + "=")
    TrainingClassFactory(organization=organization)

    assert deliver_webhooks().delivered == 0
    assert webhook_receiver.events == []


def test_the_settings_are_as_before_when_the_receiver_is_gone(request):
    before = tuple(app_settings.ALLOWED_PORTS)
    receiver = request.getfixturevalue("webhook_receiver")
    assert tuple(app_settings.ALLOWED_PORTS) != before
    assert receiver.url.endswith("/")


def test_the_fixture_captures(webhook_events):
    TrainingClassFactory()

    assert "class.scheduled" in webhook_events.types
