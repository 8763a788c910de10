"""Values that are computed of columns and lists: complete before and after a change, so that only a real change counts."""

import pytest
from django.db.models.signals import post_save

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import BARE, ComputedLessons, Lessons
from tests.testapp.models import Label, Lesson, Series
from tms_webhooks import sources
from tms_webhooks.models import Event


@pytest.fixture
def lesson(organization):
    return Lesson.objects.create(title="Algebra", host=organization)


def types(recorded):
    return [event["type"] for event in recorded()]


# Statuses of columns and lists


def test_a_label_changes_a_computed_status(lesson, listen, recorded):
    listen(ComputedLessons, Lesson)

    lesson.labels.add(Label.objects.create(word="cancelled"))
    lesson.labels.clear()

    assert types(recorded) == ["class.cancelled", "class.scheduled"]


def test_another_save_of_a_lesson_that_a_label_cancels_keeps_its_status(lesson, listen, recorded):
    lesson.labels.add(Label.objects.create(word="cancelled"))
    listen(ComputedLessons, Lesson)

    lesson.title = "Geometry"
    lesson.save()

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", ["name"])


def test_a_computed_status_changes_with_the_object_that_it_reads(lesson, listen, recorded):
    opened, sure = Series.objects.create(), Series.objects.create(kind="sure")
    lesson.series = opened
    lesson.save()
    listen(ComputedLessons, Lesson)

    lesson.series = sure
    lesson.save()
    Lesson.objects.filter(pk=lesson.pk).update(series=opened)
    Lesson.objects.filter(pk=lesson.pk).update(title="Geometry")

    assert types(recorded) == ["class.guaranteed_to_run", "class.scheduled", "class.updated"]


def test_bulk_operations_compute_the_status_before_and_after(lesson, listen, recorded):
    other = Lesson.objects.create(title="Logic", host=lesson.host, called_off=True)
    listen(ComputedLessons, Lesson)

    Lesson.objects.update(called_off=True)
    lesson.called_off = other.called_off = False
    Lesson.objects.bulk_update([lesson, other], ["called_off"])
    Lesson.objects.all().delete()

    assert types(recorded) == [
        "class.cancelled",
        "class.scheduled",
        "class.scheduled",
        "class.deleted",
        "class.deleted",
    ]


# Properties with what they read


class Described(Lessons):
    """Reads a property that is made of a column, and of a column behind a foreign key."""

    fields = {"description": sources.Computed("described", reads={"role": "role", "kind": "series.kind"})}


def set_role(lesson):
    lesson.role = "guest"
    lesson.save()


def set_series(lesson):
    lesson.series = Series.objects.create(kind="sure")
    lesson.save()


CHANGES = {
    "save": (set_role, "guest, open"),
    "update": (lambda _lesson: Lesson.objects.update(role="guest"), "guest, open"),
    "foreign key": (set_series, "learner, sure"),
    "update of a foreign key": (
        lambda _lesson: Lesson.objects.update(series=Series.objects.create(kind="sure")),
        "learner, sure",
    ),
}


@pytest.fixture
def described(lesson, monkeypatch):
    described = property(lambda one: f"{one.role}, {one.series.kind}")
    monkeypatch.setattr(Lesson, "described", described, raising=False)
    lesson.series = Series.objects.create(kind="open")
    lesson.save()
    return lesson


@pytest.mark.parametrize("change, value", CHANGES.values(), ids=CHANGES)
def test_a_property_is_compared_when_a_column_that_it_reads_changes(described, listen, recorded, change, value):
    listen(Described, Lesson)

    change(described)

    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", ["description"])
    assert (event["previous"], event["data"]["description"]) == ({"description": "learner, open"}, value)


def test_a_change_that_leaves_the_property_does_not_name_it(described, listen, recorded):
    listen(Described, Lesson)

    described.title = "Geometry"
    described.save()
    described.save()
    Lesson.objects.update(title="Geometry")

    assert [event["changed"] for event in recorded()] == [["name"]]


def test_a_property_is_compared_with_the_last_event_of_a_receiver_that_saves_once_more(described, listen, recorded):
    def once_more(instance, **_kwargs):
        if instance.role == "guest":
            instance.role = "host"
            instance.save()

    listen(Described, Lesson)
    post_save.connect(once_more, sender=Lesson)
    try:
        set_role(described)
    finally:
        post_save.disconnect(once_more, sender=Lesson)

    last = recorded()[-1]
    assert last["data"]["description"] == "host, open"
    assert [event["previous"]["description"] for event in recorded()][0] == "learner, open"


# First, Not, Constant


class Mixed(sources.ClassSource):
    owner = sources.First("host", "deputy")
    fields = {
        **BARE,
        "enabled": sources.Not("called_off"),
        "description": sources.First("series.kind", "role"),
        "time_zone": sources.Constant("Europe/Oslo"),
    }


def test_values_are_the_opposite_the_first_that_leads_somewhere_or_the_same_for_all(lesson, listen, recorded):
    listen(Mixed, Lesson)
    lesson.called_off = True
    lesson.save()
    lesson.series = Series.objects.create(kind="evening")
    lesson.save()

    first, second = recorded()
    assert (first["changed"], first["data"]["enabled"], first["previous"]) == (["enabled"], False, {"enabled": True})
    assert (first["data"]["description"], first["data"]["time_zone"]) == ("learner", "Europe/Oslo")
    assert (second["changed"], second["previous"]) == (["description"], {"description": "learner"})
    assert second["data"]["description"] == "evening"


def test_the_owner_is_the_first_organization_that_a_path_leads_to(listen, recorded):
    deputy, host = OrganizationFactory(external_id="DEPUTY"), OrganizationFactory(external_id="HOST")
    WebhookFactory(organization=deputy, events=["*"])
    listen(Mixed, Lesson)

    lesson = Lesson.objects.create(title="Algebra", deputy=deputy)
    lesson.title = "Geometry"
    lesson.save()
    lesson.host = host
    lesson.save()
    lesson.title = "Logic"
    lesson.save()

    *before, left = recorded()
    assert [event["type"] for event in before] == ["class.scheduled", "class.updated"]
    assert {event["organization"]["external_id"] for event in before} == {"DEPUTY"}
    assert (left["type"], left["organization"]["external_id"]) == ("class.removed", "DEPUTY")


def test_the_names_of_an_organizations_values_are_set_once(lesson, listen, recorded, settings_of_app):
    settings_of_app(ORGANIZATION_FIELDS={"name": "external_id", "external_id": "name"})
    listen(Lessons, Lesson)
    lesson.title = "Geometry"
    lesson.save()

    (event,) = recorded()
    assert event["organization"]["external_id"] == lesson.host.name
    assert event["data"]["organization"]["name"] == lesson.host.external_id
    assert Event.objects.count() == 1
