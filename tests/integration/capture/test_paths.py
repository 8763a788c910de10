"""Attribute paths that no query follows, and fields that share a column."""

from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import OnsiteWorkshop, Workshop


def test_the_other_side_of_a_one_to_one_is_null_where_there_is_none(listen, organization, recorded):
    class InRoom(WorkshopSource):
        fields = {"headline": "onsiteworkshop.room"}

    listen(InRoom, Workshop)

    Workshop.objects.create(organization=organization, title="Pair programming")
    OnsiteWorkshop.objects.create(organization=organization, title="Mob programming", room="7")

    assert [event["data"]["headline"] for event in recorded()] == [None, "7"]


def test_two_fields_may_share_a_column(listen, organization, recorded):
    class Twice(WorkshopSource):
        fields = {"headline": "title"}

    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    listen(Twice, Workshop)

    workshop.title = "Mob programming"
    workshop.save()

    (event,) = recorded()
    assert event["changed"] == ["title", "headline"]
    assert event["previous"] == {"title": "Pair programming", "headline": "Pair programming"}
    assert event["data"]["headline"] == "Mob programming"


def test_a_field_that_is_left_out_is_null(listen, organization, recorded):
    class Untitled(WorkshopSource):
        fields = {"seats": None}

    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    listen(Untitled, Workshop)
    workshop.seats = 3
    workshop.save()
    assert recorded() == []

    workshop.title = "Mob programming"
    workshop.save()

    assert recorded()[0]["data"]["seats"] is None


def test_a_change_of_a_referenced_object_is_no_change_of_the_object(listen, organization, recorded):
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    listen(WorkshopSource, Workshop)
    organization.name = "Renamed"
    organization.save()

    workshop.save()

    assert recorded() == []
