"""Reading the feed as an integrator does: from one page to the next."""

from datetime import timedelta

from example_project.training.models import Organization
from tests.integration.delivery.rows import OCCURRED_AT, new_event
from tms_webhooks.outbox import feed

NOW = OCCURRED_AT + timedelta(minutes=1)


def write(organization, number=1, event_type="class.cancelled"):
    """Write so many events that are fanned out, and return them."""
    events = [new_event(organization, event_type) for _ in range(number)]
    for event in events:
        event.fanned_out_at = NOW
        event.save()
    return events


def page(*organizations, **options):
    """Return one page of what these organizations see."""
    keys = [organization.pk for organization in organizations]
    return feed.read(Organization.objects.filter(pk__in=keys), **{"now": NOW, **options})


def loop(*organizations, after="", **options):
    """Read on until there are no more; return the events' keys and the last cursor."""
    keys = []
    while True:
        found = page(*organizations, after=after, **options)
        keys += [event.pk for event in found.events]
        after = found.cursor
        if not found.has_more:
            return keys, after


def keys(events):
    return [event.pk for event in events]
