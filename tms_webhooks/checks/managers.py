"""Checks of the managers of registered models: bulk operations must emit events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.querysets import WebhookQuerySet
from tms_webhooks.sources.registry import all_sources

UNTOUCHED = (models.CASCADE, models.PROTECT, models.RESTRICT, models.DO_NOTHING)
"""Values of on_delete that change no referencing row by a queryset."""


def check_managers(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of registered models, and models that extend them, whose bulk operations emit no events."""
    sources = tuple(dict.fromkeys(source.model for source in all_sources()))
    captured = [model for model in apps.get_models() if issubclass(model, sources)]
    return [
        problem for model in captured for problem in (*_check_own(model), *_check_base(model), *_check_database(model))
    ]


def _check_own(model: type[models.Model]) -> Iterator[CheckMessage]:
    for manager in model._meta.managers:
        # A manager of a registered parent is reported there.
        if not _emits_events(manager) and not any(_has(base, manager) for base in model.__mro__[1:]):
            yield message(
                "W054",
                f"{model._meta.label}.{manager.name} makes querysets whose update(), bulk_update(), bulk_create() and "
                "delete() emit no events: Django sends no signals for them.",
                hint="Write objects = WebhookManager(), or have the manager's own queryset extend WebhookQuerySet; both "
                "are in tms_webhooks.sources. Or silence this check, and call emit() for such changes.",
                obj=model,
            )


def _check_base(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn if Django itself changes rows by a queryset that emits no events.

    Django does so when the target of SET_NULL is deleted, and in ``add()`` on the reverse side of a foreign key.
    """
    changed = [field.name for field in model._meta.local_fields if _is_changed_by_django(field)]
    if changed and not _emits_events(model._base_manager):
        yield message(
            "W055",
            f"No event is emitted when Django itself changes {', '.join(changed)} of {model._meta.label}: when the referenced "
            "object is deleted, or add() is called on the other side.",
            hint='Set base_manager_name = "objects" in its Meta. `objects` must be a WebhookManager that hides no rows.',
            obj=model,
        )


def _check_database(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn if the database itself deletes or changes rows (such as DB_CASCADE of Django 6.1)."""
    touched = [field.name for field in model._meta.local_fields if _is_changed_by_database(field)]
    if touched:
        yield message(
            "W056",
            f"The database itself deletes or changes rows of {model._meta.label} when the target of {', '.join(touched)} "
            "is deleted: Django sends no signal for it, and no event is emitted.",
            hint="Use an on_delete that Django itself performs, such as models.CASCADE. Or silence this check, and set "
            "reconcile = True on the source to detect these changes once a day.",
            obj=model,
        )


def _is_changed_by_database(field: Any) -> bool:
    return field.remote_field is not None and getattr(field.remote_field, "on_delete", None) in _done_by_database()


def _done_by_database() -> list[Any]:
    return [getattr(models, name) for name in ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT") if hasattr(models, name)]


def _is_changed_by_django(field: Any) -> bool:
    if not (field.many_to_one or field.one_to_one) or field.remote_field.parent_link:
        return False
    added = field.many_to_one and not field.remote_field.hidden
    # SET_NULL, SET_DEFAULT and SET(…) update.
    return added or field.remote_field.on_delete not in (*UNTOUCHED, *_done_by_database())


def _emits_events(manager: models.Manager[Any]) -> bool:
    return isinstance(manager.get_queryset(), WebhookQuerySet)


def _has(base: type, manager: models.Manager[Any]) -> bool:
    meta = getattr(base, "_meta", None)
    return meta is not None and not meta.abstract and manager.name in meta.managers_map
