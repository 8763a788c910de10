"""The events of an assigned course, from its assignment to its completion or expiry."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import (
    CourseAssignmentFactory,
    CourseFactory,
    SubscriptionAssignmentFactory,
    UserFactory,
)
from example_project.training.models import CourseAssignment
from tests.factories import WebhookFactory
from tms_webhooks.catalogue.values import instant

DAY = timedelta(days=1)
NOT_STARTED = {"code": 0, "name": "Not Started"}
INCOMPLETE = {"code": 10, "name": "Incomplete"}
COMPLETE = {"code": 30, "name": "Complete"}


@pytest.fixture
def now():
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def assignment():
    assignment = CourseAssignmentFactory()
    WebhookFactory(organization=assignment.user.organization, events=["course_assignment.*"])
    return assignment


def test_a_new_assignment_is_emitted_with_its_subscription(recorded, now):
    course, learner = CourseFactory(), UserFactory()
    subscription = SubscriptionAssignmentFactory(user=learner)
    WebhookFactory(organization=learner.organization, events=["course_assignment.*"])

    CourseAssignment.assign(course, learner, at=now, subscription=subscription)

    (event,) = recorded()
    assert event["type"] == "course_assignment.created"
    assert event["data"]["completion_status"] == NOT_STARTED
    assert event["data"]["assignment_status"] == {"code": 0, "name": "Active"}
    assert event["data"]["subscription"] == {
        "id": subscription.pk,
        "external_id": subscription.external_id,
        "name": subscription.profile.name,
    }
    assert event["data"]["expires_at"] == instant(now + 180 * DAY)


def test_the_first_launch_is_the_start_and_a_later_one_is_not(assignment, recorded, now):
    assignment.start(at=now)
    assignment.start(at=now + DAY)

    (event,) = recorded()
    assert event["type"] == "course_assignment.started"
    assert event["changed"] == ["completion_status", "started_at"]
    assert event["previous"] == {"completion_status": NOT_STARTED, "started_at": None}
    assert (event["data"]["completion_status"], event["data"]["started_at"]) == (INCOMPLETE, instant(now))


def test_a_completion_is_emitted(assignment, recorded, now):
    assignment.start(at=now)
    assignment.complete(at=now + DAY)

    _started, event = recorded()
    assert event["type"] == "course_assignment.completed"
    assert event["previous"] == {"completion_status": INCOMPLETE, "completed_at": None}
    assert (event["data"]["completion_status"], event["data"]["completed_at"]) == (COMPLETE, instant(now + DAY))


def test_a_cancellation_is_emitted(assignment, recorded):
    assignment.cancel()

    (event,) = recorded()
    assert event["type"] == "course_assignment.cancelled"
    assert event["previous"] == {"assignment_status": {"code": 0, "name": "Active"}}


@pytest.mark.parametrize("started", [False, True])
def test_an_assignment_whose_deadline_is_moved_into_the_past_has_expired(assignment, recorded, now, started):
    if started:
        assignment.start(at=now)
    expires_at = assignment.expires_at

    assignment.extend(expires_at=now - DAY)

    event = recorded()[-1]
    assert event["type"] == "course_assignment.expired"
    assert event["previous"] == {"expires_at": instant(expires_at)}
    assert event["data"]["completion_status"] == (INCOMPLETE if started else NOT_STARTED)


def test_an_expiry_that_is_taken_back_and_returns_is_emitted_each_time(assignment, recorded, now):
    for expires_at in (now - DAY, now + DAY, now - DAY, None, now - 2 * DAY, now - 3 * DAY):
        assignment.extend(expires_at=expires_at)

    assert [event["type"].partition(".")[2] for event in recorded()] == [
        "expired",
        "reopened",
        "expired",
        "reopened",
        "expired",
        "updated",
    ]
    assert {tuple(event["changed"]) for event in recorded()} == {("expires_at",)}


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_a_completed_or_cancelled_assignment_does_not_expire(assignment, recorded, now, end):
    if end == "complete":
        assignment.complete(at=now)
    else:
        assignment.cancel()

    assignment.extend(expires_at=now - DAY)

    assert "course_assignment.expired" not in [event["type"] for event in recorded()]


def test_a_completion_that_is_taken_back_reopens_the_assignment(assignment, recorded, now):
    assignment.complete(at=now)
    assignment.completed_at = None
    assignment.save()

    _completed, event = recorded()
    assert event["type"] == "course_assignment.reopened"
    assert event["previous"] == {"completion_status": COMPLETE, "completed_at": instant(now)}


def test_a_cancellation_that_is_taken_back_reopens_the_assignment(assignment, recorded):
    assignment.cancel()
    CourseAssignment.objects.update(assignment_status=0)

    _cancelled, event = recorded()
    assert event["type"] == "course_assignment.reopened"
    assert event["previous"] == {"assignment_status": {"code": 10, "name": "Cancelled"}}


def test_a_completed_assignment_that_is_cancelled_instead_is_not_reopened(assignment, recorded, now):
    assignment.complete(at=now)
    assignment.completed_at = None
    assignment.cancel()
    assignment.save()

    assert [event["type"].partition(".")[2] for event in recorded()] == ["completed", "cancelled", "updated"]
