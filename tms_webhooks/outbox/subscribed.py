"""Finds the event types that webhooks subscribe to, before any event is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache

from django.db.models import Q

from tms_webhooks.db.prepared import CompiledQuery, Parameter
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope, patterns_by_organizations
from tms_webhooks.sources.interest import subscribed_types

# The columns read from a subscription: its pattern, then the fields of `SubscriberScope` in their order.
SCOPE_COLUMNS = ("event_type", "webhook__organization_id", "webhook__audience", "webhook__include_children")


def matching_types(event_types: Iterable[str], organizations: EventOrganizations | None, *, using: str) -> set[str]:
    """Return the event types that a webhook of these organizations subscribes to, also one that is disabled now."""
    if organizations is None:
        return set()
    names = tuple(event_types)
    owner, learner, *_other = organizations
    rows = _subscriptions_query(names, using).run(owner, owner if learner is None else learner)
    scopes = [(SubscriberScope(*scope), pattern) for pattern, *scope in rows]
    return subscribed_types(names, patterns_by_organizations([organizations], scopes, using=using)[organizations])


def matching_types_by_organizations(
    organizations: Collection[EventOrganizations], event_types: Collection[str], *, using: str
) -> dict[EventOrganizations, set[str]]:
    """Return the subscribed event types of many objects, by their organizations; those without any are left out.

    Takes one query, and a second one where subscriptions include child organizations.
    """
    if len(organizations) == 1:
        (alone,) = organizations
        names = matching_types(event_types, alone, using=using)
        return {alone: names} if names else {}
    keys = {key for one in organizations for key in one.keys}
    near = Q(webhook__organization_id__in=keys) | Q(webhook__include_children=True)
    wanting = Subscription.objects.using(using).matching(event_types).filter(near)
    rows = wanting.order_by().values_list(*SCOPE_COLUMNS).distinct()
    scopes = [(SubscriberScope(*scope), pattern) for pattern, *scope in rows]
    found = patterns_by_organizations(organizations, scopes, using=using)
    return {one: names for one, patterns in found.items() if (names := subscribed_types(event_types, patterns))}


@cache
def _subscriptions_query(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    """Build the query for the subscriptions to these event types, with the keys of both organizations as parameters."""
    key = Webhook._meta.get_field("organization")
    near = Q(webhook__organization_id=Parameter(key)) | Q(webhook__organization_id=Parameter(key, 1))
    wanting = Subscription.objects.using(using).matching(event_types).filter(near | Q(webhook__include_children=True))
    return CompiledQuery(wanting.order_by().values_list(*SCOPE_COLUMNS).distinct())
