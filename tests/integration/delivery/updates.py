"""Updates and status changes of users and classes, as the outbox stores them."""

import json

from tests.integration.delivery.rows import OCCURRED_AT, body_of
from tms_webhooks.models import Event


class ChangingObject:
    """An object with values that change, each change with its event."""

    def __init__(self, organization, subject_id="5012", *, noun="user", **values):
        self.organization, self.subject_id, self.noun = organization, subject_id, noun
        self.values = {"city": "Amsterdam", "last_name": "Larsen", "phone": "1", **values}
        self.sequence = 0

    def update(self, event_type="", **values):
        """Change values, and write the event."""
        before = {name: self.values[name] for name in values}
        self.values.update(values)
        return self.happen(event_type or f"{self.noun}.updated", changed=list(values), previous=before)

    def happen(self, event_type, *, changed=(), previous=None):
        """Write an event with the current values."""
        event = self.new_event(event_type, changed=changed, previous=previous)
        event.save()
        return event

    def new_event(self, event_type, *, changed=(), previous=None):
        """Return an event that is not saved yet."""
        self.sequence += 1
        event = Event(
            type=event_type,
            organization=self.organization,
            subject_type=self.noun,
            subject_id=self.subject_id,
            sequence=self.sequence,
            actor_kind="system",
            occurred_at=OCCURRED_AT,
        )
        body = json.loads(body_of(event_type))
        body |= {"id": event.public_id, "sequence": self.sequence, "changed": list(changed), "previous": previous or {}}
        body["data"] |= self.values
        event.body = json.dumps(body, separators=(",", ":"))
        return event
