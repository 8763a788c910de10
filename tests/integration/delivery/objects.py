"""Events of one object after the other."""

from tests.integration.delivery.rows import new_event
from tms_webhooks.models import Event


def happen(organization, subject, *, event_type="class.cancelled"):
    """Write the next event of the object ``subject`` into the outbox."""
    event = new_event(organization, event_type)
    event.subject_id = subject
    event.sequence = Event.objects.filter(subject_type=event.subject_type, subject_id=subject).count() + 1
    event.save()
    return event
