"""Each assignment is recorded once in a window, and once when it has expired."""

from __future__ import annotations

from django.db.models import Q

from example_project.training.factories import CourseFeedbackFactory
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    MINUTE,
    NOW,
    assign,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks import sources
from tms_webhooks.expiry.scan import scan_expiring
from tms_webhooks.models import Occurrence


class WithFeedback(sources.CourseAssignmentSource):
    """The filter joins a table with several rows for each assignment."""

    def _open_rows(self) -> Q:
        return super()._open_rows() & Q(feedback__isnull=False)


def test_an_assignment_is_recorded_once_on_its_way_through_a_window():
    organization = subscribed_organization()
    assignment = assign(organization, expires_at=NOW + 6 * DAY)

    counts = [scan_at(NOW + hours * HOUR) for hours in range(0, 150, 5)]

    assert counts == [1] + [0] * 29
    assert recorded() == [("expiring", assignment.pk)]
    assert Occurrence.objects.get().deadline == assignment.expires_at


def test_an_assignment_is_recorded_once_when_it_has_expired():
    organization = subscribed_organization(EXPIRED)
    assignment = assign(organization, expires_at=NOW + MINUTE)
    scan_at(NOW)

    counts = [scan_at(NOW + minutes * MINUTE) for minutes in range(1, 12)]

    assert counts == [1] + [0] * 10
    assert recorded() == [("expired", assignment.pk)]
    assert Occurrence.objects.get().deadline == assignment.expires_at


def test_an_assignment_that_came_near_is_still_recorded_when_it_has_expired():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    assignment = assign(organization, expires_at=NOW + 6 * DAY)

    for days in range(10):
        scan_at(NOW + days * DAY)

    assert recorded() == [("expiring", assignment.pk), ("expired", assignment.pk)]


def test_a_change_of_other_fields_records_nothing_again():
    organization = subscribed_organization()
    assignment = assign(organization, expires_at=NOW + 6 * DAY)
    scan_at(NOW)

    assignment.start(at=NOW)

    assert scan_at(NOW + HOUR) == 0


def test_a_host_s_filter_that_finds_a_row_twice_records_it_once():
    organization = subscribed_organization()
    assignments = [assign(organization, expires_at=NOW + days * DAY) for days in (4, 5)]
    for assignment in assignments:
        CourseFeedbackFactory.create_batch(2, course_assignment=assignment)
    source = WithFeedback(CourseAssignment, {})

    scanned = scan_expiring(source, source.deadline, now=NOW)

    assert (scanned.events, scanned.finished) == (2, True)
    assert recorded() == [("expiring", assignment.pk) for assignment in assignments]


def test_the_same_course_for_the_same_learner_twice_is_two_assignments():
    organization = subscribed_organization()
    first = assign(organization, expires_at=NOW + 5 * DAY)
    second = assign(organization, expires_at=NOW + 5 * DAY)
    second.user, second.course = first.user, first.course
    second.save()

    assert scan_at(NOW) == 2
    assert sorted(recorded()) == [("expiring", first.pk), ("expiring", second.pk)]
