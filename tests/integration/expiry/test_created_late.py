"""What is created after its date, as an import does, has expired by that: once, and by no scan."""

import pytest
from django.utils import timezone

from example_project.training.factories import CourseFactory, SubscriptionAssignmentFactory, UserFactory
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    HOUR,
    MINUTE,
    assign,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks.actors import actor_context
from tms_webhooks.models import Event


@pytest.fixture
def now():
    """The real present, which a change reads."""
    return timezone.now()


@pytest.fixture
def organization(now):
    organization = subscribed_organization(EXPIRED)
    scan_at(now - 10 * DAY)
    return organization


@pytest.mark.parametrize("ago", [MINUTE, HOUR, 400 * DAY], ids=str)
def test_it_is_recorded_by_the_change_and_by_no_scan(organization, now, ago):
    with actor_context("api", "import"):
        assignment = assign(organization, expires_at=now - ago)

    assert recorded() == [("expired", assignment.pk)]
    assert Event.objects.get().actor_id == "import"
    assert [scan_at(now + minutes * MINUTE) for minutes in range(3)] == [0, 0, 0]


def test_a_bulk_import_has_an_event_for_each(organization, now):
    user, course = UserFactory(organization=organization), CourseFactory()
    dates = [now - DAY, now - HOUR, now + DAY, None]

    assignments = CourseAssignment.objects.bulk_create(
        CourseAssignment(user=user, course=course, expires_at=at) for at in dates
    )

    assert recorded() == [("expired", one.pk) for one in assignments[:2]]
    assert [scan_at(now + minutes * MINUTE) for minutes in range(3)] == [0, 0, 0]


def test_a_subscription_that_is_imported_late_has_expired(now):
    organization = subscribed_organization("subscription.*")
    one = SubscriptionAssignmentFactory(user=UserFactory(organization=organization), expires_at=now - DAY)

    assert recorded("subscription.expired") == [("expired", one.pk)]
