"""Events of one object after the other."""

from __future__ import annotations

from example_project.training.models import Organization
from tests.integration.delivery.rows import new_event
from tms_webhooks.models import Event


def happen(organization: Organization, subject: str, *, event_type: str = "class.cancelled") -> Event:
    """Write the next event of the object ``subject`` into the outbox."""
    event = new_event(organization, event_type)
    event.subject_id = subject
    event.sequence = Event.objects.filter(subject_type=event.subject_type, subject_id=subject).count() + 1
    event.save()
    return event
