"""Save and delete the addresses that an organization's notifications go to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import router, transaction

from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.manage.audit import differences, save_changes
from tms_webhooks.models import AuditEntry, NotificationAddresses


def save(addresses: NotificationAddresses, fields: Iterable[str], *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Save new addresses, or these fields of stored ones. The audit entry has no address of a chat."""
    with transaction.atomic(using=router.db_for_write(NotificationAddresses)):
        if not addresses._state.adding:
            save_changes(addresses, fields, AuditAction.ADDRESSES_CHANGED, actor=actor, now=now)
            return
        addresses.save()
        changes = differences(None, addresses, fields=fields)
        AuditEntry.objects.record(AuditAction.ADDRESSES_CHANGED, addresses, actor=actor, now=now, changes=changes)


def delete(addresses: NotificationAddresses, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Delete the addresses of an organization."""
    stored = differences(None, addresses)
    changes = {name: {"from": one["to"], "to": ""} for name, one in stored.items() if name != "organization"}
    with transaction.atomic(using=router.db_for_write(NotificationAddresses)):
        AuditEntry.objects.record(AuditAction.ADDRESSES_CHANGED, addresses, actor=actor, now=now, changes=changes)
        addresses.delete()
