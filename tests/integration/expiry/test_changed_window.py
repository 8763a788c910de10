"""Changing a window announces nothing again: a date is announced once per subscription, whatever the days say."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    assign,
    recorded_for,
    scan_at,
    subscribe,
)
from tms_webhooks.models import ScanCursor


def change_days(subscription, more, less):
    subscription.more_than_days, subscription.less_than_days = more, less
    subscription.save()


def cursors():
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
