"""What the events of a class have: its references, its old dates, and a fingerprint of the link of its meeting."""

from datetime import UTC, datetime

import pytest

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Event


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory(confirmation_status_id=4)
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    return training_class


def test_the_event_of_a_rescheduled_class_has_its_old_dates(training_class, recorded):
    start_at, end_at = datetime(2027, 1, 4, 9, tzinfo=UTC), datetime(2027, 1, 6, 17, tzinfo=UTC)
    training_class.start_at = datetime(2028, 12, 7, 9, tzinfo=UTC)
    training_class.end_at = datetime(2028, 12, 9, 17, tzinfo=UTC)
    training_class.save()

    training_class.reschedule(start_at, end_at)

    updated, event = recorded()
    assert (updated["type"], event["type"]) == ("class.updated", "class.rescheduled")
    assert event["changed"] == ["status", "start_at", "end_at"]
    assert event["previous"] == {
        "status": {"code": 4, "name": "Tentative"},
        "start_at": "2028-12-07T09:00:00.000Z",
        "end_at": "2028-12-09T17:00:00.000Z",
    }
    assert (event["data"]["status"]["code"], event["data"]["start_at"], event["data"]["end_at"]) == (
        3,
        "2027-01-04T09:00:00.000Z",
        "2027-01-06T17:00:00.000Z",
    )


def test_the_event_of_a_class_has_all_its_references(training_class, recorded):
    training_class.cancel()

    (event,) = recorded()
    data, course, organization = event["data"], training_class.course, training_class.organization
    assert data["course"] == {"id": course.pk, "external_id": course.external_id, "name": course.name}
    assert data["organization"] == {
        "id": organization.pk,
        "external_id": organization.external_id,
        "name": organization.name,
    }
    assert event["organization"] == {"id": organization.pk, "external_id": organization.external_id}
    assert (data["external_id"], data["name"]) == (training_class.external_id, training_class.name)
    assert data["delivery_type"] == {"code": 1, "name": "Physical"}
    assert data["time_zone"] == "Central Standard Time"
    assert data["instructor"] == dict.fromkeys(["id", "external_id", "first_name", "last_name", "email"])


def test_the_link_of_a_meeting_is_in_no_body_and_another_link_is_another_change(training_class, recorded):
    for number in (1, 2, 2):
        training_class.custom_virtual_classroom_url = f"https://meet.example/{number}?pwd=open-sesame"
        training_class.save()

    first, second = recorded()
    assert first["previous"] == {"meeting_fingerprint": None}
    assert second["previous"]["meeting_fingerprint"] == first["data"]["meeting_fingerprint"]
    assert second["data"]["meeting_fingerprint"] != first["data"]["meeting_fingerprint"]
    assert not Event.objects.filter(body__contains="meet.example").exists()
