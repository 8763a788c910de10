"""Whatever is edited and however rarely scans run: one event for each date, and none is lost."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from example_project.training.factories import OrganizationFactory
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    NOW,
    assign,
    data_of,
    events,
    scan_at,
    subscribe,
)
from tms_webhooks.models import Subscription

pytestmark = pytest.mark.slow

ZONES = {"UTC": "UTC", "Central Standard Time": "America/Chicago", "Line Islands Standard Time": "Pacific/Kiritimati"}

minutes = st.integers(0, 60 * 24).map(lambda number: timedelta(minutes=number))
gaps = st.one_of(minutes, st.integers(1, 9).map(lambda days: days * DAY))
days = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 7.0, 10.0, 30.0])
windows = st.lists(days, min_size=2, max_size=2, unique=True).map(sorted)
steps = st.one_of(
    st.tuples(st.just("scan"), gaps),
    # Mostly small changes, which must not count as others.
    st.tuples(
        st.just("move"), st.one_of(minutes, minutes.map(lambda one: -one), st.integers(-9, 9).map(lambda n: n * DAY))
    ),
    st.tuples(st.just("window"), windows),
)


class Expected:
    """What a scan has to record, computed from the definitions."""

    def __init__(self, zone):
        self.zone = zone
        self.expiring = []
        self.expired = set()
        self.last_scan = None

    def local(self, moment):
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def is_known(self, at):
        """Whether this date was announced: on the same day, or less than a day away."""
        local = [self.local(one) for one in self.expiring]
        return any(one.date() == self.local(at).date() or abs(one - self.local(at)) < DAY for one in local)

    def scan(self, at, window, now):
        since, (more, less) = self.last_scan or now, (one * DAY for one in window)
        # The time left went from the second to the first since the last scan.
        left, left_before = at - now, at - since
        if left > timedelta() and left < less and left_before > more and not self.is_known(at):
            self.expiring.append(at)
        # A scan looks again at the minute before the last one; the first scan of all at none of the past but this.
        if since - timedelta(minutes=1) < at <= now:
            self.expired.add(at)
        self.last_scan = now


class AnySequence(TestCase):
    @settings(max_examples=60)
    @given(zone=st.sampled_from(sorted(ZONES)), start=st.integers(0, 40 * 24), sequence=st.lists(steps, max_size=14))
    def test_each_date_is_announced_once_if_it_was_in_the_window(self, zone, start, sequence):
        organization = OrganizationFactory(time_zone_id=zone)
        subscription = subscribe(organization, window=(2, 7))
        subscribe(organization, EXPIRED)
        at, now, window = NOW + timedelta(hours=start), NOW, (2.0, 7.0)
        assignment = assign(organization, expires_at=at)
        expected = Expected(ZoneInfo(ZONES[zone]))

        for step, value in [("scan", timedelta()), *sequence, ("scan", timedelta(minutes=5))]:
            if step == "move":
                at += value
                CourseAssignment.objects.filter(pk=assignment.pk).update(expires_at=at)
            elif step == "window":
                window = value
                Subscription.objects.filter(pk=subscription.pk).update(more_than_days=value[0], less_than_days=value[1])
            else:
                now += value
                scan_at(now)
                expected.scan(at, window, now)

        announced = [datetime.fromisoformat(data_of(event)["expires_at"]) for event in events(EXPIRING)]
        assert announced == expected.expiring
        on_days = [expected.local(one).date() for one in announced]
        assert len(on_days) == len(set(on_days))
        assert len(events(EXPIRED)) == len(expected.expired)
