"""Proxies, and models that extend others by a table of their own, are recorded by their parent's source."""

import pytest

from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Banquet, OnsiteWorkshop, PastWorkshop, Workshop


@pytest.fixture(autouse=True)
def _listening(listen):
    listen(WorkshopSource, Workshop)


def steps(recorded):
    return [(event["type"], event["sequence"], event["previous"]) for event in recorded()]


@pytest.mark.parametrize("model, own", [(PastWorkshop, {}), (OnsiteWorkshop, {"room": "7"})])
def test_a_proxy_or_a_child_is_recorded_from_its_first_row_to_its_last(organization, recorded, model, own):
    workshop = model.objects.create(organization=organization, title="Pair programming", **own)
    workshop.title = "Mob programming"
    workshop.save()
    workshop.room = "8"
    workshop.save()
    key = workshop.pk
    workshop.delete()

    assert steps(recorded) == [
        ("workshop.created", 1, {}),
        ("workshop.changed", 2, {"title": "Pair programming"}),
        ("workshop.deleted", 3, {}),
    ]
    assert {event["data"]["id"] for event in recorded()} == {key}


def test_a_child_and_its_parents_instance_are_one_object(organization, recorded):
    child = OnsiteWorkshop.objects.create(organization=organization, title="Pair programming", room="7")
    parent = Workshop.objects.get(pk=child.pk)
    parent.title = "Mob programming"
    parent.save()

    child.save()

    assert steps(recorded) == [
        ("workshop.created", 1, {}),
        ("workshop.changed", 2, {"title": "Pair programming"}),
        ("workshop.changed", 3, {"title": "Mob programming"}),
    ]


def test_a_child_that_leaves_its_parent_behind_deletes_nothing_that_is_recorded(organization, recorded):
    child = OnsiteWorkshop.objects.create(organization=organization, title="Pair programming", room="7")

    child.delete(keep_parents=True)

    assert [step[0] for step in steps(recorded)] == ["workshop.created"]
    assert Workshop.objects.exists()


@pytest.mark.parametrize("by", ["workshop_ptr", "workshop_ptr_id"])
def test_a_child_that_extends_a_row_which_exists_is_no_new_object(organization, recorded, by):
    parent = Workshop.objects.create(organization=organization, title="Pair programming")
    link = {by: parent if by == "workshop_ptr" else parent.pk}

    OnsiteWorkshop(**link, organization=organization, title="Mob programming", room="7").save()

    assert steps(recorded) == [("workshop.created", 1, {}), ("workshop.changed", 2, {"title": "Pair programming"})]


def test_a_child_of_two_parents_is_recorded_by_the_key_of_the_one_that_is_a_source(organization, recorded):
    Workshop.objects.create(organization=organization, title="Pair programming")
    Workshop.objects.all().delete()
    prune_events()

    banquet = Banquet.objects.create(organization=organization, title="Closing dinner", menu="Soup")
    banquet.title = "Opening dinner"
    banquet.save()
    assert banquet.pk != banquet.workshop_ptr_id
    key = banquet.workshop_ptr_id
    banquet.delete()

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [
        ("workshop.created", key),
        ("workshop.changed", key),
        ("workshop.deleted", key),
    ]
