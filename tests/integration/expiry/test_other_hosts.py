"""A host whose assignments look otherwise: UUIDs as keys, days without a time, statuses in words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from example_project.training.factories import CourseFactory, OrganizationFactory, UserFactory
from tests.integration.expiry.assignments import DAY, EXPIRED, EXPIRING, HOUR, INSTANT, events, scan_at, subscribe
from tests.testapp.models import DatedAssignment
from tms_webhooks import catalogue, sources
from tms_webhooks.capture import receivers
from tms_webhooks.models import Event, Occurrence
from tms_webhooks.sources.registry import temporarily

pytestmark = pytest.mark.django_db

TODAY = datetime.now(UTC).date()
# A day without a time begins at midnight, UTC.
MIDNIGHT = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)


class DatedAssignments(sources.CourseAssignmentSource):
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
    }


@pytest.fixture(autouse=True)
def source() -> Iterator[sources.Source]:
    with temporarily(DatedAssignments, DatedAssignment) as source:
        receivers.connect(source)
        yield source
        receivers.disconnect(source)


@pytest.fixture
def organization():
    organization = OrganizationFactory()
    subscribe(organization)
    subscribe(organization, EXPIRED)
    scan_at(MIDNIGHT - 30 * DAY)
    return organization


def dated(organization, *, expires_on: date | None, **values) -> DatedAssignment:
    return DatedAssignment.objects.create(
        user=UserFactory(organization=organization), course=CourseFactory(), expires_on=expires_on, **values
    )


def recorded() -> list[tuple[str, uuid.UUID]]:
    return [(event.type, uuid.UUID(event.subject_id)) for event in events()]


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_day_is_inside_the_window_from_one_midnight_to_another(organization, settings, time_zone):
    settings.TIME_ZONE = time_zone
    assignment = dated(organization, expires_on=TODAY + timedelta(days=7))

    assert [scan_at(MIDNIGHT), scan_at(MIDNIGHT + INSTANT), scan_at(MIDNIGHT + HOUR)] == [0, 1, 0]
    assert recorded() == [(EXPIRING, assignment.pk)]
    whole = json.loads(events()[0].body)
    catalogue.get(EXPIRING).validate(whole)
    assert whole["data"]["id"] == str(assignment.pk)
    assert whole["data"]["expires_at"] == (MIDNIGHT + 7 * DAY).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert whole["data"]["days_left"] == 7


@pytest.mark.parametrize(("days", "count"), [(2, 0), (3, 1), (6, 1), (7, 0)])
def test_the_ends_are_excluded_at_midnight_too(days, count):
    organization = OrganizationFactory()
    subscribe(organization)
    dated(organization, expires_on=TODAY + timedelta(days=days))

    assert scan_at(MIDNIGHT) == count


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_day_has_expired_when_it_begins(organization, settings, time_zone):
    settings.TIME_ZONE = time_zone
    assignment = dated(organization, expires_on=TODAY)
    scan_at(MIDNIGHT - INSTANT)
    Event.objects.all().delete()

    assert [scan_at(MIDNIGHT), scan_at(MIDNIGHT + HOUR), scan_at(MIDNIGHT + DAY)] == [1, 0, 0]
    assert recorded() == [(EXPIRED, assignment.pk)]


def test_missed_days_are_made_up(organization):
    first, second = (dated(organization, expires_on=TODAY + timedelta(days=days)) for days in (0, 1))

    assert scan_at(MIDNIGHT + 1.5 * DAY) == 2
    assert recorded() == [(EXPIRED, first.pk), (EXPIRED, second.pk)]


@pytest.mark.parametrize(
    "closed", [{"completed_on": TODAY}, {"state": "cancelled"}, {"state": "Canceled"}, {"state": "CANCELLED"}]
)
def test_complete_and_cancelled_ones_are_recorded_in_no_spelling(organization, closed):
    dated(organization, expires_on=TODAY + timedelta(days=5), **closed)

    assert [scan_at(MIDNIGHT + days * DAY) for days in range(8)] == [0] * 8


@pytest.mark.parametrize("state", ["active", "Active", None])
def test_open_ones_are_recorded_in_every_spelling(organization, state):
    dated(organization, expires_on=TODAY + timedelta(days=5), state=state)

    assert [scan_at(MIDNIGHT + days * DAY) for days in range(8)] == [1, 0, 0, 0, 0, 1, 0, 0]


def test_a_change_and_a_scan_record_an_expiry_once_under_one_key(organization):
    assignment = dated(organization, expires_on=TODAY + timedelta(days=50))

    assignment.expires_on = TODAY
    assignment.save()
    assert recorded() == [(EXPIRED, assignment.pk)]

    assert [scan_at(MIDNIGHT + hours * HOUR) for hours in (0, 30)] == [0, 0]
    assert Event.objects.get().subject_id == assignment.pk.hex
    assert Occurrence.objects.get().key == f"{EXPIRED}:{assignment.pk.hex}:{int(MIDNIGHT.timestamp())}"
    assert Occurrence.objects.get().deadline == MIDNIGHT
