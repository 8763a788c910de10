"""List actions that call a record's own verb, one record at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest

from example_project.training.exceptions import RefusedError

AdminAction = Callable[[ModelAdmin, HttpRequest, Iterable[Any]], None]


def for_each(verb: Callable[[Any], object], *, label: str) -> AdminAction:
    """Make an admin action that calls ``verb`` with each selected record and tells which ones refused.

    ``label`` is what the list of actions shows; ``%(verbose_name_plural)s`` stands for the model's name.
    """

    def action(model_admin: ModelAdmin, request: HttpRequest, queryset: Iterable[Any]) -> None:
        done = 0
        for record in queryset:
            try:
                verb(record)
            except RefusedError as error:
                model_admin.message_user(request, str(error), messages.WARNING)
            else:
                done += 1
        name = _name_of(model_admin.model, done)
        model_admin.message_user(request, f"{done} {name} changed.", messages.SUCCESS if done else messages.INFO)

    action.__name__ = label.split(" selected")[0].lower().replace(" ", "_").replace("-", "_")
    action.short_description = label  # type: ignore[attr-defined]
    action.allowed_permissions = ("change",)  # type: ignore[attr-defined]
    return action


def _name_of(model: type[Model], count: int) -> str:
    options = model._meta
    return str(options.verbose_name if count == 1 else options.verbose_name_plural)
