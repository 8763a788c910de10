"""Values that the database computes are recorded as they are after the change."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Plaque, Workshop

pytestmark = pytest.mark.django_db(transaction=True)

TRIGGERS = {
    "sqlite": (
        [
            "CREATE TRIGGER tms_seats AFTER UPDATE OF seats ON testapp_workshop FOR EACH ROW BEGIN "
            "UPDATE testapp_workshop SET title = 'Seats ' || NEW.seats WHERE id = NEW.id; END"
        ],
        ["DROP TRIGGER tms_seats"],
    ),
    "postgresql": (
        [
            "CREATE FUNCTION tms_seats() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.title = 'Seats ' || NEW.seats; RETURN NEW; END $$",
            "CREATE TRIGGER tms_seats BEFORE UPDATE ON testapp_workshop FOR EACH ROW EXECUTE FUNCTION tms_seats()",
        ],
        ["DROP TRIGGER tms_seats ON testapp_workshop", "DROP FUNCTION tms_seats()"],
    ),
    "mysql": (
        [
            "CREATE TRIGGER tms_seats BEFORE UPDATE ON testapp_workshop FOR EACH ROW "
            "SET NEW.title = CONCAT('Seats ', NEW.seats)"
        ],
        ["DROP TRIGGER tms_seats"],
    ),
}


@pytest.fixture
def trigger():
    """Have the database name each workshop after its seats whenever they change."""
    create, drop = TRIGGERS[connection.vendor]
    with connection.cursor() as cursor:
        for statement in create:
            cursor.execute(statement)
    yield
    with connection.cursor() as cursor:
        for statement in drop:
            cursor.execute(statement)


@pytest.mark.usefixtures("trigger")
def test_what_a_trigger_changes_is_recorded(workshops, recorded):
    Workshop.objects.filter(seats=4).update(seats=40)

    (event,) = recorded()
    assert event["data"]["title"] == "Seats 40"
    assert event["previous"] == {"title": "W4", "seats": 4}


def test_a_default_of_the_database_is_recorded(listen, organization, recorded):
    listen(WorkshopSource, Plaque)

    Plaque.objects.bulk_create([Plaque(organization=organization, title="Founded 1998")])

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [("workshop.created", "main")]
