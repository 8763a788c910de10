"""Every way to change an object keeps the same promises: one table of ways, and one test for each promise."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.forms import modelform_factory

from example_project.training.factories import OrganizationFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Workshop
from tms_webhooks.models import Event
from tms_webhooks.outbox import record

pytestmark = pytest.mark.django_db


def save(workshop, **values):
    assign(workshop, **values).save()


def assign(workshop, **values):
    for name, value in values.items():
        setattr(workshop, name, value)
    return workshop


def save_form(workshop, **values):
    modelform_factory(Workshop, fields=list(values))(values, instance=workshop).save()


def upsert(workshop, **values):
    unique = None if connection.vendor == "mysql" else ["pk"]
    rows = [assign(workshop, **values)]
    Workshop.objects.bulk_create(rows, update_conflicts=True, unique_fields=unique, update_fields=list(values))


# Each changes one workshop.
WAYS = {
    "save": save,
    "save of named fields": lambda one, **values: assign(one, **values).save(update_fields=list(values)),
    "asynchronous save": lambda one, **values: async_to_sync(assign(one, **values).asave)(),
    "form": save_form,
    "update": lambda one, **values: Workshop.objects.filter(pk=one.pk).update(**values),
    "update of a plain queryset": lambda one, **values: QuerySet(Workshop).filter(pk=one.pk).update(**values),
    "asynchronous update": lambda one, **values: async_to_sync(Workshop.objects.filter(pk=one.pk).aupdate)(**values),
    "bulk_update": lambda one, **values: Workshop.objects.bulk_update([assign(one, **values)], list(values)),
    "update_or_create": lambda one, **values: Workshop.objects.update_or_create(pk=one.pk, defaults=values),
    "upsert": upsert,
}
DELETIONS = {
    "delete": lambda one: one.delete(),
    "delete of a queryset": lambda one: Workshop.objects.filter(pk=one.pk).delete(),
}
EXPRESSIONS = [name for name in WAYS if name not in ("form", "upsert")]


@pytest.fixture
def workshop(organization, listen):
    listen(WorkshopSource, Workshop)
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    prune_events()
    return workshop


@pytest.fixture(params=WAYS)
def change(request):
    return WAYS[request.param]


def steps(recorded):
    return [(event["type"], event["previous"], event["data"]["title"], event["data"]["seats"]) for event in recorded()]


def test_a_change_is_one_event_with_the_old_values_of_what_changed_alone(workshop, change, recorded):
    change(workshop, title="Mob programming", seats=10)

    assert steps(recorded) == [("workshop.changed", {"title": "Pair programming"}, "Mob programming", 10)]


@pytest.mark.parametrize("way", EXPRESSIONS)
def test_an_expression_is_recorded_as_its_result(workshop, way, recorded):
    WAYS[way](workshop, seats=F("seats") + 5)

    assert steps(recorded) == [("workshop.changed", {"seats": 10}, "Pair programming", 15)]


def test_two_events_of_one_change_follow_each_other(workshop, change, recorded):
    change(workshop, title="Mob programming", state="called off")

    assert [(event["type"], event["changed"]) for event in recorded()] == [
        ("workshop.changed", ["title", "state"]),
        ("workshop.cancelled", ["title", "state"]),
    ]


def test_a_change_to_the_same_values_emits_no_event(workshop, change):
    change(workshop, title="Pair programming", seats=10)

    assert not Event.objects.exists()


def test_a_change_that_is_rolled_back_leaves_nothing(workshop, change):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        change(workshop, title="Mob programming")
        assert Event.objects.exists()
        raise ZeroDivisionError

    assert not Event.objects.exists()
    assert Workshop.objects.get().title == "Pair programming"


@pytest.mark.parametrize("way", WAYS)
def test_a_change_whose_event_can_not_be_written_is_not_made(workshop, way, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(record, "insert_rows", refuse)

    # The host catches the error, and commits what it did before and after.
    with transaction.atomic(), pytest.raises(ZeroDivisionError):
        WAYS[way](workshop, title="Mob programming")

    assert Workshop.objects.get().title == "Pair programming"


def test_an_organization_without_a_subscription_gets_no_event(workshop, change):
    other = Workshop.objects.create(organization=OrganizationFactory(), title="Mob programming")

    change(other, title="Solo programming")

    assert not Event.objects.exists()


@pytest.mark.parametrize("way", DELETIONS)
def test_a_deletion_is_one_event_with_the_last_values(workshop, way, recorded):
    DELETIONS[way](workshop)

    assert steps(recorded) == [("workshop.deleted", {}, "Pair programming", 10)]


@pytest.mark.parametrize("way", DELETIONS)
def test_a_deletion_that_is_rolled_back_leaves_nothing(workshop, way):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        DELETIONS[way](workshop)
        assert Event.objects.exists()
        raise ZeroDivisionError

    assert not Event.objects.exists()
    assert Workshop.objects.exists()
