"""Checks of changes of registered models that emit no events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.registry import all_sources

DONE_BY_DATABASE = ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT")


def check_managers(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of registered models, and models that extend them, with hidden rows or changes that emit no events."""
    for source in all_sources():
        # A host's manager may need a request.
        with suppress(Exception):
            if source.model._default_manager.get_queryset().query.where and not source.only:
                yield message(
                    "W066",
                    f"The default manager of {source.model._meta.label} hides rows: hiding a row emits no event, but later "
                    "changes of the hidden row do.",
                    hint='Declare which rows are objects, as in only = {"deleted_at": None}. Then hiding a row is a deletion. '
                    "Or silence this check, if hidden rows are objects, too.",
                    obj=source,
                )
    # Before Django 6.1, the database does nothing by itself.
    by_database = [vars(models)[name] for name in DONE_BY_DATABASE if name in vars(models)]
    captured = tuple({model for source in all_sources() for model in source.captured_models})
    for model in apps.get_models():
        keys = model._meta.local_fields
        touched = [key.name for key in keys if getattr(key.remote_field, "on_delete", None) in by_database]
        if touched and issubclass(model, captured):
            yield message(
                "W056",
                f"The database itself deletes or changes rows of {model._meta.label} when the target of {', '.join(touched)} "
                "is deleted: Django sends no signal for it, and no event is emitted.",
                hint="Use an on_delete that Django itself performs, such as models.CASCADE. Or silence this check, and set "
                "reconcile = True on the source to detect these changes once a day.",
                obj=model,
            )
