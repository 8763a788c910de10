"""The organization model, and the path from an organization to its parent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.event_names import did_you_mean


def check_tree(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check that ORGANIZATION_PARENT, if set, names the foreign key to the parent organization."""
    organization, name = organization_model(), usable("ORGANIZATION_PARENT")
    if organization is None or not name:
        return
    fields: Any = organization._meta.concrete_fields
    to_itself = (field for field in fields if field.many_to_one and field.related_model is organization)
    parents = [field.name for field in to_itself if field.target_field.primary_key]
    if name not in parents:
        yield message(
            "E016",
            f"ORGANIZATION_PARENT is {name!r}, which is not a foreign key of {organization._meta.label} to itself.",
            hint="Name a foreign key of the organization model to itself, or remove the setting. Without it, no webhook can "
            f"include child organizations.{did_you_mean(parents)}",
        )


def organization_model() -> type[models.Model] | None:
    """Return the organization model, or None if the setting names none."""
    try:
        return apps.get_model(str(getattr(settings, ORGANIZATION_MODEL_SETTING, None)))
    except (LookupError, ValueError):
        return None  # settings.check_organization_model reports it
