"""A test expires objects as of a moment, without waiting and without setting a clock."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, OrganizationFactory
from tms_webhooks.models import Event, ScanCursor, Subscription
from tms_webhooks.testing import assert_event, assert_received, capture_events, deliver_now, expire

DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def test_the_events_of_a_date_are_captured_without_a_subscription(now):
    with capture_events() as events:
        assignment = CourseAssignmentFactory(expires_at=now + 40 * DAY)
        assert expire(now=now) == 0
        assert expire(now=now + 35 * DAY) == 1
        assert expire(now=now + 41 * DAY) == 1

    assert [name for name in events.types if not name.startswith(("organization.", "course."))] == [
        "user.created", "course_assignment.created", "course_assignment.expiring", "course_assignment.expired",
    ]  # fmt: skip
    expiring = assert_event(
        events,
        "course_assignment.expiring",
        data={"id": assignment.pk},
        details={"days_left": 5.0, "late": False, "window.less_than_days": 30.0},
    )
    assert (expiring.actor["kind"], expiring.event.subscription_id) == ("system", None)


def test_an_object_that_is_created_between_two_calls_is_found_too(now):
    with capture_events() as events:
        expire(now=now + 100 * DAY)
        CourseAssignmentFactory(expires_at=now + 10 * DAY)
        assert expire(now=now + 100 * DAY) == 1

    assert events.types[-1] == "course_assignment.expired"


def test_without_capturing_only_subscriptions_count(now):
    CourseAssignmentFactory(expires_at=now + 10 * DAY)

    assert (expire(now=now + 9 * DAY), expire(now=now + 11 * DAY)) == (0, 0)
    assert not Event.objects.exists()


def test_the_window_of_a_subscription_decides_where_there_is_one(now, webhook_receiver, webhook_events):
    organization = OrganizationFactory()
    webhook = webhook_receiver.subscribe(organization)
    Subscription.objects.create(
        webhook=webhook, event_type="course_assignment.expiring", more_than_days=2, less_than_days=7
    )
    CourseAssignmentFactory(expires_at=now + 10 * DAY, course__organization=organization)

    counts = [expire(now=now + days * DAY) for days in (2, 4, 4, 9)]
    deliver_now()

    assert counts == [0, 1, 0, 0]
    request = assert_received(webhook_receiver, "course_assignment.expiring", details={"days_left": 6.0, "late": False})
    assert request.event["details"]["window"] == {"more_than_days": 2.0, "less_than_days": 7.0}


def test_the_scans_of_the_worker_continue_where_they_were(now):
    expire(now=now + 10 * DAY)

    assert not ScanCursor.objects.exists()


def test_a_time_without_a_zone_is_refused(now):
    with pytest.raises(ValueError, match="without a time zone"):
        expire(now=now.replace(tzinfo=None))
