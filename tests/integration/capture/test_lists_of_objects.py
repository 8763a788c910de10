"""A list of objects in a payload: rows of the object's own, whose change is its change; and people it refers to."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import Role, SessionTime, TrainingClass, User
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks import sources
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import instant
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.sources.mapping import map_field
from tms_webhooks.sources.rows import read_whole

START = datetime(2026, 12, 7, 8, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def session(number, *, hours=8):
    """Return the session of the day of this number as payloads have it."""
    start = START + number * DAY
    return {"start_at": instant(start), "end_at": instant(start + hours * HOUR)}


def add(training_class, *numbers):
    return [
        training_class.session_times.create(start_at=START + number * DAY, end_at=START + number * DAY + 8 * HOUR)
        for number in numbers
    ]


def changes(recorded):
    """Return the sessions before and after each event, and assert that nothing else changed."""
    assert {(event["type"], *event["changed"]) for event in recorded()} == {("class.updated", "session_times")}
    return [(event["previous"]["session_times"], event["data"]["session_times"]) for event in recorded()]


# Rows of the object's own


def test_a_save_that_changes_no_time_is_no_update(training_class):
    (first,) = add(training_class, 0)
    prune_events()

    first.save()
    SessionTime.objects.update(start_at=START)

    assert not Event.objects.exists()


def test_a_bulk_operation_on_sessions_is_one_update_of_each_class(training_class, recorded):
    SessionTime.objects.bulk_create(
        SessionTime(
            training_class=training_class, start_at=START + number * DAY, end_at=START + number * DAY + 8 * HOUR
        )
        for number in range(2)
    )
    SessionTime.objects.filter(start_at__gt=START).update(end_at=START + DAY + 7 * HOUR)
    first, second = SessionTime.objects.order_by("start_at")
    first.end_at -= HOUR
    SessionTime.objects.bulk_update([first, second], ["end_at"])
    SessionTime.objects.all().delete()

    both = [session(0), session(1)]
    assert changes(recorded) == [
        ([], both),
        (both, [session(0), session(1, hours=7)]),
        ([session(0), session(1, hours=7)], [session(0, hours=7), session(1, hours=7)]),
        ([session(0, hours=7), session(1, hours=7)], []),
    ]


@pytest.mark.parametrize("way", ["save", "update", "bulk_update"])
def test_a_session_that_moves_to_another_class_changes_both(training_class, recorded, way):
    other = TrainingClassFactory(organization=training_class.organization)
    (moved,) = add(training_class, 0)
    prune_events()

    moved.training_class = other
    if way == "save":
        moved.save()
    elif way == "update":
        SessionTime.objects.update(training_class=other)
    else:
        SessionTime.objects.bulk_update([moved], ["training_class"])

    assert [event["data"]["id"] for event in recorded()] == [training_class.pk, other.pk]
    assert changes(recorded) == [([session(0)], []), ([], [session(0)])]


def test_sessions_that_go_with_their_class_are_no_update(training_class, recorded):
    add(training_class, 0, 1)
    prune_events()

    training_class.delete()

    (event,) = recorded()
    assert (event["type"], event["data"]["session_times"]) == ("class.deleted", [session(0), session(1)])


def test_sessions_without_a_subscription_record_nothing_and_read_no_class():
    training_class = TrainingClassFactory()
    add(training_class, 0)

    with CaptureQueriesContext(connection) as captured:
        SessionTime.objects.update(end_at=START + HOUR)

    assert not [query for query in captured if "FROM" in query["sql"] and "training_trainingclass" in query["sql"]]
    assert not Event.objects.exists()


# Objects that it refers to


def test_every_event_has_the_instructors_and_the_sessions_and_a_save_costs_no_query_more(training_class, recorded):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            training_class.max_students += 1
            training_class.save()
        return len(captured)

    cost()
    none = cost()
    bob, alice = (UserFactory(username=name, external_id=name.upper()) for name in ("bob", "alice"))
    training_class.instructors.set([alice, bob])
    add(training_class, 0)
    prune_events()

    assert cost() == none
    (event,) = recorded()
    assert event["data"]["instructors"] == [
        {
            "id": person.pk,
            "external_id": person.external_id,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "email": person.email,
        }
        for person in (bob, alice)
    ]
    assert event["data"]["session_times"] == [session(0)]


def test_instructors_change_by_their_ids_and_not_by_their_names(training_class, recorded):
    alice = UserFactory()
    training_class.instructors.add(alice)
    alice.first_name = "Alicia"
    alice.save()

    (event,) = recorded()
    assert (event["changed"], event["previous"]) == (["instructor_ids"], {"instructor_ids": []})


def test_a_role_that_is_given_or_taken_is_an_update_of_the_user(recorded):
    alice = UserFactory()
    teacher, author = Role.objects.create(name="Teacher"), Role.objects.create(name="Author")
    WebhookFactory(organization=alice.organization, events=["user.*"])

    both = [teacher.pk, author.pk]
    alice.roles.add(teacher, author)
    author.delete()
    alice.roles.clear()

    assert [event["type"] for event in recorded()] == ["user.updated"] * 3
    assert [event["changed"] for event in recorded()] == [["role_ids"]] * 3
    assert [event["previous"]["role_ids"] for event in recorded()] == [[], both, [teacher.pk]]
    assert [[role["name"] for role in event["data"]["roles"]] for event in recorded()] == [
        ["Teacher", "Author"],
        ["Teacher"],
        [],
    ]
    assert recorded()[1]["data"]["roles"] == [{"id": teacher.pk, "external_id": None, "name": "Teacher"}]


# Other shapes of a host


PEOPLE = references.people("reports", "People.")
PATHS = {"id": "pk", "external_id": "external_id", "email": "email"}


def test_a_property_or_a_column_may_hold_the_list():
    manager = UserFactory()
    report = UserFactory(manager=manager, organization=manager.organization)
    expected = [{"id": report.pk, "external_id": report.external_id, "email": report.email}]

    by_relation = map_field(User, PEOPLE, "reports", items=PATHS)
    assert list(User.objects.filter(pk=manager.pk).values_list(by_relation.lookup, flat=True)) == [expected]
    assert by_relation.read(manager) == expected
    assert by_relation.objects([{"pk": 7, "email": "a@example.com"}, {}]) == [
        {"id": 7, "external_id": None, "email": "a@example.com"},
        {"id": None, "external_id": None, "email": None},
    ]


@pytest.mark.parametrize("value", ["Alice", b"Alice", 7])
def test_what_is_no_list_of_objects_is_refused_without_being_quoted(value):
    mapped = map_field(User, PEOPLE, "username", items=PATHS)

    error = mapped.objects(value)

    assert isinstance(error, PayloadError)
    assert str(error) == (f"reports: a {type(value).__name__} is no list of objects; map the field to another path.")


def test_each_kind_of_value_is_read_as_python_has_it():
    items = (
        Field("id", FieldKind.ID, FieldPrivacy.ID),
        Field("created_at", FieldKind.DATETIME, FieldPrivacy.BASIC),
        Field("expires_at", FieldKind.DATETIME, FieldPrivacy.BASIC),
        Field("course", FieldKind.STRING, FieldPrivacy.BASIC),
        Field("user_id", FieldKind.ID, FieldPrivacy.ID),
    )
    field = Field("assignments", FieldKind.OBJECTS, FieldPrivacy.BASIC, items=items)
    assignment = CourseAssignmentFactory(expires_at=None, created=START + timedelta(microseconds=123456))
    paths = {
        "id": "pk",
        "created_at": "created",
        "expires_at": "expires_at",
        "course": "course.name",
        "user_id": "user",
    }

    mapped = map_field(User, field, "assignments", items=paths)
    (found,) = User.objects.filter(pk=assignment.user_id).values_list(mapped.lookup, flat=True)

    assert found == [
        {
            "id": assignment.pk,
            "created_at": assignment.created,
            "expires_at": None,
            "course": assignment.course.name,
            "user_id": assignment.user_id,
        }
    ]


def test_a_source_maps_the_values_of_a_list_by_their_names():
    class Classes(sources.ClassSource):
        fields = {"session_times": "enrollments", "session_times.start_at": "created", "instructors": None}

    source = Classes(TrainingClass, {})

    assert "instructors" not in source.mapped
    assert source.mapped["session_times"].items == {"start_at": "created", "end_at": "end_at"}
    assert source.mapped["session_times"].lookup.columns == {"start_at": "created"}


def test_counts_may_be_properties(training_class):
    class Counted(sources.ClassSource):
        fields = {"status": "confirmation_status_id", "enrolled_count": "num_enroll", "open_count": "num_open"}

    ClassEnrollmentFactory(training_class=training_class)
    source = Counted(TrainingClass, {})

    raw = read_whole(source, training_class.pk, using="default")

    assert (raw["enrolled_count"], raw["open_count"]) == (1, training_class.max_students - 1)
