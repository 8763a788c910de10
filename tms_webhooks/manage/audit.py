"""Save the changes of a row with their audit entry, which has no secret, header value or credential in a URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import models

from tms_webhooks.actors import Actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry
from tms_webhooks.models.encryption import EncryptedTextField
from tms_webhooks.net.urls import MASK
from tms_webhooks.validators import shorten

LONGEST_VALUE = 500


def save_changes(
    row: models.Model, fields: Iterable[str], action: AuditAction, *, actor: Actor, now: datetime
) -> Mapping[str, Any]:
    """Save those of these fields that differ from the stored row; return the `differences`.

    Call it in a transaction. Without a difference, nothing is written.
    """
    before = type(row)._default_manager.select_for_update().get(pk=row.pk)
    changes = differences(before, row, fields=fields)
    if changes:
        stamps = [field.name for field in row._meta.concrete_fields if getattr(field, "auto_now", False)]
        row.save(update_fields=[*changes, *stamps])
        AuditEntry.objects.record(action, row, actor=actor, now=now, changes=changes)
    return changes


def differences(
    before: models.Model | None, after: models.Model, *, fields: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the changes between two states of a row as the log stores them: ``{"name": {"from": "A", "to": "B"}}``.

    ``before`` is None for a new row, whose values are all changes. ``fields`` are the names to compare; None stands for
    all editable fields. Secrets are masked, and URLs are cut to their host.
    """
    changes: dict[str, Any] = {}
    names = None if fields is None else set(fields)
    for field in after._meta.concrete_fields:
        if field.primary_key or not (field.editable if names is None else field.name in names):
            continue
        old = None if before is None else getattr(before, field.attname)
        new = getattr(after, field.attname)
        if old != new and not (before is None and new in (None, "")):
            changes[field.name] = {"from": _loggable(field, old), "to": _loggable(field, new)}
    return changes


def _loggable(field: models.Field[Any, Any], value: Any) -> Any:
    if value in (None, ""):
        return value
    if isinstance(field, EncryptedTextField):
        return MASK
    if field.name == "url":
        # Only its host is logged, because integrators put credentials into URLs. `urlsplit` raises on malformed queries
        # only, and they are not logged.
        parts = urlsplit(str(value).partition("?")[0])
        return f"{parts.scheme}://{parts.netloc}/…"
    return shorten(value, longest=LONGEST_VALUE) if isinstance(value, str) else value
