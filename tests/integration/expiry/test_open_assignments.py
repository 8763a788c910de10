"""Only what is Not Started or Incomplete can expire. What was completed, cancelled or deleted in time is left alone."""

import pytest

from example_project.training.choices import AssignmentStatus
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    NOW,
    assign,
    data_of,
    events,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks import sources
from tms_webhooks.expiry import _scan


@pytest.fixture
def organization():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    scan_at(NOW - 10 * DAY)
    return organization


@pytest.mark.parametrize(
    "started_at, status",
    [(None, {"code": 0, "name": "Not Started"}), (NOW - 20 * DAY, {"code": 10, "name": "Incomplete"})],
)
def test_not_started_and_incomplete_ones_are_recorded(organization, started_at, status):
    near = assign(organization, expires_at=NOW + 5 * DAY, started_at=started_at)
    over = assign(organization, expires_at=NOW - HOUR, started_at=started_at)

    scan_at(NOW)

    assert recorded() == [("expired", over.pk), ("expiring", near.pk)]
    assert [data_of(event)["completion_status"] for event in events()] == [status, status]


@pytest.mark.parametrize(
    "closed",
    [
        {"completed_at": NOW - 20 * DAY},
        {"completed_at": NOW - 20 * DAY, "started_at": NOW - 30 * DAY},
        {"assignment_status": AssignmentStatus.CANCELLED},
    ],
)
def test_complete_and_cancelled_ones_are_not(organization, closed):
    assign(organization, expires_at=NOW + 5 * DAY, **closed)
    assign(organization, expires_at=NOW - HOUR, **closed)

    assert [scan_at(NOW + days * DAY) for days in range(8)] == [0] * 8


# Hosts that keep their statuses otherwise. The example's own model serves, under another mapping.


def scans_of(declaration):
    """Run the scans of another declaration of the same model."""
    source = declaration(CourseAssignment, {})
    for event_type in (source.deadline.expired, source.deadline.expiring):
        list(_scan(source, event_type, now=NOW))
    return recorded()


class OwnNumbers(sources.CourseAssignmentSource):
    """This host counts the other way round."""

    statuses = {"assignment_status": {0: "cancelled", 10: "active"}}


def test_cancelled_is_what_the_host_s_own_mapping_says(organization):
    assign(organization, expires_at=NOW + 5 * DAY, assignment_status=0)
    still_open = assign(organization, expires_at=NOW + 5 * DAY, assignment_status=10)

    assert scans_of(OwnNumbers) == [("expiring", still_open.pk)]


class StoredCompletion(sources.CourseAssignmentSource):
    """No dates of progress, but a stored status; the example's other status serves as that."""

    fields = {
        "started_at": None,
        "completed_at": None,
        "assignment_status": None,
        "completion_status": "assignment_status",
    }
    statuses = {"completion_status": {0: "not_started", 10: "complete"}}


def test_complete_is_what_a_stored_status_says_where_there_are_no_dates(organization):
    assign(organization, expires_at=NOW + 5 * DAY, assignment_status=10)
    assign(organization, expires_at=NOW - HOUR, assignment_status=10)
    near = assign(organization, expires_at=NOW + 5 * DAY, assignment_status=0)
    over = assign(organization, expires_at=NOW - HOUR, assignment_status=0)

    assert scans_of(StoredCompletion) == [("expired", over.pk), ("expiring", near.pk)]


class WithoutTestRuns(sources.CourseAssignmentSource):
    """A host leaves assignments out by a rule of its own."""

    def is_open(self, values):
        return super().is_open(values) and values.get("external_id") != "TRIAL"


def test_a_host_may_leave_out_more(organization):
    assign(organization, expires_at=NOW + 5 * DAY, external_id="TRIAL")
    near = assign(organization, expires_at=NOW + 5 * DAY)

    assert scans_of(WithoutTestRuns) == [("expiring", near.pk)]
