"""What a subscription would have got of the events that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.models import Event, Subscription
from tms_webhooks.models.audience import events_for_scope
from tms_webhooks.routing import filtered
from tms_webhooks.routing.checks import occasion_of

LATEST = 500
MOST = 5_000


@dataclass(frozen=True, slots=True)
class DryRun:
    """How many events were looked at, and those that the subscription would have got, the latest first."""

    looked_at: int
    events: tuple[Event, ...]


def dry_run(subscription: Subscription, *, latest: int = LATEST) -> DryRun:
    """Return which of the latest stored events of the types that it names a subscription would have got.

    It need not be saved, but has to have a webhook that is. Nothing is sent or noted down. Raises ``ValidationError``
    for filters that mean nothing, and ``ValueError`` for a number of events below 1 or above `MOST`.
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
    found = list(events.order_by("-pk")[:latest])
    firsts, kept = filtered.PredictedFirstOccurrences(), []
    for event in reversed(found):
        if not filtered.meets(subscription, event, occasion_of(event, webhook.audience)):
            continue
        if filtered.is_first_only(subscription) and not firsts.claim([(subscription.pk or 0, event)]):
            continue
        kept.append(event)
    return DryRun(len(found), tuple(reversed(kept)))
