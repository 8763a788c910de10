"""Changing a window announces nothing again: a date is announced once per subscription, whatever the days say."""

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


def change_days(subscription: Subscription, more: float | None, less: float | None) -> None:
    subscription.more_than_days, subscription.less_than_days = more, less
    subscription.save()


def cursors() -> list[str]:
    """Return the keys of the subscriptions that have a cursor."""
    found = ScanCursor.objects.filter(key__startswith="course_assignment.expiring:").order_by("key")
    return [cursor.key.partition(":training.courseassignment:")[2] for cursor in found]


@pytest.mark.parametrize("window", [(0, 7), (4, 7), (0, 90), (2, 29), (0.5, 30), (None, None)])
def test_a_date_that_was_announced_is_not_announced_for_another_window(window):
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(0, 30))
    near = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    change_days(subscription, *window)

    assert [scan_at(NOW + minutes * MINUTE) for minutes in (1, 2, 3000)] == [0, 0, 0]
    assert recorded_for(subscription) == [near.pk]


def test_a_date_that_was_in_no_window_yet_is_announced_for_the_new_one():
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(0, 3))
    near = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    change_days(subscription, 0, 30)

    assert [scan_at(NOW + MINUTE), scan_at(NOW + 2 * MINUTE)] == [1, 0]
    assert recorded_for(subscription) == [near.pk]
    assert data_of(events()[0])["window"] == {"more_than_days": 0, "less_than_days": 30}


def test_what_leaves_the_new_window_before_the_next_scan_is_announced():
    """It was in the window when a user changed the days, a minute before the scan."""
    organization = OrganizationFactory()
    subscription = subscribe(organization, window=(20, 30))
    leaving = assign(organization, expires_at=NOW + 2 * DAY + MINUTE)
    scan_at(NOW)

    change_days(subscription, 2, 7)

    assert scan_at(NOW + 5 * MINUTE) == 1
    assert recorded_for(subscription) == [leaving.pk]


def test_a_subscription_has_one_cursor_whatever_its_window():
    organization = OrganizationFactory()
    first, second = subscribe(organization, window=(2, 7)), subscribe(organization, window=(0, 1))
    scan_at(NOW)
    assert cursors() == sorted([str(first.pk), str(second.pk)])

    change_days(first, 2, 8)
    second.delete()
    scan_at(NOW + HOUR)

    assert cursors() == [str(first.pk)]
    assert ScanCursor.objects.get(key__endswith=f":{first.pk}").scanned_until == NOW + HOUR
