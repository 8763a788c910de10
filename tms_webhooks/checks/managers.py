"""Checks of the managers of registered models: what their querysets change has to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.querysets import WebhookQuerySet
from tms_webhooks.sources.registry import all_sources


def check_managers(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of the querysets of registered models, and of those that extend them, whose bulk operations tell nobody."""
    sources = tuple(dict.fromkeys(source.model for source in all_sources()))
    told = [model for model in apps.get_models() if issubclass(model, sources)]
    return [problem for model in told for problem in (*_check_own(model), *_check_base(model), *_check_database(model))]


def _check_own(model: type[models.Model]) -> Iterator[CheckMessage]:
    for manager in model._meta.managers:
        # What stands on a registered parent is told of there.
        if not _tells(manager) and not any(_has(base, manager) for base in model.__mro__[1:]):
            yield message(
                "W054",
                f"{model._meta.label}.{manager.name} makes querysets whose update(), bulk_update(), bulk_create() and "
                "delete() tell nobody: Django sends no signal for them.",
                hint="Write objects = WebhookManager(), or have the manager's own queryset extend WebhookQuerySet; both "
                "are in tms_webhooks.sources. Or silence this, and emit() what such a change means.",
                obj=model,
            )


def _check_base(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn where Django itself would change rows by a queryset that tells nobody.

    It does so where a target of SET_NULL goes, and in ``add()`` of the many objects that refer to one.
    """
    changed = [field.name for field in model._meta.local_fields if _is_changed_by_django(field)]
    if changed and not _tells(model._base_manager):
        yield message(
            "W055",
            f"Nobody is told where Django itself changes {', '.join(changed)} of {model._meta.label}: where what it refers "
            "to is deleted, or add() is called on the other side.",
            hint='Write base_manager_name = "objects" into its Meta, where objects is a WebhookManager that hides no rows.',
            obj=model,
        )


def _check_database(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn where the database deletes or changes rows by itself (DB_CASCADE and its like, of Django 6.1)."""
    touched = [field.name for field in model._meta.local_fields if _is_changed_by_database(field)]
    if touched:
        yield message(
            "W056",
            f"The database itself deletes or changes rows of {model._meta.label} when what their {', '.join(touched)} "
            "refers to is deleted: Django sends no signal for it, and nobody is told.",
            hint="Use the on_delete that Django does itself, such as models.CASCADE. Or silence this, and let "
            "reconcile = True find it within a day.",
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


UNTOUCHED = (models.CASCADE, models.PROTECT, models.RESTRICT, models.DO_NOTHING)


def _tells(manager: models.Manager[Any]) -> bool:
    return isinstance(manager.get_queryset(), WebhookQuerySet)


def _has(base: type, manager: models.Manager[Any]) -> bool:
    meta = getattr(base, "_meta", None)
    return meta is not None and not meta.abstract and manager.name in meta.managers_map
