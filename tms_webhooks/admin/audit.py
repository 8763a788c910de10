"""Writing down what the signed-in person did: in the audit log, which outlives the row and the person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from tms_webhooks.access import get_policy
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Webhook


def write_down(
    request: HttpRequest,
    action: AuditAction,
    webhook: Webhook,
    *,
    now: datetime,
    target: str = "",
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry, in the transaction in which it is done; see `AuditEntryManager.record`."""
    actor = get_policy().caller(request)
    AuditEntry.objects.record(action, actor=actor, webhook=webhook, now=now, target=target, changes=changes)
