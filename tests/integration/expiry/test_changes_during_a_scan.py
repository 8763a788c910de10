"""What changes between the moment a scan finds it and the moment it records it."""

from datetime import timedelta

import pytest

from example_project.training.choices import AssignmentStatus
from example_project.training.models import CourseAssignment
from tests.integration.expiry.assignments import (
    DAY,
    EXPIRED,
    EXPIRING,
    HOUR,
    NOW,
    assign,
    events,
    recorded,
    scan_at,
    subscribed_organization,
)
from tms_webhooks import expiry
from tms_webhooks.models import Occurrence, Subscription


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something once, just before the scan records the first of what it has found and read."""
    own = expiry._record

    def arrange(act):
        acts = [act]

        def act_and_record(*args, **kwargs):
            if acts:
                acts.pop()()
            return own(*args, **kwargs)

        monkeypatch.setattr(expiry, "_record", act_and_record)

    return arrange


def change(**values):
    """Change every assignment, as a transaction does that ends at this moment."""
    CourseAssignment.objects.update(**values)


@pytest.fixture(params=[EXPIRING, EXPIRED])
def later(request):
    """An assignment is near its date, or past it, when a scan runs at this moment."""
    organization = subscribed_organization(request.param)
    scan_at(NOW)
    assign(organization, expires_at=NOW + 3 * DAY)
    return NOW + (5 * DAY if request.param == EXPIRED else HOUR)


@pytest.mark.parametrize(
    "values",
    [
        {"completed_at": NOW},
        {"assignment_status": AssignmentStatus.CANCELLED},
        {"expires_at": NOW + 6 * DAY},
        {"expires_at": None},
    ],
)
def test_what_is_no_longer_true_is_not_recorded(later, meanwhile, values):
    meanwhile(lambda: change(**values))

    assert scan_at(later) == 0
    assert recorded() == []
    assert not Occurrence.objects.exists()


@pytest.mark.parametrize("edited", [timedelta(), 10 * HOUR], ids=["the same day", "across midnight"])
def test_a_date_that_another_scan_records_before_it_is_edited_is_recorded_once(monkeypatch, edited):
    """The other scan and the edit happen after this scan has begun, and before it reads the rows."""
    assign(subscribed_organization(), expires_at=NOW + 3 * DAY)
    own, acts = expiry._read_due_rows, [lambda: scan_at(NOW), lambda: change(expires_at=NOW + 3 * DAY + edited)]

    def act_and_read(*args, **kwargs):
        while acts:
            acts.pop(0)()
        return own(*args, **kwargs)

    monkeypatch.setattr(expiry, "_read_due_rows", act_and_read)

    assert scan_at(NOW + HOUR) == 0
    assert len(events(EXPIRING)) == 1


def test_an_assignment_deleted_before_its_values_are_read_does_not_stop_the_others(monkeypatch):
    organization = subscribed_organization()
    gone, kept = (assign(organization, expires_at=NOW + days * DAY) for days in (3, 4))

    own = expiry.record_all

    def delete_and_record(source, due, **kwargs):
        found = list(due)
        CourseAssignment.objects.filter(pk=gone.pk).delete()
        return own(source, found, **kwargs)

    monkeypatch.setattr(expiry, "record_all", delete_and_record)

    assert scan_at(NOW) == 1
    assert recorded() == [("expiring", kept.pk)]


def test_without_a_subscription_by_now_no_event_is_recorded(later, meanwhile):
    meanwhile(lambda: Subscription.objects.all().delete())

    assert scan_at(later) == 0
    assert recorded() == []
    assert not Occurrence.objects.exists()
