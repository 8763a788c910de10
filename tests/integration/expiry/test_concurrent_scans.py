"""Two concurrent scans, or a scan and a change: each event is recorded once, with the latest values."""

import threading
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    NOW,
    assign,
    number_of,
    recorded,
    scan_at,
    subscribed_organization,
)
from tests.outbox import number_events
from tests.patience import PATIENCE
from tests.threads import Beside
from tms_webhooks import expiry
from tms_webhooks.expiry import record_all
from tms_webhooks.models import EventSequence, Occurrence, ScanCursor

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]


@contextmanager
def meeting_before_recording(monkeypatch, parties):
    """Let scans wait for each other when each has found what is due, and has recorded nothing."""
    barrier = threading.Barrier(parties, timeout=PATIENCE)

    def meet_and_record(source, due, **kwargs):
        found = list(due)
        barrier.wait()
        return record_all(source, found, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(expiry, "record_all", meet_and_record)
        yield


@pytest.mark.parametrize("event_type", [EXPIRING, EXPIRED])
def test_two_scans_at_once_record_each_assignment_once(monkeypatch, event_type):
    organization = subscribed_organization(event_type)
    scan_at(NOW)
    assigned = [assign(organization, expires_at=NOW + 3 * DAY + number * HOUR) for number in range(20)]
    later = NOW + (5 * DAY if event_type == EXPIRED else HOUR)

    with meeting_before_recording(monkeypatch, parties=2):
        scans = [Beside(lambda: expiry.scan_all(now=later)) for _ in range(2)]
        scanned = [number_of(one.finish()) for one in scans]

    assert sum(scanned) == 20
    assert [key for _kind, key in sorted(recorded())] == [assignment.pk for assignment in assigned]
    assert Occurrence.objects.count() == 20
    number_events()
    assert set(EventSequence.objects.values_list("last", flat=True)) == {1}
    assert set(ScanCursor.objects.values_list("scanned_until", flat=True)) == {later}
    assert scan_at(later) == 0


@pytest.mark.parametrize("event_type", [EXPIRING, EXPIRED])
def test_what_is_completed_while_the_scan_waits_for_it_is_not_recorded(event_type):
    organization = subscribed_organization(event_type)
    scan_at(NOW)
    assignment = assign(organization, expires_at=NOW + 3 * DAY)
    later = NOW + (5 * DAY if event_type == EXPIRED else HOUR)

    with transaction.atomic():
        assignment.complete(at=NOW)
        beside = Beside(lambda: scan_at(later))
        # It sees the row as it was, and has to wait for the change to end.
        beside.join(0.5)
        assert beside.is_alive()

    assert beside.finish() == 0
    assert recorded() == []


def test_a_scan_that_another_has_overtaken_does_not_put_the_cursor_back(monkeypatch):
    organization = subscribed_organization(EXPIRED)
    scan_at(NOW)
    assign(organization, expires_at=NOW + 2.5 * HOUR)
    slow_may_go_on, slow_waits = threading.Event(), threading.Event()

    def wait_and_record(source, due, *, now):
        found = list(due)
        if now == NOW + 2 * HOUR:
            slow_waits.set()
            assert slow_may_go_on.wait(PATIENCE)
        return record_all(source, found, now=now)

    monkeypatch.setattr(expiry, "record_all", wait_and_record)
    slow = Beside(lambda: scan_at(NOW + 2 * HOUR))
    assert slow_waits.wait(PATIENCE)
    assert scan_at(NOW + 3 * HOUR) == 1
    slow_may_go_on.set()

    assert slow.finish() == 0
    assert ScanCursor.objects.get(key__startswith=EXPIRED).scanned_until == NOW + 3 * HOUR
