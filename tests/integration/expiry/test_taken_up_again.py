"""What was completed or cancelled when its date passed has not expired; where that is taken back later, it has."""

from datetime import datetime

import pytest
from django.utils import timezone

from example_project.training.choices import AssignmentStatus
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    HOUR,
    MINUTE,
    assign,
    data_of,
    events,
    recorded,
    scan_at,
    subscribed_organization,
)

CLOSED = {
    "completed": {"completed_at": datetime(2026, 1, 1, tzinfo=timezone.get_default_timezone())},
    "cancelled": {"assignment_status": AssignmentStatus.CANCELLED},
}
OPEN = {"completed_at": None, "assignment_status": AssignmentStatus.ACTIVE}


@pytest.fixture
def now():
    """The real present, which a change reads."""
    return timezone.now()


@pytest.fixture
def organization(now):
    organization = subscribed_organization(EXPIRED)
    scan_at(now - 10 * DAY)
    return organization


@pytest.fixture(params=CLOSED.values(), ids=CLOSED)
def closed(request):
    return request.param


def take_up_again(assignment, **values):
    for name, value in {**OPEN, **values}.items():
        setattr(assignment, name, value)
    assignment.save()


def test_it_is_recorded_by_the_change_and_by_no_scan(organization, now, closed):
    assignment = assign(organization, expires_at=now - HOUR, **closed)
    scan_at(now - MINUTE)

    take_up_again(assignment)

    assert [scan_at(now + minutes * MINUTE) for minutes in range(3)] == [0, 0, 0]
    assert recorded() == [("expired", assignment.pk)]
    assert data_of(events()[0])["completion_status"] == {"code": 0, "name": "Not Started"}


def test_what_had_expired_before_is_recorded_again_because_its_receiver_has_heard_otherwise_since(
    organization, now, closed
):
    assignment = assign(organization, expires_at=now - HOUR)
    scan_at(now - MINUTE)
    assert recorded() == [("expired", assignment.pk)]
    CourseAssignment.objects.update(**closed)

    take_up_again(assignment)
    scan_at(now + MINUTE)

    assert recorded() == [("expired", assignment.pk)] * 2


def test_what_has_time_left_has_not_expired(organization, now, closed):
    in_time = assign(organization, expires_at=now + DAY, **closed)
    extended = assign(organization, expires_at=now - HOUR, **closed)
    for_ever = assign(organization, expires_at=now - HOUR, **closed)

    take_up_again(in_time)
    take_up_again(extended, expires_at=now + DAY)
    take_up_again(for_ever, expires_at=None)

    assert recorded() == []


def test_a_date_in_the_past_that_comes_with_it_is_recorded_once(organization, now, closed):
    assignment = assign(organization, expires_at=now + DAY, **closed)

    take_up_again(assignment, expires_at=now - HOUR)
    assignment.save()

    assert recorded() == [("expired", assignment.pk)]


def test_what_stays_closed_by_the_other_way_has_not_expired(organization, now):
    assignment = assign(organization, expires_at=now - HOUR, **CLOSED["completed"], **CLOSED["cancelled"])

    assignment.assignment_status = AssignmentStatus.ACTIVE
    assignment.save()

    assert recorded() == []
