"""What the document looks like: its version, its keys, and the fields of the models that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from tms_webhooks.models import Subscription, Webhook

VERSION = 1

# Each has a form of its own in the document.
SPECIAL = frozenset({"organization", "headers", "enabled"})
EVENT = "event"
EVENT_FIELD = "event_type"

Fields = Mapping[str, "models.Field[Any, Any]"]


@cache
def webhook_fields() -> Fields:
    """Return the fields of a webhook that people may edit, but for those that are written in a form of their own."""
    return {name: field for name, field in _editable(Webhook).items() if name not in SPECIAL}


@cache
def subscription_fields() -> Fields:
    """Return the fields of a subscription by their keys in the document."""
    fields = _editable(Subscription)
    del fields["webhook"]
    return {EVENT if name == EVENT_FIELD else name: field for name, field in fields.items()}


def _editable(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    own = (field for field in model._meta.concrete_fields if field.editable and not field.primary_key)
    return {field.name: field for field in own}


@cache
def organization_key() -> str:
    """Return the attribute of an organization that names it in the document: its external id, where it has one."""
    model: Any = Webhook._meta.get_field("organization").related_model
    try:
        model._meta.get_field("external_id")
    except FieldDoesNotExist:
        return "pk"
    return "external_id"


def variable_name(*parts: str) -> str:
    """Return a name for an environment variable that is made of these parts."""
    name = "_".join(re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_").upper() for part in parts)
    return f"WEBHOOK_{name}"
