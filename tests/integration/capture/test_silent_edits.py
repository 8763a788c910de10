"""Each field of a class besides its status is recorded when it changes; other columns are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from example_project.training.factories import ClassroomFactory, UserFactory
from tms_webhooks.models import Event

EDITS = {
    "dates": (lambda one: vars(one).update(end_at=datetime(2031, 1, 1, tzinfo=UTC)), ["end_at"]),
    "capacity": (lambda one: vars(one).update(min_students=2, max_students=99), ["min_students", "max_students"]),
    "room": (lambda one: setattr(one, "primary_classroom", ClassroomFactory()), ["classroom.id"]),
    "instructor": (lambda one: setattr(one, "primary_instructor", UserFactory()), ["instructor.id"]),
    "meeting": (
        lambda one: setattr(one, "custom_virtual_classroom_url", "https://meet.example/9?pwd=open-sesame"),
        ["meeting_fingerprint"],
    ),
    "name": (lambda one: setattr(one, "name", "Azure, evenings"), ["name"]),
    "time zone": (lambda one: setattr(one, "time_zone_id", "UTC"), ["time_zone"]),
    "description": (lambda one: setattr(one, "description", "Bring a notebook."), ["description"]),
    "visibility": (
        lambda one: vars(one).update(is_public=True, allow_self_enrollment=True),
        ["is_public", "allow_self_enrollment"],
    ),
    "delivery": (lambda one: setattr(one, "delivery_type_id", 2), ["delivery_type"]),
}


@pytest.mark.parametrize(("edit", "changed"), EDITS.values(), ids=EDITS)
def test_an_edit_is_an_update_that_names_what_changed(training_class, recorded, edit, changed):
    edit(training_class)
    training_class.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", changed)


def test_the_link_of_a_meeting_is_in_no_body_and_another_link_is_another_change(training_class, recorded):
    for number in (1, 2, 2):
        training_class.custom_virtual_classroom_url = f"https://meet.example/{number}?pwd=open-sesame"
        training_class.save()

    first, second = recorded()
    assert first["previous"] == {"meeting_fingerprint": None}
    assert second["previous"]["meeting_fingerprint"] == first["data"]["meeting_fingerprint"]
    assert second["data"]["meeting_fingerprint"] != first["data"]["meeting_fingerprint"]
    assert not Event.objects.filter(body__contains="meet.example").exists()


def test_what_is_no_part_of_the_event_is_no_update(training_class):
    training_class.save()
    type(training_class).objects.update(last_modified=datetime(2031, 1, 1, tzinfo=UTC))

    assert not Event.objects.exists()


def test_an_edit_that_comes_with_a_status_is_recorded_by_the_status_alone(training_class, recorded):
    training_class.max_students = 99
    training_class.confirmation_status_id = 1
    training_class.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.guaranteed_to_run", ["status", "max_students"])


def test_a_class_that_goes_is_recorded_with_its_last_state(training_class, recorded):
    key = training_class.pk
    training_class.delete()

    (event,) = recorded()
    assert (event["type"], event["data"]["id"], event["changed"]) == ("class.deleted", key, [])
    assert event["data"]["name"] == training_class.name
