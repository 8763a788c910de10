"""Helpers: assignments that expire, subscriptions to that, and the recorded events."""

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from example_project.training.factories import CourseAssignmentFactory, OrganizationFactory, UserFactory
from example_project.training.models import CourseAssignment
from tests.factories import WebhookFactory
from tms_webhooks import expiry
from tms_webhooks.models import Event, Subscription, Webhook

# Far ahead: a rule that reads the real clock must not take these dates for past ones.
NOW = datetime(2100, 11, 24, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
ZERO = timedelta()
INSTANT = timedelta(microseconds=1)

EXPIRING = "course_assignment.expiring"
EXPIRED = "course_assignment.expired"


def assign(organization, *, expires_at, **values):
    """Give a learner of the organization a course; it was assigned long before the tests begin."""
    return CourseAssignmentFactory(
        user=UserFactory(organization=organization),
        course__organization=organization,
        expires_at=expires_at,
        **{"created": NOW - 100 * DAY, **values},
    )


def subscribe(owner, event_type=EXPIRING, window=(2.0, 7.0)):
    """Subscribe a webhook, or a new one of an organization; ``window`` None leaves both days empty."""
    webhook = owner if isinstance(owner, Webhook) else WebhookFactory(organization=owner)
    more, less = window if window and event_type != EXPIRED else (None, None)
    return Subscription.objects.create(webhook=webhook, event_type=event_type, more_than_days=more, less_than_days=less)


def subscribed_organization(*event_types):
    """Create an organization whose webhook subscribes to these events, with a window from 2 to 7 days."""
    organization = OrganizationFactory()
    webhook = WebhookFactory(organization=organization)
    for event_type in event_types or (EXPIRING,):
        subscribe(webhook, event_type)
    return organization


def scan_at(now):
    """Run every scan; return how many events were recorded."""
    scanned = expiry.scan_all(now=now)
    assert scanned.is_finished
    return number_of(scanned)


def number_of(scanned):
    """Return how many events all scans together recorded."""
    return sum(scanned.rows.values())


def events(*event_types):
    """Return the events of these types, by default those of time, oldest first."""
    return list(Event.objects.filter(type__in=event_types or (EXPIRING, EXPIRED)).order_by("pk"))


class To(NamedTuple):
    """A step of `play`: another date, or none; ``by_update`` behind the back of the model's own methods."""

    expires: timedelta | None
    by_update: bool = False


def play(assignment, *steps):
    """Scan at each of these times after `NOW`, and change the date in between; return how many events each scan recorded."""
    counts = []
    for step in steps:
        if isinstance(step, timedelta):
            counts.append(scan_at(NOW + step))
            continue
        expires_at = None if step.expires is None else NOW + step.expires
        if step.by_update:
            CourseAssignment.objects.filter(pk=assignment.pk).update(expires_at=expires_at)
        else:
            assignment.extend(expires_at=expires_at)
    return counts


def recorded(*event_types):
    """Return the recorded events: the last word of each event's type, and the assignment's key."""
    return [(event.type.rpartition(".")[2], int(event.subject_id)) for event in events(*event_types)]


def recorded_for(subscription):
    """Return the keys of the assignments in the events of one subscription."""
    return [int(event.subject_id) for event in events(EXPIRING) if event.subscription_id == subscription.pk]


def keys(assignments):
    return [assignment.pk for assignment in assignments]


def data_of(event):
    """Return what the receiver gets in ``data``."""
    return json.loads(event.body)["data"]


def details_of(event):
    """Return what the receiver gets in ``details``."""
    return json.loads(event.body)["details"]
