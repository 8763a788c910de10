"""The keys that keep a scan and a change from recording the same event."""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from example_project.training.models import CourseAssignment
from tms_webhooks.expiry import expiring_key
from tms_webhooks.models.event import subject_key
from tms_webhooks.models.occurrence import LONGEST_KEY
from tms_webhooks.sources import CourseAssignmentSource
from tms_webhooks.sources.deadlines import DueDate, end_of_day, time_zone
from tms_webhooks.sources.rules import Change

EXPIRES_AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
EXPIRING = "course_assignment.expiring"
ASSIGNMENTS = CourseAssignmentSource(CourseAssignment, {})
UUID = uuid.UUID("0192f3a1-7c1e-7000-8000-0123456789ab")


def moved_into_the_past(subject_id):
    before = {"id": subject_id, "expires_at": EXPIRES_AT + timedelta(days=9), "completed_at": None}
    after = {**before, "expires_at": EXPIRES_AT}
    return Change(before=before, after=after, changed=("expires_at",), now=EXPIRES_AT + timedelta(hours=1))


@pytest.mark.parametrize(
    "subject_id, text",
    [(55120, "55120"), ("ASG-1", "ASG-1"), (UUID, str(UUID))],
)
def test_a_change_and_a_scan_record_of_an_expiry_under_the_same_key(subject_id, text):
    (planned,) = ASSIGNMENTS.events_for(moved_into_the_past(subject_id))

    assert planned.once == ASSIGNMENTS.expired_key({"id": subject_id, "expires_at": EXPIRES_AT})
    assert planned.once == f"course_assignment.expired:{text}:1795532400"
    assert planned.deadline == EXPIRES_AT


def test_subject_date_and_subscription_each_make_another_key():
    later = EXPIRES_AT + timedelta(seconds=1)
    keys = [
        expiring_key(EXPIRING, 1, "42", date(2026, 11, 24)),
        expiring_key("certificate.expiring", 1, "42", date(2026, 11, 24)),
        expiring_key(EXPIRING, 2, "42", date(2026, 11, 24)),
        expiring_key(EXPIRING, 1, "43", date(2026, 11, 24)),
        expiring_key(EXPIRING, 1, "42", date(2026, 11, 25)),
        ASSIGNMENTS.expired_key({"id": 42, "expires_at": EXPIRES_AT}),
        ASSIGNMENTS.expired_key({"id": 42, "expires_at": later}),
    ]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "zone, day",
    [
        ("UTC", 24),
        ("America/New_York", 24),
        ("Central Standard Time", 24),
        ("Asia/Tokyo", 25),
        ("Tokyo Standard Time", 25),
    ],
)
def test_a_date_is_the_one_on_the_organization_s_calendar(zone, day):
    assert DueDate(EXPIRES_AT, time_zone(zone)).day == date(2026, 11, day)


def test_the_longest_key_fits_into_its_column():
    longest = expiring_key("x" * 100, 2**63 - 1, subject_key("y" * 200), date(9999, 12, 31))

    assert len(longest) <= LONGEST_KEY


@pytest.mark.parametrize(
    "day, zone, end",
    [
        (date(2026, 11, 24), "UTC", "2026-11-24T23:59:59.999999+00:00"),
        (date(2026, 11, 24), "Central Standard Time", "2026-11-25T05:59:59.999999+00:00"),
        (date(2026, 7, 1), "Central Standard Time", "2026-07-02T04:59:59.999999+00:00"),
        (date(2026, 11, 24), "Asia/Tokyo", "2026-11-24T14:59:59.999999+00:00"),
        # In Santiago, clocks go back from midnight to 23:00: the day ends the second time.
        (date(2026, 4, 4), "America/Santiago", "2026-04-05T03:59:59.999999+00:00"),
    ],
)
def test_a_day_ends_with_its_last_moment(day, zone, end):
    assert end_of_day(day, time_zone(zone)).isoformat() == end
