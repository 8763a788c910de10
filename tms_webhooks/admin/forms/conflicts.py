"""Two people at one form: what somebody else changed while it was open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.encryption import Sealed

EVENTS = "events"
CHANGES = (
    AuditAction.WEBHOOK_UPDATED,
    AuditAction.WEBHOOK_ENABLED,
    AuditAction.WEBHOOK_DISABLED,
    AuditAction.SUBSCRIPTION_CREATED,
    AuditAction.SUBSCRIPTION_UPDATED,
    AuditAction.SUBSCRIPTION_DELETED,
)


def state_of(webhook: Webhook, names: Iterable[str]) -> dict[str, str]:
    """Return a mark of each of these fields, and one of the events: another mark is another value."""
    marks = {name: _mark(getattr(webhook, _attribute(name))) for name in names}
    rows = webhook.subscriptions.order_by("pk")
    asked = rows.values_list("event_type", "more_than_days", "less_than_days", "filters", "condition")
    return {**marks, EVENTS: _mark([list(row) for row in asked])}


def written(state: Mapping[str, str]) -> str:
    """Return marks as the form carries them."""
    return json.dumps(state, separators=(",", ":"))


def changed_since(seen: str, now: Mapping[str, str]) -> list[str]:
    """Return the names of what has another mark than the form carried; nothing where it carried none."""
    try:
        before = json.loads(seen or "{}")
    except ValueError:
        return []
    if not isinstance(before, dict):
        return []
    return [name for name, mark in now.items() if before.get(name, mark) != mark]


def last_editor(webhook: Webhook) -> str:
    """Return who changed it last, by the audit log; nothing where it does not tell."""
    entry = AuditEntry.objects.filter(webhook=webhook, action__in=CHANGES).order_by("-pk").first()
    return "" if entry is None else entry.actor_label


def _attribute(name: str) -> str:
    field: Any = Webhook._meta.get_field(name)
    return str(field.attname)


def _mark(value: Any) -> str:
    text = value.token if isinstance(value, Sealed) else json.dumps(value, sort_keys=True, cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
