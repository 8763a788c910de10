"""Dry run of a subscription: which stored events would have matched it. For hosts and for the shell."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.models import Event, Subscription
from tms_webhooks.models.audience import events_for_scope
from tms_webhooks.routing import filtered
from tms_webhooks.routing.checks import SubscriptionRules, filter_input_of

# How many events a dry run examines by default, and at most.
LATEST = 500
MOST = 5_000


@dataclass(frozen=True, slots=True)
class DryRun:
    """The number of events examined, and those that match the subscription, the latest first."""

    examined: int
    events: tuple[Event, ...]


def dry_run(subscription: Subscription, *, latest: int = LATEST) -> DryRun:
    """Return which of the ``latest`` stored events of the subscription's types match it. Nothing is sent or recorded.

    The subscription may be unsaved, but its webhook must be saved. Raises ``ValidationError`` for invalid filters, and
    ``ValueError`` if ``latest`` is below 1 or above `MOST`.
    """
    if not 1 <= latest <= MOST:
        raise ValueError(f"latest is {latest}; choose from 1 to {MOST}.")
    subscription.clean()
    webhook = subscription.webhook
    events = Event.objects.filter(
        events_for_scope(webhook.scope, using=Event.objects.db),
        Q(subscription__isnull=True) | Q(subscription=subscription.pk),
        type__in=event_names.matching(subscription.event_type),
    ).exclude(body="")
    examined = list(events.order_by("-pk")[:latest])
    rules, firsts, matching = SubscriptionRules.of(subscription), filtered.PredictedFirstOccurrences(), []
    for event in reversed(examined):
        if not rules.are_met(event, filter_input_of(event, webhook.audience)):
            continue
        if rules.is_first_only and not firsts.claim([(subscription.pk or 0, event)]):
            continue
        matching.append(event)
    return DryRun(len(examined), tuple(reversed(matching)))
