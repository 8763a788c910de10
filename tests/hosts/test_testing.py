"""A host's tests with two databases: the fixtures and `TestCase` reach the events, and a test that may not use the database gets an error."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.test import TestCase
from django.utils import timezone

from tests.hosts.models import Meetup, Tenant, Topic
from tms_webhooks.testing import WebhookReceiver, assert_event, assert_received, capture_events, deliver_now, expire

REMEDY = (
    "Events are in the database 'training', which this test may not use. Write "
    "@pytest.mark.django_db(databases=['default', 'training']), or databases = {'default', 'training'} in the TestCase."
)


def cancelled_meetup(tenant):
    meetup = Meetup.objects.create(tenant=tenant, topic=Topic.objects.create(name="Azure"), title="Azure, mornings")
    meetup.state = Meetup.State.OFF
    meetup.save()
    return meetup


def test_a_test_without_a_mark_gets_both_databases(webhook_events, webhook_receiver, deliver_webhooks):
    tenant = Tenant.objects.create(name="Acme")
    webhook_receiver.subscribe(tenant, "class.cancelled")

    meetup = cancelled_meetup(tenant)
    deliver_webhooks()

    assert expire(now=timezone.now()) == 0
    event = assert_event(webhook_events, "class.cancelled", data={"id": str(meetup.pk)})
    assert event.event._state.db == "training"
    assert_received(webhook_receiver, "class.cancelled")


def test_a_uuid_is_expected_as_the_object_has_it(webhook_events):
    meetup = cancelled_meetup(Tenant.objects.create(name="Acme"))

    assert isinstance(meetup.pk, UUID)
    assert_event(webhook_events, "class.cancelled", data={"id": meetup.pk})
    with pytest.raises(AssertionError, match="data.id is"):
        assert_event(webhook_events, "class.cancelled", data={"id": uuid4()})


class WithBothDatabases(TestCase):
    databases = {"default", "training"}

    def test_events_are_captured_and_received(self):
        tenant = Tenant.objects.create(name="Acme")
        with WebhookReceiver() as receiver, capture_events() as events:
            receiver.subscribe(tenant, "class.*")
            receiver.fail(times=1)
            cancelled_meetup(tenant)
            deliver_now()
            deliver_now(now=timezone.now() + timedelta(seconds=10))

        assert events.types == ["class.scheduled", "class.cancelled"]
        assert_received(receiver, "class.cancelled")


class WithTheDefaultDatabase(TestCase):
    def test_the_remedy_is_said(self):
        assert_remedy()


@pytest.mark.django_db
def test_the_remedy_is_said_with_a_mark_for_the_default_database_alone():
    assert_remedy()


def assert_remedy():
    def capture():
        with capture_events():
            pass

    def subscribe():
        with WebhookReceiver() as receiver:
            receiver.subscribe(Tenant(name="Acme"), "class.*")

    for call in (capture, subscribe, deliver_now, lambda: expire(now=timezone.now())):
        with pytest.raises(AssertionError) as refused:
            call()
        assert str(refused.value) == REMEDY
