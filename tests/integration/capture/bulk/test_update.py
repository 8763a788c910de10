"""``update()``: one event for each object that changes, with its old values, and nothing for the others."""

import pytest
from django.db import connection, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory, TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.testapp.models import Workshop
from tms_webhooks.models import Event

pytestmark = pytest.mark.usefixtures("workshops")


def test_the_sequence_goes_on_where_saves_left_it(workshops, recorded):
    Workshop.objects.update(title="One")
    workshops[0].refresh_from_db()
    workshops[0].title = "Two"
    workshops[0].save()
    Workshop.objects.update(title="Three")

    key = workshops[0].pk
    own = [event for event in recorded() if event["data"]["id"] == key]
    assert [(event["sequence"], event["previous"]["title"]) for event in own] == [(2, "W0"), (3, "One"), (4, "Two")]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("annotations", [{}, {"double": F("seats") * 2}], ids=["plain", "annotated"])
def test_what_one_chunk_changes_takes_nothing_from_the_next(steps, annotations):
    """They match only while one of them, which is among them, has no seats."""
    empty = Workshop.objects.filter(seats=0).values("organization")
    rows = Workshop.objects.annotate(**annotations).filter(seats__lt=4, organization__in=empty)
    assert rows.update(seats=100) == 4

    assert [previous["seats"] for _type, _title, previous in steps()] == [0, 1, 2, 3]


@pytest.mark.usefixtures("small_chunks")
def test_a_filter_on_many_related_rows_records_each_object_once(recorded):
    training_class = TrainingClassFactory()
    ClassEnrollmentFactory.create_batch(3, training_class=training_class)
    WebhookFactory(organization=training_class.organization, events=["class.*"])

    assert TrainingClass.objects.filter(enrollments__enrollment_status_id=60).update(max_students=5) == 1

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("class.updated", {"max_students": 16})


@pytest.mark.usefixtures("small_chunks")
def test_a_filter_on_a_number_of_related_rows_is_recorded(recorded):
    training_class = TrainingClassFactory()
    ClassEnrollmentFactory.create_batch(3, training_class=training_class)
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    counted = TrainingClass.objects.annotate(taken=Count("enrollments"))

    assert counted.filter(taken__gt=3).update(max_students=5) == 0
    assert counted.filter(taken__gt=2).update(max_students=5) == 1

    assert [event["type"] for event in recorded()] == ["class.updated"]


@pytest.mark.usefixtures("small_chunks")
def test_the_update_may_use_the_querysets_own_annotations(recorded):
    Workshop.objects.annotate(double=F("seats") * 2).filter(double__gt=2).update(seats=F("double"))

    assert [event["data"]["seats"] for event in recorded()] == [4, 6, 8]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("field, statements", [("external_id", 1), ("name", 3)])
def test_what_has_to_be_unique_is_updated_in_one_statement(field, statements):
    """What is unique again at its end may not be so in the middle."""
    first = TrainingClassFactory()
    TrainingClassFactory.create_batch(4, organization=first.organization, course=first.course)
    WebhookFactory(organization=first.organization, events=["class.*"])

    with CaptureQueriesContext(connection) as captured:
        TrainingClass.objects.update(**{field: Concat(F("external_id"), Value("-B"))})

    assert (
        sum(query["sql"].startswith("UPDATE") and "trainingclass" in query["sql"] for query in captured) == statements
    )
    assert Event.objects.filter(type="class.updated").count() == 5


def test_a_slice_is_refused_as_django_does_and_untold():
    with pytest.raises(TypeError, match="Cannot update a query once a slice has been taken"):
        Workshop.objects.all()[:2].update(title="No")

    assert not Event.objects.exists()
    assert not Workshop.objects.filter(title="No").exists()


def test_distinct_fields_are_dropped_or_refused_as_django_does(steps):
    """Django 5.2 updates all rows, later versions none."""
    try:
        with transaction.atomic():
            updated = Workshop.objects.distinct("state").update(title="Same")
    except TypeError:
        updated = 0

    assert len(steps()) == updated == Workshop.objects.filter(title="Same").count()


def test_each_organization_is_recorded_what_it_asks_for(recorded):
    quiet = OrganizationFactory()
    WebhookFactory(organization=quiet, events=["workshop.cancelled"])
    Workshop.objects.create(organization=quiet, title="Elsewhere")

    Workshop.objects.filter(title__in=["Elsewhere", "W0"]).update(state="called off")

    assert {(event["data"]["title"], event["type"]) for event in recorded()} == {
        ("W0", "workshop.changed"),
        ("W0", "workshop.cancelled"),
        ("Elsewhere", "workshop.cancelled"),
    }
