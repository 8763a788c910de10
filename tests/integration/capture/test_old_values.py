"""Old values are what the database held when the change was written, whatever the instance at hand believed."""

import pytest

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import Course, TrainingClass
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


def test_a_changed_field_that_update_fields_leaves_out_records_nothing(training_class):
    training_class.confirmation_status_id = 2

    training_class.save(update_fields=["name"])

    assert not Event.objects.exists()


def test_what_the_instance_remembers_of_its_references_is_not_sent(training_class, recorded):
    assert training_class.course.name
    Course.objects.filter(pk=training_class.course_id).update(name="Renamed meanwhile")

    training_class.cancel()

    (event,) = recorded()
    assert event["data"]["course"]["name"] == "Renamed meanwhile"
