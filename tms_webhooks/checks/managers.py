"""Checks of the querysets of registered models: bulk operations must emit events."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.registry import all_sources

OPERATIONS = ("update", "bulk_update", "bulk_create", "delete")
"""The methods of Django's querysets that capture replaces."""
CALLS = re.compile(rf"\b(super|save|{'|'.join(OPERATIONS)})\(")
"""How a method of the host's reaches one that is captured."""
DONE_BY_DATABASE = ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT")


def check_managers(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of registered models, and models that extend them, with hidden rows or changes that emit no events."""
    for source in all_sources():
        rows = _queryset_of(source.model._default_manager)
        if rows is not None and rows.query.where and not source.only:
            yield message(
                "W066",
                f"The default manager of {source.model._meta.label} hides rows: hiding a row emits no event, but later "
                "changes of the hidden row do.",
                hint='Declare which rows are objects, as in only = {"deleted_at": None}. Then hiding a row is a deletion. Or '
                "silence this check, if hidden rows are objects, too.",
                obj=source,
            )
    captured = tuple({model for source in all_sources() for model in source.captured_models})
    for model in apps.get_models():
        if issubclass(model, captured):
            yield from _check_model(model)


def _queryset_of(manager: Any) -> models.QuerySet[Any] | None:
    """Return a queryset of a manager, or None: a host's manager may need a request."""
    try:
        return manager.get_queryset()  # type: ignore[no-any-return]
    except Exception:
        return None


def _check_model(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn of querysets that write rows by a method of their own, and of rows that the database itself changes."""
    parents = [base._meta for base in model.__mro__[1:] if hasattr(base, "_meta") and not base._meta.abstract]
    for manager in model._meta.managers:
        # A manager of a registered parent is reported there.
        is_inherited = any(manager.name in meta.managers_map for meta in parents)
        kind = type(_queryset_of(manager))
        names = [name for name in OPERATIONS if not is_inherited and hasattr(kind, name) and _is_own(kind, name)]
        if names:
            yield message(
                "W054",
                f"{', '.join(f'{name}()' for name in names)} of {model._meta.label}.{manager.name} may emit no events: "
                "the queryset has a method of its own, which does not call Django's.",
                hint="Have the method call super() or save(). Or silence this check, and call emit() for its changes.",
                obj=model,
            )
    # Before Django 6.1, the database does nothing by itself.
    by_database = [vars(models)[name] for name in DONE_BY_DATABASE if name in vars(models)]
    remotes = ((field.name, field.remote_field) for field in model._meta.local_fields)
    touched = [name for name, remote in remotes if getattr(remote, "on_delete", None) in by_database]
    if touched:
        yield message(
            "W056",
            f"The database itself deletes or changes rows of {model._meta.label} when the target of {', '.join(touched)} "
            "is deleted: Django sends no signal for it, and no event is emitted.",
            hint="Use an on_delete that Django itself performs, such as models.CASCADE. Or silence this check, and set "
            "reconcile = True on the source to detect these changes once a day.",
            obj=model,
        )


def _is_own(kind: type, name: str) -> bool:
    """Return whether a queryset class implements an operation without Django's."""
    function = inspect.unwrap(getattr(kind, name))
    try:
        body = inspect.getsource(function).partition(":")[2]
    except (OSError, TypeError):
        return False
    return not function.__module__.startswith("django.") and CALLS.search(body) is None
