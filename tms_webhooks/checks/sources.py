"""Checks of the sources that a host declares in ``webhooks.py``, in their order."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage
from django.db import router

from tms_webhooks.checks import (
    activities,
    attributes,
    custom,
    declarations,
    events,
    fields,
    forms,
    learning_paths,
    nulls,
    organizations,
    registered,
    statuses,
)
from tms_webhooks.checks.messages import message
from tms_webhooks.models import Event
from tms_webhooks.sources.registry import all_sources

CHECKS = (
    registered.check,
    attributes.check,
    fields.check,
    nulls.check,
    custom.check,
    declarations.check,
    organizations.check,
    statuses.check,
    events.check,
    learning_paths.check,
    activities.check,
)


def check_sources(**_kwargs: Any) -> list[CheckMessage]:
    """Check all sources. Check the form of each first, because other checks read several sources."""
    sources = all_sources()
    if not sources:
        return [
            message(
                "I053",
                "No model is registered as a source: only `emit` creates events.",
                hint="Register your models in the module `webhooks.py` of an app in INSTALLED_APPS.",
            )
        ]
    malformed = [problem for source in sources for problem in forms.check(source)]
    return malformed or [problem for source in sources for check in CHECKS for problem in check(source)]


def check_databases(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of models in another database than their events."""
    outbox = router.db_for_write(Event)
    aliases = {source.model: router.db_for_write(source.model) for source in all_sources()}
    return [
        message(
            "W052",
            f"{model._meta.label} is written to the database {alias!r}, but events are sent from {outbox!r}: no event of "
            "this model is sent.",
            hint=f"Let your router send tms_webhooks to {alias!r} too, or unregister this model and call `emit`.",
            obj=model,
        )
        for model, alias in aliases.items()
        if alias != outbox
    ]
