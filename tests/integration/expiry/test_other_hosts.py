"""A host whose assignments look otherwise: UUIDs as keys, days without a time, statuses in words."""

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from example_project.training.factories import CourseFactory, OrganizationFactory, UserFactory
from example_project.training.models import ActivityResult, CourseAssignment
from tests.integration.expiry.assignments import DAY, EXPIRED, EXPIRING, HOUR, INSTANT, events, scan_at, subscribe
from tests.outbox import number_events, prune_events
from tests.registration import disconnect, temporarily
from tests.testapp.models import DatedAssignment
from tms_webhooks import catalogue, sources
from tms_webhooks.capture import receivers
from tms_webhooks.models import Event, Occurrence
from tms_webhooks.sources.base import TIME_ZONE
from tms_webhooks.sources.deadlines import time_zone, zone_of
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import read_whole

TODAY = datetime.now(UTC).date()
MIDNIGHT = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
# The last moment of today, in UTC.
END = MIDNIGHT + DAY - INSTANT
ZONES = {
    "UTC": "UTC",
    "America/New_York": "America/New_York",
    "Tokyo Standard Time": "Asia/Tokyo",
    "Line Islands Standard Time": "Pacific/Kiritimati",
    "Dateline Standard Time": "Etc/GMT+12",
}


class DatedAssignments(sources.CourseAssignmentSource):
    time_zone = "user.organization.time_zone_id"
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
    }


@pytest.fixture(autouse=True)
def source():
    with temporarily(DatedAssignments, DatedAssignment) as source:
        receivers.connect(source)
        yield source
        disconnect(source)


@pytest.fixture
def organization():
    organization = OrganizationFactory(time_zone_id="UTC")
    subscribe(organization)
    subscribe(organization, EXPIRED)
    scan_at(MIDNIGHT - 30 * DAY)
    return organization


def dated(organization, *, expires_on, **values):
    return DatedAssignment.objects.create(
        user=UserFactory(organization=organization), course=CourseFactory(), expires_on=expires_on, **values
    )


def recorded():
    return [(event.type, uuid.UUID(event.subject_id)) for event in events()]


