"""A date that is moved by a day or more is another deadline: it may be recorded again. One moved by less is the same."""

from __future__ import annotations

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
    assign,
    data_of,
    events,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks.actors import actor_context
from tms_webhooks.models import Event, Occurrence

BERLIN = ZoneInfo("Europe/Berlin")


def move(assignment, expires_at, *, at):
    """Change the date as if the present were ``at``: not by `save`, whose rules read the real clock."""
    type(assignment).objects.filter(pk=assignment.pk).update(expires_at=expires_at, last_modified=at)


def test_an_extension_has_the_same_window_recorded_again():
    assignment = assign(subscribed_organization(), expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 35 * DAY)
    counts = [scan_at(NOW + days * DAY) for days in range(1, 36)]

    # Inside from the 28th day on, exclusive of its beginning.
    assert counts == [0] * 28 + [1] + [0] * 6
    assert [data_of(event)["expires_at"] for event in events()] == [
        "2100-11-29T15:00:00.000Z",
        "2100-12-29T15:00:00.000Z",
    ]


def test_an_extension_inside_the_window_is_recorded_at_once():
    assignment = assign(subscribed_organization(), expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 6 * DAY)

    assert scan_at(NOW + HOUR) == 1
    assert recorded() == [("expiring", assignment.pk)] * 2


def test_an_extension_that_is_taken_back_records_nothing_new():
    assignment = assign(subscribed_organization(), expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 50 * DAY)
    scan_at(NOW + HOUR)
    assignment.extend(expires_at=NOW + 5 * DAY)

    assert scan_at(NOW + 2 * HOUR) == 0


def test_an_expired_assignment_that_is_extended_expires_again():
    assignment = assign(subscribed_organization(EXPIRED), expires_at=NOW + HOUR)
    scan_at(NOW)
    scan_at(NOW + HOUR)

    move(assignment, NOW + 10 * DAY, at=NOW + 2 * HOUR)
    counts = [scan_at(NOW + hours * HOUR) for hours in (2, 100, 239, 240, 241)]

    assert counts == [0, 0, 0, 1, 0]
    assert recorded() == [("expired", assignment.pk)] * 2


def test_an_extension_before_the_scan_keeps_an_expiry_from_being_recorded():
    assignment = assign(subscribed_organization(EXPIRED), expires_at=NOW + HOUR)
    scan_at(NOW)

    move(assignment, NOW + 10 * DAY, at=NOW + HOUR + MINUTE)

    assert scan_at(NOW + 2 * HOUR) == 0


def test_shortening_into_the_window_is_recorded():
    assignment = assign(subscribed_organization(), expires_at=NOW + 90 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 4 * DAY)

    assert scan_at(NOW + HOUR) == 1
    assert data_of(events()[0])["days_left"] == 3.95833


def test_shortening_past_the_window_is_not_recorded():
    assignment = assign(subscribed_organization(), expires_at=NOW + 90 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + DAY)

    assert scan_at(NOW + HOUR) == 0


def test_shortening_into_the_past_is_recorded_by_the_change_and_by_no_scan(clock):
    now = clock()
    assignment = assign(subscribed_organization(EXPIRED), expires_at=now + 90 * DAY)
    scan_at(now - HOUR)

    with actor_context("administrator", 7):
        assignment.extend(expires_at=now - MINUTE)

    assert [scan_at(now + minutes * MINUTE) for minutes in range(3)] == [0, 0, 0]
    assert recorded() == [("expired", assignment.pk)]
    assert (events()[0].actor_kind, events()[0].actor_id) == ("administrator", "7")


def test_shortening_into_the_past_behind_the_app_s_back_is_recorded_by_the_scan():
    assignment = assign(subscribed_organization(EXPIRED), expires_at=NOW + 90 * DAY)
    scan_at(NOW)

    move(assignment, NOW + MINUTE, at=NOW + 2 * MINUTE)

    assert scan_at(NOW + 5 * MINUTE) == 1


def test_an_assignment_without_a_date_never_expires():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    assign(organization, expires_at=None)
    assignment = assign(organization, expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=None)

    assert [scan_at(NOW + days * DAY) for days in range(1, 10)] == [0] * 9
    assert recorded() == [("expiring", assignment.pk)]


def test_a_date_that_comes_late_is_a_date():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    assignment = assign(organization, expires_at=None)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 5 * DAY)

    assert [scan_at(NOW + days * DAY) for days in range(1, 7)] == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "change",
    [INSTANT, SECOND, -SECOND, HOUR, -HOUR, 8 * HOUR, -14 * HOUR, 9.5 * HOUR, DAY - INSTANT, INSTANT - DAY],
    ids=str,
)
def test_a_change_by_less_than_a_day_is_no_other_date(change):
    """Also across midnight: 9.5 hours later is half past midnight."""
    assignment = assign(subscribed_organization(), expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 5 * DAY + change)

    assert [scan_at(NOW + hours * HOUR) for hours in (1, 2, 60)] == [0, 0, 0]
    assert Event.objects.count() == 1


@pytest.mark.parametrize("change", [DAY, -DAY, DAY + HOUR, 1.5 * DAY, -2 * DAY], ids=str)
def test_a_change_by_a_day_or_more_is_another_date(change):
    assignment = assign(subscribed_organization(), expires_at=NOW + 5 * DAY)
    scan_at(NOW)

    assignment.extend(expires_at=NOW + 5 * DAY + change)

    assert [scan_at(NOW + hours * HOUR) for hours in (1, 2)] == [1, 0]


def test_small_changes_that_add_up_to_a_day_are_another_date():
    assignment = assign(subscribed_organization(), expires_at=NOW + 4 * DAY)
    counts = [scan_at(NOW)]

    for hours in range(8, 33, 8):
        assignment.extend(expires_at=NOW + 4 * DAY + hours * HOUR)
        counts.append(scan_at(NOW + hours * MINUTE))

    assert counts == [1, 0, 0, 1, 0]


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


def test_a_date_is_that_of_the_organization_s_clocks():
    """The keys of events are dates: 2100-11-29T23:30Z is the 30th in Tokyo, and the 29th in New York."""
    for zone, day in {"Tokyo Standard Time": 30, "America/New_York": 29}.items():
        organization = subscribed_organization()
        organization.time_zone_id = zone
        organization.save()
        assign(organization, expires_at=NOW + 5 * DAY + 8.5 * HOUR)
        scan_at(NOW)

        assert Occurrence.objects.latest("pk").key.endswith(f":2100-11-{day}")


def test_an_organization_that_moves_to_another_time_zone_hears_nothing_again():
    organization = subscribed_organization()
    assign(organization, expires_at=NOW + 5 * DAY + 8.5 * HOUR)
    scan_at(NOW)

    organization.time_zone_id = "Asia/Tokyo"
    organization.save()

    assert scan_at(NOW + HOUR) == 0


def test_an_expiry_is_no_other_within_the_second_in_which_the_last_scan_ended():
    assignment = assign(subscribed_organization(EXPIRED), expires_at=NOW + 0.1 * SECOND)
    scan_at(NOW)
    assert scan_at(NOW + MINUTE + 0.5 * SECOND) == 1

    move(assignment, NOW + 0.9 * SECOND, at=NOW + HOUR)

    assert scan_at(NOW + 2 * HOUR) == 0
    assert scan_at(NOW + 3 * HOUR) == 0
