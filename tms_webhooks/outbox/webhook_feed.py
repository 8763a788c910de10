"""The feed of one webhook: the events that its subscriptions match, in the order and with the cursors of the catch-up feed.

A pull-only webhook is read like this; nothing is sent to it. Any other webhook can be compared with its feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db import router, transaction
from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.models import Event, FirstOccurrence, Webhook
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import EventQuerySet, conditions_of, in_feed
from tms_webhooks.models.organization import organization_model
from tms_webhooks.outbox import feed
from tms_webhooks.routing import filtered

# Events that one page examines at most. If few match, the page is short, and its cursor is past those examined.
EXAMINED = 1_000
# The columns of an event that decide whether its filters are evaluated.
COLUMNS = (
    *("position", "type", "subject_id", "organization", "learner_organization", "subscription", "webhook"),
    *("actor_kind", "actor_id"),
)


class Selection(NamedTuple):
    """What a webhook's subscriptions are about, before their filters: organizations, event names, and its subscriptions."""

    webhook: Webhook
    organizations: frozenset[Any]
    names: frozenset[str]
    subscriptions: frozenset[int]

    @classmethod
    def of(cls, webhook: Webhook) -> Selection:
        """Query the subscriptions of a webhook, and the organizations below its own if it includes them."""
        rows = dict(webhook.subscriptions.values_list("pk", "event_type"))
        names = {name for pattern in rows.values() for name in event_names.matching(pattern)}
        keys = webhook.scope.organizations(using=router.db_for_read(Event))
        return cls(webhook, frozenset(keys), frozenset(names), frozenset(rows))

    def includes(self, event: Event) -> bool:
        """Return whether an event is for the webhook, by organization, type and subscription. Reads no body."""
        if event.webhook_id is not None:
            return event.webhook_id == self.webhook.pk
        organizations = EventOrganizations(event.organization_id, event.learner_organization_id)
        if not self.webhook.scope.includes(organizations, self.organizations) or self.webhook.is_subject_of(
            event.type, event.subject_id
        ):
            return False
        if self.webhook.skips(actor_kind=event.actor_kind, actor_id=event.actor_id):
            return False
        if event.subscription_id is not None:
            return event.subscription_id in self.subscriptions
        return event.type in self.names

    @property
    def conditions(self) -> list[Q]:
        """The filters of the events of its organizations, each served by an index in the order of the feed."""
        return conditions_of(self.webhook.scope, self.organizations)


def read(
    webhook: Webhook, *, now: datetime, after: str = "", among: Iterable[EventQuerySet] = (), limit: int = 100
) -> feed.Page:
    """Return up to ``limit`` events of a webhook after a cursor, oldest first. Examines about `EXAMINED` events at most.

    ``among`` are choices of few events, such as those of one object; only events that are in each are examined.

    It takes and returns the cursors of `feed.read`, and raises the same `CursorError`. A page may be shorter than
    ``limit``, or empty, and have more after it.
    """
    owner = apps.get_model(organization_model())._base_manager.filter(pk=webhook.organization_id)
    start, selection = feed.begin(owner, now=now, after=after), Selection.of(webhook)
    conditions = list(map(in_feed, among))
    position, examined, found, has_more = start.position, 0, list[Event](), True
    while has_more and len(found) < limit and examined < EXAMINED:
        published = Event.objects.filter(*conditions, position__gt=position, position__lte=start.end)
        rows = list(feed.first_events(published, selection.conditions, limit + 1).only(*COLUMNS))
        chunk, has_more = rows[:limit], len(rows) > limit
        matching = _matching(selection, chunk)
        fitting = matching[: limit - len(found)]
        found += fitting
        examined += len(chunk)
        if len(fitting) < len(matching):
            has_more = True
            position = fitting[-1].position or 0
        else:
            position = (chunk[-1].position or 0) if has_more else start.end
    whole = Event.objects.in_bulk([event.pk for event in found])
    events = [whole[event.pk] for event in found if event.pk in whole]
    return feed.Page(events, feed.cursor_at(position, start.owner), has_more)


def _matching(selection: Selection, events: Sequence[Event]) -> list[Event]:
    """Return which of these events match a subscription of the webhook, with its filters and its condition."""
    included = [event for event in events if selection.includes(event)]
    # A snapshot has applied the filters to the events that it made for the webhook.
    made = {event.pk for event in included if event.webhook_id is not None}
    keys = [event.pk for event in included if event.pk not in made]
    if not keys:
        return included
    # Nothing is sent to a pull-only webhook: what its feed shows first is the first occurrence.
    firsts = FirstOccurrence.objects
    claim = firsts.claim if selection.webhook.pull_only else firsts.recorded
    with transaction.atomic(using=router.db_for_write(FirstOccurrence)):
        matching = set(filtered.matching_events(selection.webhook, keys, claim=claim))
    return [event for event in included if event.pk in matching or event.pk in made]
