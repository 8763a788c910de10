"""Objects with several owners: each owner gets events of its own, with its ids and its own gapless sequence."""

import pytest
from django.db import transaction

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import LessonsOfSeries, OwnedLessons
from tests.testapp.models import Lesson, Series
from tms_webhooks.models import Event


@pytest.fixture
def first():
    return OrganizationFactory(external_id="FIRST", name="First Inc")


@pytest.fixture
def second():
    return OrganizationFactory(external_id="SECOND", name="Second Inc")


@pytest.fixture(autouse=True)
def webhooks(first, second):
    return [WebhookFactory(organization=one, events=["*"]) for one in (first, second)]


def recorded_for(recorded):
    """Return the external id of the organization, the type and the sequence of each event."""
    return [(event["organization"]["external_id"], event["type"], event["sequence"]) for event in recorded()]


@pytest.fixture
def lesson(first, second):
    series = Series.objects.create()
    series.organizations.set([first, second])
    return Lesson.objects.create(title="Algebra", series=series)


def test_each_owner_gets_an_event_of_its_own(lesson, listen, recorded):
    listen(LessonsOfSeries, Lesson)

    lesson.title = "Geometry"
    lesson.save()
    Lesson.objects.update(title="Logic")

    assert recorded_for(recorded) == [
        ("FIRST", "class.updated", 1),
        ("SECOND", "class.updated", 1),
        ("FIRST", "class.updated", 2),
        ("SECOND", "class.updated", 2),
    ]
    assert [event["data"]["organization"]["name"] for event in recorded()[:2]] == ["First Inc", "Second Inc"]
    assert Event.objects.values_list("uid").distinct().count() == 4


def test_creation_and_deletion_are_events_of_each_owner(lesson, listen, recorded):
    listen(LessonsOfSeries, Lesson)

    other = Lesson.objects.create(title="Logic", series=lesson.series)
    other.delete()
    Lesson.objects.bulk_create([Lesson(title="Ethics", series=lesson.series)])

    assert [one[:2] for one in recorded_for(recorded)] == [
        ("FIRST", "class.scheduled"),
        ("SECOND", "class.scheduled"),
        ("FIRST", "class.deleted"),
        ("SECOND", "class.deleted"),
        ("FIRST", "class.scheduled"),
        ("SECOND", "class.scheduled"),
    ]


def test_an_owner_without_a_subscription_gets_no_event_and_no_gap(lesson, listen, recorded, webhooks):
    webhooks[1].subscriptions.all().delete()
    listen(LessonsOfSeries, Lesson)

    lesson.title = "Geometry"
    lesson.save()
    webhooks[1].subscriptions.create(event_type="*")
    lesson.title = "Logic"
    lesson.save()

    assert recorded_for(recorded) == [
        ("FIRST", "class.updated", 1),
        ("FIRST", "class.updated", 2),
        ("SECOND", "class.updated", 1),
    ]


def test_an_owner_is_added_to_the_list_and_removed(first, second, listen, recorded):
    lesson = Lesson.objects.create(title="Algebra")
    lesson.owners.add(first)
    listen(OwnedLessons, Lesson)

    lesson.owners.add(second)
    lesson.owners.remove(first)
    lesson.owners.set([])

    came, left, second_left = recorded()
    assert (came["organization"]["external_id"], came["type"], came["changed"]) == ("SECOND", "class.added", [])
    assert came["data"]["name"] == "Algebra"
    assert (left["organization"]["external_id"], left["type"]) == ("FIRST", "class.removed")
    assert (second_left["organization"]["external_id"], second_left["type"]) == ("SECOND", "class.removed")


@pytest.mark.django_db(transaction=True)
def test_updates_of_one_transaction_are_folded_for_each_owner(lesson, listen, recorded):
    listen(LessonsOfSeries, Lesson)

    with transaction.atomic():
        for title in ("Geometry", "Logic"):
            lesson.title = title
            lesson.save()

    assert recorded_for(recorded) == [("FIRST", "class.updated", 1), ("SECOND", "class.updated", 1)]
    assert [event["data"]["name"] for event in recorded()] == ["Logic", "Logic"]
    assert {event["previous"]["name"] for event in recorded()} == {"Algebra"}


def test_a_save_costs_one_query_more_where_only_other_organizations_subscribe(
    lesson, listen, recorded, webhooks, django_assert_num_queries
):
    for webhook in webhooks:
        webhook.subscriptions.all().delete()
    WebhookFactory(events=["*"])
    listen(LessonsOfSeries, Lesson)
    lesson.title = "Geometry"

    # The row with its subscriptions, and the update.
    with django_assert_num_queries(2):
        lesson.save()

    assert recorded() == []


class OwnedByParents(OwnedLessons):
    owner = "owners.parent"


@pytest.mark.parametrize("order", [(OwnedLessons, OwnedByParents), (OwnedByParents, OwnedLessons)])
def test_two_sources_of_a_model_may_have_different_lists_of_owners(first, listen, recorded, order):
    first.parent = OrganizationFactory()
    first.save()
    lesson = Lesson.objects.create(title="Algebra")
    lesson.owners.add(first)
    for source in order:
        listen(source, Lesson)

    lesson.title = "Geometry"
    lesson.save()

    assert recorded_for(recorded) == [("FIRST", "class.updated", 1)]
