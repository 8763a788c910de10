"""Add, change, remove and replace the subscriptions of a webhook. Each one changed has an audit entry of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import router, transaction

from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.manage.audit import differences, save_changes
from tms_webhooks.models import AuditEntry, Subscription, Webhook


class SubscriptionChanges(NamedTuple):
    """What makes the subscriptions of a webhook equal to others: new ones, pairs of a stored one and its new values, and removed ones."""

    added: list[Subscription]
    changed: list[tuple[Subscription, Subscription]]
    removed: list[Subscription]

    def __bool__(self) -> bool:
        return any(self)


def changes_to(stored: Sequence[Subscription], wanted: Iterable[Subscription]) -> SubscriptionChanges:
    """Return the changes that turn the stored subscriptions into the wanted ones. Nothing is written.

    A wanted one with the key of a stored one is that one. Of the others, equal ones are kept, and then one of the same
    event is changed. Its row holds the history of its events: with another window it emits none of them again.
    """
    left = {one.pk: one for one in stored}
    new: list[Subscription] = []
    pairs: list[tuple[Subscription, Subscription]] = []
    for one in wanted:
        pairs.append((left.pop(one.pk), one)) if one.pk in left else new.append(one)
    for key in (_values, lambda one: one.event_type):
        for one in list(new):
            former = next((row for row in left.values() if key(row) == key(one)), None)
            if former is not None:
                new.remove(one)
                pairs.append((left.pop(former.pk), one))
    changed = [(before, after) for before, after in pairs if _values(before) != _values(after)]
    return SubscriptionChanges(new, changed, list(left.values()))


def replace(
    webhook: Webhook, wanted: Iterable[Subscription], *, now: datetime, actor: Actor = SYSTEM
) -> SubscriptionChanges:
    """Make the subscriptions of a webhook equal to the wanted ones, as `changes_to` says; return the changes.

    Raise `LimitReached` if they are too many.
    """
    with Webhook.objects.locked(webhook.pk):
        changes = changes_to(list(webhook.subscriptions.order_by("pk")), wanted)
        # First: the number of subscriptions is limited.
        for one in changes.removed:
            remove(one, actor=actor, now=now)
        for before, after in changes.changed:
            after.pk, after.uid, after.webhook, after._state.adding = before.pk, before.uid, webhook, False
            update(after, actor=actor, now=now)
        add(webhook, changes.added, actor=actor, now=now)
    return changes


def add(webhook: Webhook, subscriptions: Sequence[Subscription], *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Save new subscriptions of a webhook. Raise `LimitReached` if it would have too many."""
    with transaction.atomic(using=router.db_for_write(Subscription)):
        Subscription.objects.add_to(webhook, subscriptions)
        for one in subscriptions:
            values = differences(None, one, fields=one.CONFIGURED)
            AuditEntry.objects.record(AuditAction.SUBSCRIPTION_CREATED, one, actor=actor, now=now, changes=values)


def update(subscription: Subscription, *, now: datetime, actor: Actor = SYSTEM) -> Mapping[str, Any]:
    """Save the fields in which a subscription differs from its row; return the differences, as in the audit log."""
    with Webhook.objects.locked(subscription.webhook_id):
        action = AuditAction.SUBSCRIPTION_UPDATED
        return save_changes(subscription, subscription.CONFIGURED, action, actor=actor, now=now)


def remove(subscription: Subscription, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Delete a subscription. Queued deliveries are still sent."""
    with Webhook.objects.locked(subscription.webhook_id):
        event = {"event_type": subscription.event_type}
        AuditEntry.objects.record(AuditAction.SUBSCRIPTION_DELETED, subscription, actor=actor, now=now, changes=event)
        subscription.delete()


def _values(subscription: Subscription) -> list[Any]:
    return [getattr(subscription, name) for name in subscription.CONFIGURED]
