"""A window that a person changes is another window; one that is gone leaves nothing behind."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    assign,
    data_of,
    events,
    recorded_for,
    scan_at,
    subscribe,
)
from tms_webhooks.models import ScanCursor, Subscription

pytestmark = pytest.mark.django_db


def change_days(subscription: Subscription, more: float, less: float) -> None:
    subscription.more_than_days, subscription.less_than_days = more, less
    subscription.save()


def windows_scanned() -> list[str]:
    """Return which windows have a cursor, as subscription and days."""
    cursors = ScanCursor.objects.filter(key__startswith="course_assignment.expiring:").order_by("key")
    return [cursor.key.partition(":training.courseassignment:")[2] for cursor in cursors]


def test_a_narrower_window_is_recorded_although_the_wider_one_was():
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(0, 30))
    near = assign(organization, expires_at=NOW + 5 * DAY)
    far = assign(organization, expires_at=NOW + 20 * DAY)
    scan_at(NOW)

    change_days(subscription, 0, 7)
    counts = [scan_at(NOW + MINUTE), scan_at(NOW + 12 * DAY), scan_at(NOW + 14 * DAY)]

    assert counts == [1, 0, 1]
    assert recorded_for(subscription) == [near.pk, far.pk, near.pk, far.pk]
    assert [data_of(event)["window"]["less_than_days"] for event in events()] == [30, 30, 7, 7]


def test_a_changed_window_has_no_events_of_assignments_that_left_it_before():
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(20, 30))
    assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    change_days(subscription, 2, 7)

    # No scan ran for four days; it left the new window a day ago.
    assert scan_at(NOW + 4 * DAY) == 0


def test_a_window_that_is_changed_and_changed_back_records_nothing_again():
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(2, 7))
    assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    change_days(subscription, 20, 30)
    scan_at(NOW + MINUTE)
    change_days(subscription, 2, 7)

    assert scan_at(NOW + HOUR) == 0


def test_each_window_has_one_cursor_as_long_as_a_subscription_has_the_window():
    organization = OrganizationFactory()
    first, second = subscribe(organization, window=(2, 7)), subscribe(organization, window=(0, 1))
    scan_at(NOW)
    assert windows_scanned() == sorted([f"{first.pk}:2.0:7.0", f"{second.pk}:0.0:1.0"])

    change_days(first, 2, 8)
    second.delete()
    scan_at(NOW + MINUTE)

    assert windows_scanned() == [f"{first.pk}:2.0:8.0"]


@pytest.mark.parametrize("days", [1e9, 1e300])
def test_one_customer_s_absurd_days_break_no_other_s_scan(days):
    absurd, sensible = OrganizationFactory(), OrganizationFactory()
    endless, week = subscribe(absurd, window=(0, days)), subscribe(sensible)
    far = assign(absurd, expires_at=NOW + 4000 * DAY)
    near = assign(sensible, expires_at=NOW + 5 * DAY)

    assert scan_at(NOW) == 2
    assert (recorded_for(endless), recorded_for(week)) == ([far.pk], [near.pk])
