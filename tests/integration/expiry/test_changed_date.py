"""A date that is moved by a day or more is another deadline: it may be recorded again. One moved by less is the same."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    SECOND,
    ZERO,
    To,
    assign,
    events,
    play,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks.actors import actor_context

BERLIN = ZoneInfo("Europe/Berlin")


DAYS = [days * DAY for days in range(1, 10)]
BOTH = "course_assignment.*"
SMALL = [INSTANT, SECOND, -SECOND, HOUR, -HOUR, 8 * HOUR, -14 * HOUR, 9.5 * HOUR, DAY - INSTANT, INSTANT - DAY]
LARGE = [DAY, -DAY, DAY + HOUR, 1.5 * DAY, -2 * DAY]


@pytest.mark.parametrize(
    "event_type, expires, steps, counts",
    [
        pytest.param(EXPIRING, 6 * DAY, [n * HOUR for n in range(0, 150, 5)], [1] + [0] * 29, id="through a window"),
        pytest.param(EXPIRED, MINUTE, [n * MINUTE for n in range(12)], [0, 1] + [0] * 10, id="past its date"),
        pytest.param(BOTH, 6 * DAY, [n * DAY for n in range(10)], [1, *[0] * 5, 1, 0, 0, 0], id="both"),
        pytest.param(EXPIRING, 7 * DAY, [ZERO, INSTANT], [0, 1], id="after the upper end is reached"),
        pytest.param(EXPIRED, DAY, [ZERO, DAY - INSTANT, DAY], [0, 0, 1], id="at the very moment of its date"),
        pytest.param(BOTH, ZERO, [-10 * DAY, ZERO], [0, 1], id="expired, and not expiring"),
        pytest.param(
            EXPIRING,
            5 * DAY,
            [ZERO, To(50 * DAY), HOUR, To(5 * DAY), 2 * HOUR],
            [1, 0, 0],
            id="extended and taken back",
        ),
        pytest.param(
            EXPIRED,
            HOUR,
            [ZERO, HOUR, To(10 * DAY, by_update=True), *(hours * HOUR for hours in (2, 100, 239, 240, 241))],
            [0, 1, 0, 0, 0, 1, 0],
            id="expired, extended, expired again",
        ),
        pytest.param(
            EXPIRED, 90 * DAY, [ZERO, To(MINUTE, by_update=True), 5 * MINUTE], [0, 1], id="shortened into the past"
        ),
        pytest.param(
            EXPIRED,
            0.1 * SECOND,
            [ZERO, MINUTE + 0.5 * SECOND, To(0.9 * SECOND, by_update=True), 2 * HOUR, 3 * HOUR],
            [0, 1, 0, 0],
            id="no other expiry within the second in which the last scan ended",
        ),
        pytest.param(BOTH, 5 * DAY, [ZERO, To(None), *DAYS], [1] + [0] * 9, id="never, without a date"),
        pytest.param(BOTH, None, [ZERO, To(5 * DAY), *DAYS[:6]], [0, 1, 0, 0, 0, 1, 0], id="a date that comes late"),
        # Also across midnight: 9.5 hours later is half past midnight.
        *(
            pytest.param(EXPIRING, 5 * DAY, [ZERO, To(5 * DAY + change), HOUR, 60 * HOUR], [1, 0, 0], id=f"by {change}")
            for change in SMALL
        ),
        *(
            pytest.param(EXPIRING, 5 * DAY, [ZERO, To(5 * DAY + change), HOUR, 2 * HOUR], [1, 1, 0], id=f"by {change}")
            for change in LARGE
        ),
        pytest.param(
            EXPIRING,
            4 * DAY,
            [ZERO, *(step for n in (8, 16, 24, 32) for step in (To(4 * DAY + n * HOUR), n * MINUTE))],
            [1, 0, 0, 1, 0],
            id="small changes that add up to a day",
        ),
    ],
)
def test_a_date_is_recorded_once_and_again_if_it_is_edited_to_another(event_type, expires, steps, counts):
    organization = subscribed_organization(event_type)
    assignment = assign(organization, expires_at=None if expires is None else NOW + expires)

    assert play(assignment, *steps) == counts
    assert {key for _kind, key in recorded()} <= {assignment.pk}


def test_shortening_into_the_past_is_recorded_by_the_change_and_by_no_scan(clock):
    now = clock()
    assignment = assign(subscribed_organization(EXPIRED), expires_at=now + 90 * DAY)
    scan_at(now - HOUR)

    with actor_context("administrator", 7):
        assignment.extend(expires_at=now - MINUTE)

    assert [scan_at(now + minutes * MINUTE) for minutes in range(3)] == [0, 0, 0]
    assert recorded() == [("expired", assignment.pk)]
    assert (events()[0].actor_kind, events()[0].actor_id) == ("administrator", "7")


def test_a_day_is_a_day_where_the_clocks_are_changed():
    """In Berlin, 2101-03-27 has 23 hours, and 2100-10-31 has 25."""
    organization = subscribed_organization()
    organization.time_zone_id = "Europe/Berlin"
    organization.save()
    short, long = datetime(2101, 3, 26, 12, tzinfo=BERLIN), datetime(2100, 10, 30, 12, tzinfo=BERLIN)
    dates = {short: 23 * HOUR, long: 25 * HOUR}
    for at, a_day in dates.items():
        assert (at + DAY).astimezone(UTC) - at.astimezone(UTC) == a_day
        same, other = (assign(organization, expires_at=at) for _ in range(2))
        scan_at(at.astimezone(UTC) - 5 * DAY)

        same.extend(expires_at=(at + DAY).astimezone(UTC) - INSTANT)
        other.extend(expires_at=(at + DAY).astimezone(UTC))

        assert scan_at(at.astimezone(UTC) - 5 * DAY + HOUR) == 1
        assert recorded()[-1] == ("expiring", other.pk)


def test_an_organization_that_moves_to_another_time_zone_hears_nothing_again():
    organization = subscribed_organization()
    assign(organization, expires_at=NOW + 5 * DAY + 8.5 * HOUR)
    scan_at(NOW)

    organization.time_zone_id = "Asia/Tokyo"
    organization.save()

    assert scan_at(NOW + HOUR) == 0
