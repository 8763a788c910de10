"""An object comes, changes and goes: what each of these tells, and with which old values."""

from example_project.training.models import TrainingClass
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Plaque, Ticket
from tms_webhooks.models import Event
from tms_webhooks.sources.stored_rows import key_of


def test_a_deletion_is_recorded_by_the_database_and_not_by_a_stale_instance(training_class, recorded):
    stale = TrainingClass.objects.get(pk=training_class.pk)
    training_class.cancel()

    stale.delete()

    assert recorded()[-1]["data"]["status"] == {"code": 2, "name": "Cancelled"}


def test_a_deleted_object_that_is_saved_comes_anew(training_class, recorded):
    stale = TrainingClass.objects.get(pk=training_class.pk)
    training_class.delete()

    stale.save()

    deleted, scheduled = recorded()
    assert (deleted["type"], scheduled["type"]) == ("class.deleted", "class.scheduled")
    assert (scheduled["previous"], scheduled["sequence"]) == ({}, 2)


def test_an_object_whose_key_is_known_before_its_row_is_new_all_the_same(listen, organization, recorded):
    listen(WorkshopSource, Ticket)

    ticket = Ticket.objects.create(organization=organization, title="One seat")
    ticket.title = "Two seats"
    ticket.save()

    created, changed = recorded()
    assert (created["type"], created["previous"]) == ("workshop.created", {})
    assert (changed["type"], changed["previous"]) == ("workshop.changed", {"title": "One seat"})
    assert created["data"]["id"] == changed["data"]["id"] == str(ticket.pk)
    assert Event.objects.values_list("subject_id", flat=True).distinct().get() == str(ticket.pk)


def test_a_row_that_is_written_over_by_a_new_instance_is_no_new_object(listen, organization, recorded):
    ticket = Ticket.objects.create(organization=organization, title="One seat")
    listen(WorkshopSource, Ticket)

    Ticket(pk=ticket.pk, organization=organization, title="Two seats").save(force_update=True)

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("workshop.changed", {"title": "One seat"})


def test_an_object_whose_key_the_database_makes_is_new(listen, organization, recorded):
    source = listen(WorkshopSource, Plaque)
    assert key_of(source, Plaque()) is None

    plaque = Plaque.objects.create(organization=organization, title="In honor of Ada")
    plaque.title = "In honor of Grace"
    plaque.save()

    created, changed = recorded()
    assert (created["type"], created["data"]["id"]) == ("workshop.created", "main")
    assert (changed["type"], changed["previous"]) == ("workshop.changed", {"title": "In honor of Ada"})
