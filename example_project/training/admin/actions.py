"""List actions: a record's own verb, one record at a time, or one update of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from example_project.training.exceptions import RefusedError

AdminAction = Callable[[ModelAdmin, HttpRequest, QuerySet[Any]], None]


def for_all(values: Callable[[], dict[str, Any]], *, label: str) -> AdminAction:
    """Make an admin action that gives these values to all selected records in one update.

    ``label`` is as for `for_each`.
    """

    def action(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        _show_count(model_admin, request, queryset.update(**values()))

    return _described(action, label)


def for_each(verb: Callable[[Any], object], *, label: str) -> AdminAction:
    """Make an admin action that calls ``verb`` with each selected record and reports the records that refused it.

    ``label`` is what the list of actions shows; ``%(verbose_name_plural)s`` stands for the model's name.
    """

    def action(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        done = 0
        for record in queryset:
            try:
                verb(record)
            except RefusedError as error:
                model_admin.message_user(request, str(error), messages.WARNING)
            else:
                done += 1
        _show_count(model_admin, request, done)

    return _described(action, label)


def _show_count(model_admin: ModelAdmin, request: HttpRequest, done: int) -> None:
    name = _name_of(model_admin.model, done)
    model_admin.message_user(request, f"{done} {name} changed.", messages.SUCCESS if done else messages.INFO)


def _described(action: AdminAction, label: str) -> AdminAction:
    action.__name__ = label.split(" selected")[0].lower().replace(" ", "_").replace("-", "_")
    action.short_description = label  # type: ignore[attr-defined]
    action.allowed_permissions = ("change",)  # type: ignore[attr-defined]
    return action


def _name_of(model: type[Model], count: int) -> str:
    options = model._meta
    return str(options.verbose_name if count == 1 else options.verbose_name_plural)
