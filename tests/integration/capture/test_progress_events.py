"""Progress in an assigned course: a row for each activity, or a figure on the assignment itself."""

from datetime import date

import pytest
from django.utils import timezone

from example_project.training.exceptions import RefusedError
from example_project.training.factories import ActivityFactory, CourseAssignmentFactory
from example_project.training.models import CourseAssignment
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tests.testapp.models import DatedAssignment
from tms_webhooks import sources
from tms_webhooks.catalogue.values import instant
from tms_webhooks.models import Event


@pytest.fixture
def now():
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def assignment(now):
    assignment = CourseAssignmentFactory(started_at=now)
    WebhookFactory(organization=assignment.user.organization, events=["course_assignment.*"])
    return assignment


@pytest.fixture
def activity(assignment):
    return ActivityFactory(course=assignment.course, name="Lab 1")


def test_starting_and_completing_an_activity_emits_events_of_the_assignment(assignment, activity, now, recorded):
    assignment.work_on(activity, at=now)
    assignment.work_on(activity, at=now, done=True, score=92)

    begun, done = recorded()
    assert {begun["type"], done["type"]} == {"course_assignment.progressed"}
    assert (begun["data"]["id"], begun["sequence"], done["sequence"]) == (assignment.pk, 1, 2)
    assert done["changed"] == ["activity.completed_at", "activity.score"]
    assert done["previous"] == {"activity": {"completed_at": None, "score": None}}
    assert done["details"] == {
        "activity": {
            "id": activity.pk,
            "external_id": None,
            "name": "Lab 1",
            "completed_at": instant(now),
            "score": 92,
        }
    }


def test_the_event_of_an_activity_has_all_fields_of_the_assignment(assignment, activity, now, recorded):
    assignment.work_on(activity, at=now)
    assignment.complete(at=now)

    progressed, completed = recorded()
    differing = {name for name, value in completed["data"].items() if progressed["data"][name] != value}
    assert differing == {"completion_status", "completed_at", "updated_at"}
    assert progressed["data"]["completion_status"] == {"code": 10, "name": "Incomplete"}
    assert progressed["organization"] == completed["organization"]


def test_the_first_activity_starts_the_course(assignment, activity, now, recorded):
    CourseAssignment.objects.update(started_at=None)
    assignment.refresh_from_db()
    prune_events()

    assignment.work_on(activity, at=now)

    assert [event["type"] for event in recorded()] == ["course_assignment.started", "course_assignment.progressed"]


def test_an_unchanged_activity_emits_no_event(assignment, activity, now, recorded):
    assignment.work_on(activity, at=now, score=3)
    assignment.work_on(activity, at=now, score=3)

    assert len(recorded()) == 1


def test_results_deleted_with_their_assignment_emit_no_event_of_their_own(assignment, activity, now, recorded):
    assignment.work_on(activity, at=now)
    prune_events()

    assignment.results.all().delete()
    assignment.delete()

    assert [event["type"] for event in recorded()] == ["course_assignment.deleted"]


def test_an_activity_of_another_course_is_refused(assignment, now):
    with pytest.raises(RefusedError, match="is no part of"):
        assignment.work_on(ActivityFactory(), at=now)

    assert not Event.objects.exists()


class Counting(sources.CourseAssignmentSource):
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
        "progress": "percent",
    }


def test_a_progress_figure_on_the_assignment_is_emitted_when_it_changes(listen, assignment, recorded):
    listen(Counting, DatedAssignment)
    counted = DatedAssignment.objects.create(user=assignment.user, course=assignment.course)
    for percent in (40, 40, 60):
        counted.percent = percent
        counted.save()
    counted.state, counted.percent = "cancelled", 70
    counted.save()
    counted.percent = 0
    counted.expires_on = date(2100, 1, 1)
    counted.save()

    created, *moved, cancelled, last = recorded()
    assert (created["type"], cancelled["type"]) == ("course_assignment.created", "course_assignment.cancelled")
    assert (cancelled["changed"], last["changed"]) == (["assignment_status", "progress"], ["expires_at", "progress"])
    assert last["type"] == "course_assignment.progressed"
    assert {event["type"] for event in moved} == {"course_assignment.progressed"}
    assert [(event["previous"]["progress"], event["data"]["progress"]) for event in moved] == [(0, 40), (40, 60)]
    assert set(moved[0]["details"]["activity"].values()) == {None}
