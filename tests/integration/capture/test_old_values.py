"""Old values are what the database held when the change was written, whatever the instance at hand believed."""

from __future__ import annotations

import pytest
from django.db.models import QuerySet

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import Course, TrainingClass
from tests import uncaptured
from tests.factories import WebhookFactory
from tms_webhooks.models import Event

SCHEDULED = {"code": 0, "name": "Scheduled"}
CANCELLED = {"code": 2, "name": "Cancelled"}


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory(name="Azure Administrator", max_students=16)
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    return training_class


def test_a_stale_instance_does_not_bring_its_old_values_along(training_class, recorded):
    stale = TrainingClass.objects.get(pk=training_class.pk)
    training_class.cancel()

    stale.guarantee()

    cancelled, guaranteed = recorded()
    assert (cancelled["type"], cancelled["previous"]) == ("class.cancelled", {"status": SCHEDULED})
    assert (guaranteed["type"], guaranteed["previous"]) == ("class.guaranteed_to_run", {"status": CANCELLED})


def test_what_a_stale_instance_overwrites_is_recorded_as_a_change(training_class, recorded):
    stale = TrainingClass.objects.get(pk=training_class.pk)
    training_class.max_students = 20
    training_class.save()

    stale.save()

    assert [(event["changed"], event["previous"], event["data"]["max_students"]) for event in recorded()] == [
        (["max_students"], {"max_students": 16}, 20),
        (["max_students"], {"max_students": 20}, 16),
    ]


def test_a_change_that_sent_no_signal_is_part_of_the_old_values(training_class, recorded):
    uncaptured.update(QuerySet(TrainingClass).filter(pk=training_class.pk), confirmation_status_id=4)

    training_class.cancel()

    (event,) = recorded()
    assert event["previous"] == {"status": {"code": 4, "name": "Tentative"}}


def test_a_deferred_field_that_is_set_has_its_old_value(training_class, recorded):
    deferred = TrainingClass.objects.only("name").get(pk=training_class.pk)
    deferred.confirmation_status_id = 2

    deferred.save()

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == (
        "class.cancelled",
        ["status"],
        {"status": SCHEDULED},
    )
    assert event["data"]["max_students"] == 16


def test_a_save_of_deferred_fields_that_were_not_set_records_nothing(training_class):
    TrainingClass.objects.defer("confirmation_status_id", "max_students").get(pk=training_class.pk).save()

    assert not Event.objects.exists()


def test_a_changed_field_that_update_fields_leaves_out_records_nothing(training_class):
    training_class.confirmation_status_id = 2

    training_class.save(update_fields=["name"])

    assert not Event.objects.exists()


def test_an_instance_made_by_hand_is_compared_with_the_row_of_its_key(training_class, recorded):
    copy = TrainingClass.objects.get(pk=training_class.pk)
    made = TrainingClass(
        **{field.attname: getattr(copy, field.attname) for field in TrainingClass._meta.concrete_fields}
    )
    made.max_students = 12

    made.save(force_update=True)

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("class.updated", {"max_students": 16})


def test_what_the_instance_remembers_of_its_references_is_not_sent(training_class, recorded):
    assert training_class.course.name
    Course.objects.filter(pk=training_class.course_id).update(name="Renamed meanwhile")

    training_class.cancel()

    (event,) = recorded()
    assert event["data"]["course"]["name"] == "Renamed meanwhile"
