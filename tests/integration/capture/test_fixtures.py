"""Loading a fixture records nothing: it brings the past into a database. Other deserialized objects are changes."""

from django.core import serializers
from django.core.management import call_command
from django.db import transaction

from example_project.training.factories import UserFactory
from example_project.training.models import TrainingClass
from tests.outbox import prune_events
from tms_webhooks.models import Event


def test_a_fixture_records_neither_of_new_rows_nor_of_changed_ones(training_class, tmp_path):
    changed = TrainingClass.objects.get(pk=training_class.pk)
    changed.confirmation_status_id = 2
    new = TrainingClass.objects.get(pk=training_class.pk)
    new.pk, new.external_id = training_class.pk + 1, None
    path = tmp_path / "classes.json"
    path.write_text(serializers.serialize("json", [changed, new]))

    call_command("loaddata", path, verbosity=0)

    assert list(TrainingClass.objects.order_by("pk").values_list("confirmation_status_id", flat=True)) == [2, 0]
    assert not Event.objects.exists()


def test_the_relations_of_a_fixture_record_nothing_either(training_class, tmp_path):
    alice = UserFactory()
    training_class.instructors.add(alice)
    path = tmp_path / "classes.json"
    path.write_text(serializers.serialize("json", [training_class]))
    training_class.instructors.clear()
    prune_events()

    call_command("loaddata", path, verbosity=0)

    assert list(training_class.instructors.all()) == [alice]
    assert not Event.objects.exists()


def test_the_relations_that_a_fixture_defers_record_nothing(training_class, tmp_path):
    alice = UserFactory()
    training_class.instructors.add(alice)
    path = tmp_path / "classes.json"
    natural = {"use_natural_foreign_keys": True, "use_natural_primary_keys": True}
    path.write_text(serializers.serialize("json", [training_class, alice], **natural))
    training_class.instructors.clear()
    prune_events()

    call_command("loaddata", path, verbosity=0)

    assert training_class.instructors.exists()
    assert not Event.objects.exists()


def test_after_a_fixture_changes_are_recorded_as_ever(training_class, tmp_path, recorded):
    training_class.confirmation_status_id = 4
    path = tmp_path / "classes.json"
    path.write_text(serializers.serialize("json", [training_class]))
    call_command("loaddata", path, verbosity=0)

    training_class.cancel()

    (event,) = recorded()
    assert event["previous"] == {"status": {"code": 4, "name": "Tentative"}}


def test_a_deserialized_object_that_the_host_saves_is_a_change(training_class, recorded):
    alice = UserFactory()
    training_class.confirmation_status_id = 2
    training_class.instructors.add(alice)
    text = serializers.serialize("json", [training_class])
    training_class.instructors.clear()
    prune_events()

    (deserialized,) = serializers.deserialize("json", text)
    with transaction.atomic():
        deserialized.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.cancelled", ["status", "instructor_ids"])
    assert event["previous"] == {"status": {"code": 0, "name": "Scheduled"}, "instructor_ids": []}


def test_a_raw_save_of_an_instance_is_a_change(training_class, recorded):
    training_class.confirmation_status_id = 2

    training_class.save_base(raw=True)

    assert [event["type"] for event in recorded()] == ["class.cancelled"]
