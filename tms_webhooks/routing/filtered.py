"""Match events against subscriptions with filters, in bulk: each event and subscription is read once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from django.db import router

from tms_webhooks import event_names
from tms_webhooks.db.lookups import key_in
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, FilterInput
from tms_webhooks.models import Event, FirstOccurrence, Subscription, Webhook
from tms_webhooks.routing.checks import EventCheck, checks_of, filter_input_of

# The columns of an event that filters and first occurrences need.
COLUMNS = (
    *("type", "body", "subject_type", "subject_id"),
    *("organization_id", "learner_organization_id", "subscription_id"),
)

logger = logging.getLogger(__name__)

# The keys of an event and of a subscription.
Pair = tuple[int, int]


class FirstOccurrences(Protocol):
    """Decides which events are the first of their type and object for a subscription."""

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return the keys of the subscription and the event for each candidate that is the first, in this order."""


class PredictedFirstOccurrences:
    """Predicts first occurrences without recording them, as if all candidates were sent."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str, str], int | None] = {}

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return the keys of the subscription and the event for each candidate that would be the first."""
        firsts = set()
        for subscription_id, event in candidates:
            kind = (subscription_id, event.type, event.subject_type, event.subject_id)
            if kind not in self._seen:
                self._seen[kind] = FirstOccurrence.objects.of(subscription_id, event) or event.pk
            if self._seen[kind] == event.pk:
                firsts.add((subscription_id, event.pk))
        return firsts


def matching(pairs: Collection[Pair], *, firsts: FirstOccurrences | None = None) -> set[Pair]:
    """Return the pairs whose event matches the filters and the condition of its subscription.

    Each pair is an event and a subscription to its type. Call this in the transaction that creates the deliveries: by
    default it records first occurrences. Pass `PredictedFirstOccurrences` as ``firsts`` to record nothing.
    """
    subscriptions = _subscriptions({subscription for _event, subscription in pairs})
    events = _events({event for event, _subscription in pairs})
    inputs: dict[tuple[int, str], FilterInput] = {}
    matched: set[Pair] = set()
    candidates: list[tuple[int, Event]] = []
    for event_id, subscription_id in sorted(pairs):
        event, subscription = events.get(event_id), subscriptions.get(subscription_id)
        if event is None or subscription is None:
            continue
        audience = subscription.webhook.audience
        if (event_id, audience) not in inputs:
            inputs[event_id, audience] = filter_input_of(event, audience)
        if not meets(subscription, event, inputs[event_id, audience]):
            continue
        if is_first_only(subscription):
            candidates.append((subscription_id, event))
        else:
            matched.add((event_id, subscription_id))
    claimed = (firsts or FirstOccurrence.objects).claim(candidates) if candidates else set()
    return matched | {(event, subscription) for subscription, event in claimed}


def matching_events(
    webhook: Webhook, event_ids: Collection[int], *, firsts: FirstOccurrences | None = None
) -> list[int]:
    """Return which of these events match a subscription of the webhook, in their order.

    All events must be of organizations whose events the webhook receives.
    """
    subscriptions, events = list(webhook.subscriptions.all()), _events(event_ids)
    pairs = {
        (event.pk, subscription.pk)
        for event in events.values()
        for subscription in subscriptions
        if matches(subscription, event)
    }
    matched = {event for event, _subscription in matching(pairs, firsts=firsts)}
    return [pk for pk in event_ids if pk in matched]


def matches(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription includes the event's type, and the event was not created for another subscription."""
    return event.subscription_id in (None, subscription.pk) and is_of_type(subscription, event)


def is_of_type(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription includes the type of an event."""
    return subscription.event_type in event_names.patterns_for(event.type)


def meets(subscription: Subscription, event: Event, given: FilterInput) -> bool:
    """Return whether an event matches the filters and the condition of a subscription, except `FIRST_OCCURRENCE`."""
    return all(holds(check, subscription, event, given) for check in checks_of(subscription, event.type))


def holds(check: EventCheck, subscription: Subscription, event: Event, given: FilterInput) -> bool:
    """Return whether a check holds for an event; False if it raises, so that one check can't stop the fan-out."""
    try:
        return check.holds(given)
    except Exception:
        logger.exception("The check of subscription %s failed for event %s: %s.", subscription.pk, event.pk, check.name)
        return False


def is_first_only(subscription: Subscription) -> bool:
    """Return whether a subscription matches only the first event of each type and object."""
    return isinstance(subscription.filters, dict) and subscription.filters.get(FIRST_OCCURRENCE) is True


def _subscriptions(keys: Iterable[int]) -> dict[int, Subscription]:
    rows = Subscription.objects.using(router.db_for_write(Subscription)).filter(key_in(keys))
    return {row.pk: row for row in rows.select_related("webhook").order_by()}


def _events(keys: Iterable[int]) -> dict[int, Event]:
    rows = Event.objects.using(router.db_for_write(Event)).filter(key_in(keys))
    return {row.pk: row for row in rows.only(*COLUMNS).order_by()}