def end_of(day, zone):
    return datetime.combine(day, time.max, tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.fixture(params=ZONES)
def end(request, organization):
    """The end of today in the time zone of the organization."""
    organization.time_zone_id = request.param
    organization.save()
    return end_of(TODAY, ZONES[request.param])


def test_a_day_is_inside_the_window_from_one_end_of_a_day_to_another(organization, end):
    assignment = dated(organization, expires_on=TODAY + timedelta(days=7))
    # Not seven times 24 hours after ``end``, where the clocks change in between.
    ends_at = end_of(TODAY + timedelta(days=7), ZONES[organization.time_zone_id])

    assert [scan_at(ends_at - 7 * DAY), scan_at(ends_at - 7 * DAY + INSTANT), scan_at(ends_at - 6 * DAY)] == [0, 1, 0]
    assert recorded() == [(EXPIRING, assignment.pk)]
    number_events()
    whole = json.loads(events()[0].body)
    catalogue.get(EXPIRING).validate(whole)
    assert whole["data"]["id"] == str(assignment.pk)
    assert whole["data"]["expires_at"] == f"{ends_at:%Y-%m-%dT%H:%M:%S}.999Z"
    assert whole["details"]["days_left"] == 6.99999


@pytest.mark.parametrize("days, count", [(2, 0), (3, 1), (7, 1), (8, 0)])
def test_today_is_part_of_the_days_that_are_left(days, count):
    """At noon there is half a day more than the dates differ by."""
    organization = OrganizationFactory(time_zone_id="UTC")
    subscribe(organization, window=(2.5, 7.5))
    dated(organization, expires_on=TODAY + timedelta(days=days))

    assert scan_at(MIDNIGHT + 12 * HOUR + INSTANT) == count


def test_a_day_has_expired_when_it_ends_on_the_organization_s_clocks(organization, end):
    assignment = dated(organization, expires_on=TODAY)
    prune_events()
    Occurrence.objects.all().delete()

    counts = [scan_at(end + change) for change in (-HOUR, -INSTANT, timedelta(), HOUR, DAY)]

    assert sum(counts[2:]) == counts[2] == 1
    assert recorded()[-1] == (EXPIRED, assignment.pk)


def test_the_project_s_time_zone_is_that_of_a_source_without_one(settings, monkeypatch):
    settings.TIME_ZONE = "America/New_York"
    monkeypatch.setattr(DatedAssignments, "time_zone", None)
    values = DatedAssignments(DatedAssignment, {}).canonical({"expires_at": date(2026, 7, 1)})

    assert values["expires_at"] == end_of(date(2026, 7, 1), "America/New_York")


@pytest.mark.parametrize(
    "zone", [sources.First("parent.time_zone_id", "time_zone_id"), lambda organization: organization.time_zone_id]
)
def test_a_time_zone_may_be_computed_for_all_sources(settings_of_app, monkeypatch, organization, zone):
    monkeypatch.setattr(DatedAssignments, "time_zone", None)
    settings_of_app(ORGANIZATION_FIELDS={"time_zone": zone})
    organization.time_zone_id = "Asia/Tokyo"
    organization.save()
    assignment = dated(organization, expires_on=TODAY)

    source = DatedAssignments(DatedAssignment, {})
    values = source.canonical(read_whole(source, assignment.pk, using="default"))

    assert values["expires_at"] == end_of(TODAY, "Asia/Tokyo")
    assert zone_of(organization) == ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize("name", ["", "Nowhere/Town", "../../etc/passwd", "Europe"])
def test_an_organization_whose_time_zone_is_unknown_has_that_of_the_project(organization, settings, name):
    settings.TIME_ZONE = "Asia/Tokyo"
    organization.time_zone_id = name
    organization.save()
    dated(organization, expires_on=TODAY + timedelta(days=7))
    end = end_of(TODAY, "Asia/Tokyo")

    assert [scan_at(end), scan_at(end + INSTANT)] == [0, 1]


def test_an_unknown_time_zone_is_logged_with_its_name(caplog):
    time_zone("Atlantis/Capital")

    (record,) = caplog.records
    assert "'Atlantis/Capital' is unknown" in record.getMessage()
    assert "Europe/Berlin" in record.getMessage()


def test_a_change_and_a_scan_record_an_expiry_once_under_one_key(organization):
    yesterday = TODAY - timedelta(days=1)
    assignment = dated(organization, expires_on=TODAY + timedelta(days=50))

    assignment.expires_on = yesterday
    assignment.save()
    assert recorded() == [(EXPIRED, assignment.pk)]

    assert [scan_at(MIDNIGHT + hours * HOUR) for hours in (0, 30)] == [0, 0]
    assert Event.objects.get().subject_id == str(assignment.pk)
    assert Occurrence.objects.get().key == f"{EXPIRED}:{assignment.pk}:{yesterday}"
    assert Occurrence.objects.get().deadline == END - DAY


@pytest.mark.parametrize(
    "zone, later_zone",
    [("Asia/Tokyo", "America/New_York"), ("America/New_York", "Asia/Tokyo"), ("Pacific/Kiritimati", "Etc/GMT+12")],
)
def test_an_organization_that_moves_to_another_time_zone_hears_of_a_day_once(organization, zone, later_zone):
    """The day ends a second time on the new clocks, or ended before on them."""
    day = TODAY + timedelta(days=30)
    assignment = dated(organization, expires_on=day)
    for name in (zone, later_zone):
        organization.time_zone_id = name
        organization.save()
        for hours in range(-30, 31, 10):
            moment = end_of(day, zone) + hours * HOUR
            if name == zone and moment > end_of(day, zone):
                break
            scan_at(moment)

    assert recorded()[-1] == (EXPIRED, assignment.pk)
    assert len(events(EXPIRED)) == len(events(EXPIRING)) == 1


def test_the_progress_of_an_assignment_has_the_same_moment_as_the_assignment():
    """The activity is another row, and its source has no deadline of its own."""
    (assignments,) = (one for one in sources_of(CourseAssignment) if one.deadline is not None)
    (activities,) = sources_of(ActivityResult)
    raw = {"expires_at": date(2026, 7, 1), TIME_ZONE.name: "Central Standard Time"}

    moments = {source.canonical(raw)["expires_at"] for source in (assignments, activities)}

    assert activities.mapped[TIME_ZONE.name].path == "assignment.user.organization.time_zone_id"
    assert moments == {end_of(date(2026, 7, 1), "America/Chicago")}
