"""A save that changes no field of the payload emits no event."""

import json
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import update_last_login

from example_project.training.factories import TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Workshop
from tms_webhooks.models import Event


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    return training_class


def test_a_new_time_of_modification_alone_emits_no_event(training_class):
    before = TrainingClass.objects.get(pk=training_class.pk).last_modified

    training_class.save_fields()

    assert TrainingClass.objects.get(pk=training_class.pk).last_modified > before
    assert not Event.objects.exists()


def test_another_value_of_the_same_status_emits_no_event(listen, organization):
    class Told(WorkshopSource):
        statuses = {"state": {"planned": 0, "pencilled in": 0}}

    workshop = Workshop.objects.create(organization=organization, title="Pair programming", state="planned")
    listen(Told, Workshop)

    workshop.state = "pencilled in"
    workshop.save()

    assert not Event.objects.filter(subject_type="workshop").exists()


def test_a_sign_in_is_no_update_of_the_user():
    user = UserFactory()
    WebhookFactory(organization=user.organization, events=["user.*"])

    update_last_login(None, user)

    user.refresh_from_db()
    assert user.last_login is not None
    assert not Event.objects.exists()


def test_a_moment_that_differs_by_less_than_a_millisecond_is_the_same_in_a_payload(training_class):
    TrainingClass.objects.update(end_at=datetime(2100, 1, 1, 8, 0, 0, 123456, tzinfo=UTC))
    prune_events()

    TrainingClass.objects.update(end_at=datetime(2100, 1, 1, 8, 0, 0, 123000, tzinfo=UTC))
    assert not Event.objects.exists()
    TrainingClass.objects.update(end_at=datetime(2100, 1, 1, 8, 0, 0, 124000, tzinfo=UTC))

    assert json.loads(Event.objects.get().body)["changed"] == ["end_at"]
