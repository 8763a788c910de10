"""``bulk_create()``: new objects, those that were there already, and those that a conflict updates."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from example_project.training.factories import CourseFactory, TrainingClassFactory, UserFactory
from example_project.training.models import ClassEnrollment, CourseAssignment
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Plaque, Ticket
from tms_webhooks.models import Event

# MariaDB takes any that are to be unique.
BY_EXTERNAL_ID = [] if connection.vendor == "mysql" else ["external_id"]


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["enrollment.*", "user.*"])
    return training_class


def enrollment(training_class, status=60, **fields):
    fields["user"] = fields.get("user") or UserFactory(organization=training_class.organization)
    return ClassEnrollment(training_class=training_class, enrollment_status_id=status, **fields)


@pytest.mark.usefixtures("small_chunks")
def test_new_objects_are_recorded_with_their_keys(training_class, recorded):
    objs = [enrollment(training_class) for _number in range(3)]
    prune_events()

    made = ClassEnrollment.objects.bulk_create(iter(objs))

    assert made == objs
    assert [(event["type"], event["data"]["id"], event["sequence"]) for event in recorded()] == [
        ("enrollment.enrolled", one.pk, 1) for one in made
    ]


def test_keys_of_other_kinds_are_recorded(listen, organization, recorded):
    listen(WorkshopSource, Ticket)
    listen(WorkshopSource, Plaque)

    tickets = Ticket.objects.bulk_create([Ticket(organization=organization, title=f"Seat {n}") for n in range(2)])
    Plaque.objects.bulk_create([Plaque(organization=organization, title="Founded 1998")])

    assert [event["data"]["id"] for event in recorded()] == [*(str(ticket.pk) for ticket in tickets), "main"]


def test_a_conflict_that_is_raised_leaves_nothing(training_class):
    known = enrollment(training_class, external_id="E-1")
    known.save()
    doubled = [enrollment(training_class, external_id=name) for name in ("E-2", "E-1")]
    prune_events()

    with pytest.raises(IntegrityError), transaction.atomic():
        ClassEnrollment.objects.bulk_create(doubled)

    assert not Event.objects.exists()
    assert ClassEnrollment.objects.get() == known


@pytest.mark.parametrize("others", [0, 2])
def test_of_ignored_conflicts_only_the_new_ones_are_recorded(training_class, recorded, others):
    enrollment(training_class, external_id="E-1").save()
    objs = [enrollment(training_class, external_id="E-1", status=10)]
    objs += [enrollment(training_class) for _number in range(others)]
    prune_events()

    assert ClassEnrollment.objects.bulk_create(objs, ignore_conflicts=True) == objs

    assert [event["type"] for event in recorded()] == ["enrollment.enrolled"] * others
    assert ClassEnrollment.objects.count() == 1 + others
    new = set(ClassEnrollment.objects.exclude(external_id="E-1").values_list("pk", flat=True))
    assert {event["data"]["id"] for event in recorded()} == new


def test_an_import_records_new_objects_and_changed_ones_apart(training_class, recorded):
    known = enrollment(training_class, external_id="E-1")
    same = enrollment(training_class, external_id="E-2")
    ClassEnrollment.objects.bulk_create([known, same])
    prune_events()

    ClassEnrollment.objects.bulk_create(
        [
            enrollment(training_class, external_id="E-1", status=10, user=known.user),
            enrollment(training_class, external_id="E-2", user=same.user),
            enrollment(training_class, external_id="E-3", status=20, user=same.user),
        ],
        update_conflicts=True,
        unique_fields=BY_EXTERNAL_ID,
        update_fields=["enrollment_status_id"],
    )

    assert [(event["type"], event["data"]["external_id"], event["sequence"]) for event in recorded()] == [
        ("enrollment.cancelled", "E-1", 2),
        ("enrollment.waitlisted", "E-3", 1),
    ]
    assert recorded()[0]["previous"] == {"status": {"code": 60, "name": "Enroll"}}
    assert recorded()[1]["previous"] == {}


def test_two_sources_of_a_model_record_of_what_is_born_complete(recorded):
    learner = UserFactory()
    WebhookFactory(organization=learner.organization, events=["course_assignment.*"])
    now = timezone.now()

    CourseAssignment.objects.bulk_create(
        [CourseAssignment(course=CourseFactory(), user=learner, started_at=now, completed_at=now)]
    )

    assert [event["type"] for event in recorded()] == [
        "course_assignment.created",
        "course_assignment.started",
        "course_assignment.completed",
    ]
