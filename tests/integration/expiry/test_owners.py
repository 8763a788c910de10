"""Objects expire whose organization no query can find: it is the first of several, or a method knows it."""

from datetime import UTC, datetime

import pytest

from example_project.training.factories import CourseFactory, OrganizationFactory, UserFactory
from tests.integration.expiry.assignments import DAY, EXPIRED, EXPIRING, HOUR, events, scan_at, subscribe
from tests.outbox import prune_events
from tests.registration import temporarily
from tests.testapp.models import DatedAssignment
from tms_webhooks import sources

TODAY = datetime.now(UTC).date()
MIDNIGHT = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)


class Assignments(sources.CourseAssignmentSource):
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
    }


class FirstOrganization(Assignments):
    owner = sources.First("user.department.organization", "user.organization")


class ByMethod(Assignments):
    def owner(self, assignment):
        return assignment.user.organization


@pytest.mark.parametrize("source", [FirstOrganization, ByMethod])
def test_each_organization_gets_the_events_of_its_own_assignments(source):
    own, other = OrganizationFactory(), OrganizationFactory()
    subscribe(own)
    subscribe(own, EXPIRED)
    with temporarily(source, DatedAssignment):
        scan_at(MIDNIGHT - 30 * DAY)
        for organization in (own, other):
            user = UserFactory(organization=organization)
            DatedAssignment.objects.create(user=user, course=CourseFactory(), expires_on=TODAY)
        prune_events()

        scan_at(MIDNIGHT)
        scan_at(MIDNIGHT + DAY + HOUR)

    assert [(event.type, event.organization_id) for event in events()] == [(EXPIRING, own.pk), (EXPIRED, own.pk)]
