"""The next scan records the events that fell due while no scan ran, however late."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    assign,
    details_of,
    events,
    keys,
    recorded,
    scan_at,
    subscribe,
    subscribed_organization,
)

LATER = NOW + 3 * DAY


def test_what_passed_through_a_window_between_two_scans_is_recorded_late():
    """The window is two days wide, and no scan runs for three: some were inside at neither end of the gap."""
    organization = OrganizationFactory()
    subscribe(organization, window=(1, 3))
    scan_at(NOW)
    # These had come out of the window when the last scan ran, or had still not come in when the next one does.
    assign(organization, expires_at=NOW + DAY)
    assign(organization, expires_at=LATER + 3 * DAY)
    passed_through = [assign(organization, expires_at=NOW + 3 * DAY + hours * HOUR) for hours in (1, 12, 24)]
    still_inside = [assign(organization, expires_at=LATER + hours * HOUR) for hours in (25, 71)]

    scan_at(LATER)

    assert recorded() == [("expiring", key) for key in keys([*passed_through, *still_inside])]
    assert [details_of(event)["days_left"] for event in events()] == [0.04166, 0.5, 1, 1.04166, 2.95833]
    # The last one entered the window an hour ago, the others earlier; the first three have left it.
    assert [details_of(event)["late"] for event in events()] == [True] * 5
    assert {event.occurred_at for event in events()} == {LATER}
    assert scan_at(LATER) == 0


@pytest.mark.parametrize(
    "minutes, window, before_end, created_ago, late",
    [
        pytest.param(5, (1, 3), INSTANT, None, False, id="entered just now"),
        pytest.param(5, (1, 3), 10 * MINUTE, None, False, id="at the second scan"),
        pytest.param(5, (1, 3), 10 * MINUTE + INSTANT, None, True, id="before the second scan"),
        pytest.param(5, (1, 3), DAY, None, True, id="a day ago"),
        pytest.param(5, (1, 9), 7 * DAY, MINUTE, False, id="assigned in the gap, just now"),
        pytest.param(5, (1, 9), 7 * DAY, HOUR, True, id="assigned in the gap, an hour ago"),
        pytest.param(24 * 60, (1, 30), DAY, None, False, id="daily scans, a day ago"),
        pytest.param(24 * 60, (1, 30), 2.5 * DAY, None, True, id="daily scans, days ago"),
    ],
)
def test_an_event_is_late_from_the_second_scan_on_that_it_missed(
    settings_of_app, minutes, window, before_end, created_ago, late
):
    settings_of_app(EXPIRY_MINUTES=minutes)
    organization = OrganizationFactory()
    subscribe(organization, window=window)
    scan_at(NOW)
    created = {"created": LATER - created_ago} if created_ago else {}
    assign(organization, expires_at=LATER + window[1] * DAY - before_end, **created)

    scan_at(LATER)
    # In the window of a new subscription, nothing is late.
    subscribe(organization, window=window)
    scan_at(LATER)

    assert [details_of(event)["late"] for event in events()] == [late, False]


def test_what_passed_through_and_has_expired_since_is_recorded_as_expired_alone():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    scan_at(NOW)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)

    scan_at(NOW + 9 * DAY)

    assert recorded() == [("expired", assignment.pk)]


def test_a_change_that_was_being_committed_when_the_last_scan_ran_is_not_lost():
    """Its row could not be seen then, and its date was not in the past when it was saved."""
    organization = subscribed_organization(EXPIRED)
    scan_at(NOW)
    assignment = assign(organization, expires_at=NOW - INSTANT)

    assert scan_at(NOW + 5 * HOUR) == 1
    assert recorded() == [("expired", assignment.pk)]
