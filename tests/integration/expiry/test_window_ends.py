"""Inside a window is more than the one and less than the other, to the microsecond."""

from __future__ import annotations

from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    INSTANT,
    NOW,
    assign,
    events,
    keys,
    recorded,
    scan_at,
    subscribed_organization,
)


def test_both_ends_of_the_window_are_excluded():
    organization = subscribed_organization()
    assign(organization, expires_at=NOW + 2 * DAY - INSTANT)
    assign(organization, expires_at=NOW + 2 * DAY)
    nearest = assign(organization, expires_at=NOW + 2 * DAY + INSTANT)
    farthest = assign(organization, expires_at=NOW + 7 * DAY - INSTANT)
    assign(organization, expires_at=NOW + 7 * DAY)
    assign(organization, expires_at=NOW + 7 * DAY + INSTANT)

    assert scan_at(NOW) == 2
    assert recorded() == [("expiring", key) for key in keys([nearest, farthest])]


def test_the_scan_after_the_upper_end_is_reached_records_it():
    organization = subscribed_organization()
    assign(organization, expires_at=NOW + 7 * DAY)

    assert scan_at(NOW) == 0
    assert scan_at(NOW + INSTANT) == 1


def test_an_assignment_has_expired_at_the_very_moment_of_its_date():
    organization = subscribed_organization(EXPIRED)
    scan_at(NOW)
    now_over = assign(organization, expires_at=NOW + DAY)
    assign(organization, expires_at=NOW + DAY + INSTANT)

    assert scan_at(NOW + DAY - INSTANT) == 0
    assert scan_at(NOW + DAY) == 1
    assert recorded() == [("expired", now_over.pk)]


def test_what_has_expired_is_never_recorded_as_expiring():
    organization = subscribed_organization("course_assignment.*")
    assign(organization, expires_at=NOW)
    scan_at(NOW - 10 * DAY)

    scan_at(NOW)

    assert [event.type for event in events()] == [EXPIRED]
