"""Who subscribes late is told of what is inside the window now, and of nothing that has passed."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    MINUTE,
    NOW,
    assign,
    keys,
    scan_at,
    subscribe,
    told,
    told_to,
)
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Event, Occurrence, ScanCursor

pytestmark = pytest.mark.django_db


def test_a_new_webhook_is_told_of_what_is_inside_now():
    organization = OrganizationFactory()
    earlier = subscribe(organization)
    inside = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    later = subscribe(organization)

    assert scan_at(NOW + HOUR) == 1
    assert told_to(earlier) == told_to(later) == [inside.pk]


def test_a_new_webhook_is_not_told_of_what_went_through_its_window_before():
    organization = OrganizationFactory()
    earlier = subscribe(organization)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)
    # No scan runs for four days: the first webhook is told late, the new one not at all.
    scan_at(NOW - HOUR)

    later = subscribe(organization)
    scan_at(NOW + 4 * DAY)

    assert told_to(earlier) == [assignment.pk]
    assert told_to(later) == []


def test_the_very_first_scan_tells_what_is_inside_and_nothing_that_has_expired():
    organization = OrganizationFactory()
    subscribe(organization, "course_assignment.*", window=None)
    assign(organization, expires_at=NOW - DAY)
    assign(organization, expires_at=NOW - HOUR)
    inside = assign(organization, expires_at=NOW + DAY)

    assert scan_at(NOW) == 1
    assert told() == [("expiring", inside.pk)]


def test_nothing_is_recorded_nor_marked_where_nobody_subscribes():
    organization = OrganizationFactory()
    assign(organization, expires_at=NOW + 5 * DAY)

    assert [scan_at(NOW + days * DAY) for days in range(8)] == [0] * 8
    assert not Event.objects.exists()
    assert not Occurrence.objects.exists()
    assert {cursor.scanned_until for cursor in ScanCursor.objects.all()} == {NOW + 7 * DAY}


def test_what_expired_while_nobody_subscribed_stays_untold():
    organization = OrganizationFactory()
    assign(organization, expires_at=NOW)
    scan_at(NOW - HOUR)
    scan_at(NOW + MINUTE)

    subscribe(organization, EXPIRED)
    next_one = assign(organization, expires_at=NOW + HOUR)

    assert [scan_at(NOW + 5 * MINUTE), scan_at(NOW + 2 * HOUR)] == [0, 1]
    assert told() == [("expired", next_one.pk)]


def test_what_is_inside_when_somebody_subscribes_is_told_although_scans_ran_before():
    organization = OrganizationFactory()
    inside = [assign(organization, expires_at=NOW + days * DAY) for days in (4, 5, 6)]
    for hours in range(3):
        scan_at(NOW + hours * HOUR)

    subscription = subscribe(organization)

    assert scan_at(NOW + 3 * HOUR) == 3
    assert told_to(subscription) == keys(inside)


def test_subscribing_to_other_events_marks_nothing():
    organization = OrganizationFactory()
    webhook = WebhookFactory(organization=organization, events=["course_assignment.completed"])
    assignment = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    subscription = subscribe(webhook)

    assert not Occurrence.objects.exists()
    assert scan_at(NOW + HOUR) == 1
    assert told_to(subscription) == [assignment.pk]


def test_a_disabled_webhook_goes_on_being_told_for_a_later_replay():
    organization = OrganizationFactory()
    subscription = subscribe(organization)
    lifecycle.disable(subscription.webhook, reason=DisabledReason.ADMIN, now=NOW)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)

    assert scan_at(NOW) == 1
    assert told_to(subscription) == [assignment.pk]
    assert told(EXPIRING) == [("expiring", assignment.pk)]
