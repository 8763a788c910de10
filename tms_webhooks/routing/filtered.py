"""From candidates to the events that subscriptions with filters want: many at once, and each looked into once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from django.db import router

from tms_webhooks import event_names
from tms_webhooks.db.lookups import key_in
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, FilterInput
from tms_webhooks.models import Event, FirstOccurrence, Subscription, Webhook
from tms_webhooks.routing.checks import EventCheck, checks_of, occasion_of

# Of an event, what filters look at and what tells whether it is the first.
LOOKED_AT = (
    *("type", "body", "subject_type", "subject_id"),
    *("organization_id", "learner_organization_id", "subscription_id"),
)

logger = logging.getLogger(__name__)

Pair = tuple[int, int]
"""The keys of an event and of a subscription."""


class FirstOccurrences(Protocol):
    """Tells which events are the first of their type and object for a subscription."""

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return those of these that are, in this order, as the keys of a subscription and an event."""


class PredictedFirstOccurrences:
    """Tells the same without noting it down: what would be the first, if all that it is asked about was sent."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str, str], int | None] = {}

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return those of these that would be."""
        found = set()
        for subscription_id, event in candidates:
            kind = (subscription_id, event.type, event.subject_type, event.subject_id)
            if kind not in self._seen:
                self._seen[kind] = FirstOccurrence.objects.of(subscription_id, event) or event.pk
            if self._seen[kind] == event.pk:
                found.add((subscription_id, event.pk))
        return found


def matching(pairs: Collection[Pair], *, firsts: FirstOccurrences | None = None) -> set[Pair]:
    """Return those pairs of an event and a subscription to its type in which the subscription wants the event.

    Call it in the transaction that makes the deliveries: an event that is the first of its kind for a subscription
    counts as told by it, if ``firsts`` does not say otherwise.
    """
    subscriptions = _subscriptions({subscription for _event, subscription in pairs})
    events = _events({event for event, _subscription in pairs})
    occasions: dict[tuple[int, str], FilterInput] = {}
    found: set[Pair] = set()
    candidates: list[tuple[int, Event]] = []
    for event_id, subscription_id in sorted(pairs):
        event, subscription = events.get(event_id), subscriptions.get(subscription_id)
        if event is None or subscription is None:
            continue
        audience = subscription.webhook.audience
        if (event_id, audience) not in occasions:
            occasions[event_id, audience] = occasion_of(event, audience)
        if not meets(subscription, event, occasions[event_id, audience]):
            continue
        if is_first_only(subscription):
            candidates.append((subscription_id, event))
        else:
            found.add((event_id, subscription_id))
    noted = (firsts or FirstOccurrence.objects).claim(candidates) if candidates else set()
    return found | {(event, subscription) for subscription, event in noted}


def matching_events(
    webhook: Webhook, event_ids: Collection[int], *, firsts: FirstOccurrences | None = None
) -> list[int]:
    """Return which of these events, all of which come to a webhook, any of its subscriptions wants, in their order."""
    subscriptions, events = list(webhook.subscriptions.all()), _events(event_ids)
    pairs = {
        (event.pk, subscription.pk)
        for event in events.values()
        for subscription in subscriptions
        if matches(subscription, event)
    }
    chosen = {event for event, _subscription in matching(pairs, firsts=firsts)}
    return [pk for pk in event_ids if pk in chosen]


def matches(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription asks for events of this type, and the event is not made for another one."""
    return event.subscription_id in (None, subscription.pk) and is_of_type(subscription, event)


def is_of_type(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription names the type of an event."""
    return subscription.event_type in event_names.patterns_for(event.type)


def meets(subscription: Subscription, event: Event, occasion: FilterInput) -> bool:
    """Return whether an event meets the filters and the condition of a subscription, all but the first occurrence."""
    return all(holds(check, subscription, event, occasion) for check in checks_of(subscription, event.type))


def holds(check: EventCheck, subscription: Subscription, event: Event, occasion: FilterInput) -> bool:
    """Return what a check says of an event: no, where it fails. It must hold up neither the others nor the fan-out."""
    try:
        return check.holds(occasion)
    except Exception:
        logger.exception("Subscription %s could not ask about event %s: %s.", subscription.pk, event.pk, check.name)
        return False


def is_first_only(subscription: Subscription) -> bool:
    """Return whether a subscription wants the first event of its type for each object, and no more."""
    return isinstance(subscription.filters, dict) and subscription.filters.get(FIRST_OCCURRENCE) is True


def _subscriptions(keys: Iterable[int]) -> dict[int, Subscription]:
    rows = Subscription.objects.using(router.db_for_write(Subscription)).filter(key_in(keys))
    return {row.pk: row for row in rows.select_related("webhook").order_by()}


def _events(keys: Iterable[int]) -> dict[int, Event]:
    rows = Event.objects.using(router.db_for_write(Event)).filter(key_in(keys))
    return {row.pk: row for row in rows.only(*LOOKED_AT).order_by()}
