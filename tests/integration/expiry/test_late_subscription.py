"""A new subscription gets the assignments in its window now, and none that left it before."""

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRING,
    HOUR,
    NOW,
    assign,
    recorded,
    recorded_for,
    scan_at,
    subscribe,
)
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Event, Occurrence, ScanCursor


def test_a_new_webhook_gets_the_assignments_in_its_window_now():
    organization = OrganizationFactory()
    earlier = subscribe(organization)
    inside = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    later = subscribe(organization)

    assert scan_at(NOW + HOUR) == 1
    assert recorded_for(earlier) == recorded_for(later) == [inside.pk]


def test_a_new_webhook_does_not_get_assignments_that_left_its_window_before():
    organization = OrganizationFactory()
    earlier = subscribe(organization)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)
    # No scan runs for four days: the event of the first webhook is recorded late, the new one gets none.
    scan_at(NOW - HOUR)

    later = subscribe(organization)
    scan_at(NOW + 4 * DAY)

    assert recorded_for(earlier) == [assignment.pk]
    assert recorded_for(later) == []


def test_the_very_first_scan_records_what_is_inside_and_nothing_that_has_expired():
    organization = OrganizationFactory()
    subscribe(organization, "course_assignment.*", window=None)
    assign(organization, expires_at=NOW - DAY)
    assign(organization, expires_at=NOW - HOUR)
    inside = assign(organization, expires_at=NOW + DAY)

    assert scan_at(NOW) == 1
    assert recorded() == [("expiring", inside.pk)]


def test_without_a_subscription_nothing_is_recorded_or_marked():
    organization = OrganizationFactory()
    assign(organization, expires_at=NOW + 5 * DAY)

    assert [scan_at(NOW + days * DAY) for days in range(8)] == [0] * 8
    assert not Event.objects.exists()
    assert not Occurrence.objects.exists()
    assert {cursor.scanned_until for cursor in ScanCursor.objects.all()} == {NOW + 7 * DAY}


def test_events_for_a_disabled_webhook_are_recorded_for_a_later_replay():
    organization = OrganizationFactory()
    subscription = subscribe(organization)
    lifecycle.disable(subscription.webhook, reason=DisabledReason.ADMIN, now=NOW)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)

    assert scan_at(NOW) == 1
    assert recorded_for(subscription) == [assignment.pk]
    assert recorded(EXPIRING) == [("expiring", assignment.pk)]
