"""Each assignment is recorded once in a window, whose ends are excluded, and once when it has expired."""

from __future__ import annotations

import pytest
from django.db.models import Q

from example_project.training.factories import CourseFeedbackFactory
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    ZERO,
    assign,
    play,
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


@pytest.mark.parametrize(
    ("event_types", "expires", "scans", "counts"),
    [
        pytest.param([EXPIRING], 6 * DAY, [n * HOUR for n in range(0, 150, 5)], [1] + [0] * 29, id="through a window"),
        pytest.param([EXPIRED], MINUTE, [n * MINUTE for n in range(12)], [0, 1] + [0] * 10, id="past its date"),
        pytest.param([EXPIRING, EXPIRED], 6 * DAY, [n * DAY for n in range(10)], [1, *[0] * 5, 1, 0, 0, 0], id="both"),
        pytest.param([EXPIRING], 7 * DAY, [ZERO, INSTANT], [0, 1], id="after the upper end is reached"),
        pytest.param([EXPIRED], DAY, [ZERO, DAY - INSTANT, DAY], [0, 0, 1], id="at the very moment of its date"),
        pytest.param([EXPIRING, EXPIRED], ZERO, [-10 * DAY, ZERO], [0, 1], id="expired, and not expiring"),
    ],
)
def test_an_assignment_is_recorded_once(event_types, expires, scans, counts):
    assignment = assign(subscribed_organization(*event_types), expires_at=NOW + expires)

    assert play(assignment, *scans) == counts
    kinds = ["expired"] if expires == ZERO else [one.rpartition(".")[2] for one in event_types]
    assert recorded() == [(kind, assignment.pk) for kind in kinds]
    assert {one.deadline for one in Occurrence.objects.all()} == {assignment.expires_at}


def test_both_ends_of_the_window_are_excluded():
    organization = subscribed_organization()
    dates = [end + step for end in (2 * DAY, 7 * DAY) for step in (-INSTANT, ZERO, INSTANT)]
    assignments = [assign(organization, expires_at=NOW + date) for date in dates]

    assert scan_at(NOW) == 2
    assert recorded() == [("expiring", assignments[number].pk) for number in (2, 3)]


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

    assert scanned == (2, False)
    assert recorded() == [("expiring", assignment.pk) for assignment in assignments]


def test_the_same_course_for_the_same_learner_twice_is_two_assignments():
    organization = subscribed_organization()
    first = assign(organization, expires_at=NOW + 5 * DAY)
    second = assign(organization, expires_at=NOW + 5 * DAY)
    second.user, second.course = first.user, first.course
    second.save()

    assert scan_at(NOW) == 2
    assert sorted(recorded()) == [("expiring", first.pk), ("expiring", second.pk)]
