"""A scan that is cut short, by a kill or by its time, leaves the rest to the next, and nothing is recorded twice."""

from itertools import count

import pytest
from django.db import OperationalError

from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    MINUTE,
    NOW,
    assign,
    keys,
    number_of,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks import expiry
from tms_webhooks.models import Event, Occurrence


@pytest.fixture
def fail_at(monkeypatch):
    """Have the recording of the nth event fail, after it was written and before it is committed; others work."""
    own = expiry.record_planned

    def arrange(number, error):
        calls = count(1)

        def record_or_fail(*args, **kwargs):
            event = own(*args, **kwargs)
            if next(calls) == number:
                raise error
            return event

        monkeypatch.setattr(expiry, "record_planned", record_or_fail)

    return arrange


def expected(kind, assigned):
    return [(kind, key) for key in keys(assigned)]


@pytest.mark.parametrize("event_type, kind", [(EXPIRING, "expiring"), (EXPIRED, "expired")])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_scan_that_is_killed_records_each_once_together_with_the_next(fail_at, event_type, kind, number):
    organization = subscribed_organization(event_type)
    scan_at(NOW)
    assigned = [assign(organization, expires_at=NOW + 3 * DAY + hours * HOUR) for hours in range(5)]
    later = NOW + (4 * DAY if event_type == EXPIRED else HOUR)
    fail_at(number, SystemExit())

    with pytest.raises(SystemExit):
        expiry.scan_all(now=later)
    assert recorded() == expected(kind, assigned[: number - 1])
    assert Occurrence.objects.count() == number - 1

    assert scan_at(later + MINUTE) == 5 - (number - 1)
    assert recorded() == expected(kind, assigned)
    assert scan_at(later + 2 * MINUTE) == 0


def test_a_database_that_fails_is_asked_again_by_the_next_scan(fail_at, caplog):
    organization = subscribed_organization(EXPIRED)
    scan_at(NOW)
    assigned = [assign(organization, expires_at=NOW + hours * HOUR) for hours in (1, 2, 3)]
    fail_at(2, OperationalError("deadlock detected"))

    assert scan_at(NOW + DAY) == 1
    assert recorded() == expected("expired", assigned[:1])
    assert (
        "The scan of <CourseAssignments of training.CourseAssignment> for course_assignment.expired failed"
        in caplog.text
    )

    assert scan_at(NOW + DAY + MINUTE) == 2
    assert recorded() == expected("expired", assigned)


@pytest.mark.parametrize("event_type", [EXPIRING, EXPIRED])
def test_one_assignment_that_can_not_be_recorded_does_not_stop_the_others(fail_at, caplog, event_type):
    organization = subscribed_organization(event_type)
    scan_at(NOW)
    assigned = [assign(organization, expires_at=NOW + 3 * DAY + hours * HOUR) for hours in (1, 2, 3)]
    later = NOW + (4 * DAY if event_type == EXPIRED else HOUR)
    fail_at(2, ValueError("the host's own mistake"))

    assert scan_at(later) == 2
    assert [key for _kind, key in recorded()] == [assigned[0].pk, assigned[2].pk]
    assert f"{event_type} of training.CourseAssignment {assigned[1].pk} could not be recorded." in caplog.text
    assert Occurrence.objects.count() == 2


@pytest.mark.parametrize("event_type", [EXPIRING, EXPIRED])
def test_a_scan_that_is_out_of_time_says_so_and_is_continued(event_type):
    organization = subscribed_organization(event_type)
    scan_at(NOW)
    assigned = [assign(organization, expires_at=NOW + 3 * DAY + hours * HOUR) for hours in range(5)]
    later = NOW + (4 * DAY if event_type == EXPIRED else HOUR)
    scans = [
        expiry.scan_all(now=later + number * MINUTE, stop=lambda most=most: len(recorded()) >= most)
        for number, most in enumerate((3, 4, 6))
    ]

    assert [(number_of(one), one.is_finished) for one in scans] == [(3, False), (1, False), (1, True)]
    assert [key for _kind, key in recorded()] == keys(assigned)


def test_a_clock_that_jumps_back_records_nothing_twice_and_loses_nothing():
    organization = subscribed_organization(EXPIRING, EXPIRED)
    near = assign(organization, expires_at=NOW + 6 * DAY)
    over = assign(organization, expires_at=NOW + DAY)
    scan_at(NOW)
    # For one scan the clock is two days fast.
    scan_at(NOW + 2 * DAY)
    assert recorded() == [("expiring", near.pk), ("expired", over.pk)]

    next_over = assign(organization, expires_at=NOW + 1.5 * DAY)
    next_near = assign(organization, expires_at=NOW + 8 * DAY)
    counts = [scan_at(NOW + hours * HOUR) for hours in (1, 24, 25, 35, 37, 48)]

    assert counts == [0, 0, 1, 0, 1, 0]
    assert recorded() == [
        ("expiring", near.pk),
        ("expired", over.pk),
        ("expiring", next_near.pk),
        ("expired", next_over.pk),
    ]
    assert Event.objects.count() == 4
