"""``bulk_update()``, and the asynchronous twins of all bulk operations."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.testapp.models import Workshop
from tms_webhooks.capture import querysets
from tms_webhooks.models import Event


def test_each_object_is_recorded_with_its_own_values(workshops, steps):
    for workshop in workshops:
        workshop.title = "W0" if workshop.seats < 2 else f"New {workshop.seats}"

    assert Workshop.objects.bulk_update(workshops, ["title"]) == 5

    assert steps() == [
        ("workshop.changed", "W0", {"title": "W1"}),
        ("workshop.changed", "New 2", {"title": "W2"}),
        ("workshop.changed", "New 3", {"title": "W3"}),
        ("workshop.changed", "New 4", {"title": "W4"}),
    ]


def test_a_field_that_is_not_named_is_not_recorded(workshops, steps):
    for workshop in workshops:
        workshop.title, workshop.seats = "Unsaved", 50

    Workshop.objects.bulk_update(workshops, ["seats"])

    assert {title for _type, title, _previous in steps()} == {"W0", "W1", "W2", "W3", "W4"}
    assert [previous for _type, _title, previous in steps()] == [{"seats": seats} for seats in range(5)]


def test_expressions_are_recorded_as_what_they_come_to(workshops, recorded):
    for workshop in workshops:
        workshop.seats = F("seats") + 1

    Workshop.objects.bulk_update(workshops, ["seats"], batch_size=2)

    assert [event["data"]["seats"] for event in recorded()] == [1, 2, 3, 4, 5]


def test_more_than_a_chunk_goes_in_chunks(workshops, recorded, monkeypatch):
    monkeypatch.setattr(querysets, "CHUNK", 2)
    statements: list[str] = []
    for workshop in workshops:
        workshop.title = "Same"

    with connection.execute_wrapper(lambda go, sql, *rest: (statements.append(sql), go(sql, *rest))[1]):
        Workshop.objects.bulk_update(workshops, ["title"])

    assert sum(sql.startswith("UPDATE") and "testapp_workshop" in sql for sql in statements) == 3
    assert len(recorded()) == 5


def test_what_has_to_be_unique_goes_in_batches_of_the_hosts_own_size(monkeypatch):
    monkeypatch.setattr(querysets, "CHUNK", 2)
    classes = TrainingClassFactory.create_batch(4)
    for one in classes:
        one.external_id += "-B"

    with CaptureQueriesContext(connection) as captured:
        TrainingClass.objects.bulk_update(classes, ["external_id"])

    assert sum(query["sql"].startswith("UPDATE") for query in captured) == 1


def test_the_asynchronous_twins_record_the_same(workshops, recorded):
    organization = workshops[0].organization

    async def run() -> None:
        await Workshop.objects.filter(seats=0).aupdate(title="Renamed")
        workshops[1].title = "Renamed, too"
        await Workshop.objects.abulk_update(workshops[1:2], ["title"])
        await Workshop.objects.abulk_create([Workshop(organization=organization, title="New")])
        await Workshop.objects.filter(seats=2).adelete()
        await Workshop.objects.aupdate_or_create({"title": "Renamed last"}, seats=3)

    async_to_sync(run)()

    assert [(event["type"], event["data"]["title"]) for event in recorded()] == [
        ("workshop.changed", "Renamed"),
        ("workshop.changed", "Renamed, too"),
        ("workshop.created", "New"),
        ("workshop.deleted", "W2"),
        ("workshop.changed", "Renamed last"),
    ]


def test_what_ends_in_a_save_is_recorded_once(workshops, recorded):
    organization = workshops[0].organization
    changed, created = Workshop.objects.update_or_create({"title": "Changed"}, seats=0)
    assert not created
    Workshop.objects.update_or_create({"title": "Changed"}, seats=0)
    made, created = Workshop.objects.update_or_create({"title": "Made", "organization": organization}, seats=70)
    assert created
    again, created = Workshop.objects.get_or_create({"title": "Again", "organization": organization}, seats=80)
    assert created
    Workshop.objects.get_or_create({"title": "Never"}, seats=80)

    assert [(event["type"], event["data"]["id"]) for event in recorded()] == [
        ("workshop.changed", changed.pk),
        ("workshop.created", made.pk),
        ("workshop.created", again.pk),
    ]


def test_nothing_to_update_is_nothing_to_record(workshops):
    assert Workshop.objects.bulk_update([], ["title"]) == 0
    assert not Event.objects.exists()
