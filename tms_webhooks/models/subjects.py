"""Find the events of an object, by the object itself, written as ``class:8840``, or by its id in the customer's system.

The events of one object are few, so their keys are read first. A query that also has an order and an organization then
reads only these rows. Otherwise a database may read all events of the organization in that order.
"""

from __future__ import annotations

import difflib
import uuid
from typing import Any, NamedTuple

from django.db.models import F, Q
from django.utils.translation import gettext as _

from tms_webhooks import event_names
from tms_webhooks.catalogue import registry
from tms_webhooks.db.lookups import KeyIn
from tms_webhooks.db.sql import numbers
from tms_webhooks.models.event import Event, EventQuerySet, subject_key

MOST_KEYS = 1_000
"""Events whose keys are read first. An object with more of them is found in the query itself."""


class Subject(NamedTuple):
    """An object: the name of its noun, and its id as text."""

    noun: str
    id: str

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Return the object of a text such as ``class:8840``; raise ``ValueError`` for an unknown noun or a missing id."""
        noun, _colon, key = text.partition(":")
        nouns = registry.grouped()
        if noun not in nouns:
            hint = event_names.did_you_mean(difflib.get_close_matches(noun[:64], nouns))
            message = _('Unknown noun: "%(noun)s".%(hint)s Write a noun, a colon and the id of the object: class:8840.')
            raise ValueError(message % {"noun": noun[:64], "hint": hint})
        if not key.strip():
            message = _('"%(text)s" has no id. Write a noun, a colon and the id of the object: %(noun)s:8840.')
            raise ValueError(message % {"text": text[:64], "noun": noun})
        return cls(noun, key.strip())

    @property
    def ids(self) -> set[str]:
        """The forms in which the id may be stored: as `subject_key` returns it for a text, and for a UUID."""
        found = {self.id, subject_key(self.id)}
        try:
            return found | {subject_key(uuid.UUID(self.id))}
        except ValueError:
            return found

    @property
    def events(self) -> EventQuerySet:
        """The events of the object. Served by the unique constraint ``tms_event_sequence_once``."""
        return Event.objects.filter(subject_type=self.noun, subject_id__in=sorted(self.ids))


def in_feed(events: EventQuerySet) -> Any:
    """Return the filter of queries on the feed for these events, which are read together.

    Call it after the end of the page is known: an event that is published later must come after the page.
    """
    positions = list(events.order_by().values_list("position", flat=True)[: MOST_KEYS + 1])
    if len(positions) > MOST_KEYS:
        return Q(pk__in=events.values("pk"))
    # Not by key: the indexes of the feed have organization and position.
    return KeyIn(F("position"), numbers(position for position in positions if position is not None))


def delivered_as(events: EventQuerySet) -> Any:
    """Return the filter of deliveries for these events, which are read together.

    Served by the unique constraint ``tms_delivery_once_per_webhook``.
    """
    keys = list(events.order_by().values_list("pk", flat=True)[: MOST_KEYS + 1])
    return Q(event__in=events.values("pk")) if len(keys) > MOST_KEYS else KeyIn(F("event"), numbers(keys))
