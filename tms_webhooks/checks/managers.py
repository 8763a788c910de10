"""Checks of the querysets of registered models: bulk operations must emit events."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models
from django.db.models import Subquery, Value
from django.db.models.expressions import Col
from django.db.models.sql import AND, Query
from django.db.models.sql.where import WhereNode

from tms_webhooks.checks.messages import guess, message
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.families import at_parents
from tms_webhooks.sources.registry import all_sources

OPERATIONS = ("update", "bulk_update", "bulk_create", "delete")
"""The methods of Django's querysets that capture replaces."""

DONE_BY_DATABASE = ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT")

CALLS = frozenset({"super", "save", *OPERATIONS})
"""Names by which a method of the host's reaches one that is captured."""


def check_managers(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of registered models, and models that extend them, with bulk operations that emit no events."""
    for source in all_sources():
        yield from _check_hidden(source)
    captured = tuple({one.model for source in all_sources() for one in (source, *at_parents(source))})
    for model in apps.get_models():
        if issubclass(model, captured):
            yield from _check_own(model)
            yield from _check_database(model)


def _check_hidden(source: Source) -> Iterator[CheckMessage]:
    """Warn of a default manager that leaves rows out, such as of deleted objects, if the source does not.

    A source with `only` is reported where a filter of the manager reads columns that no path in `only` names. It is not
    reported for a filter whose columns are not known, such as a subquery: `only` may leave out the same rows.
    """
    try:
        where = source.model._default_manager.get_queryset().query.where
    except Exception:
        # A host's manager may need a request.
        return
    declared: Any = source.only
    if not isinstance(declared, Mapping):
        return  # Another check reports it.
    named = {step for path in declared for step in str(path).split(".")}
    filters = [_columns(one) for one in _conditions(where)]
    hiding = [columns for columns in filters if columns and not columns & named]
    if where and (hiding or not declared):
        yield message(
            "W066",
            f"The default manager of {source.model._meta.label} hides rows: hiding a row emits no event, but later "
            "changes of the hidden row do.",
            hint=f"Declare which rows are objects: only = {guess(_declared, source, hiding)}. Then hiding a row is a deletion. Or "
            "silence this check, if hidden rows are objects, too.",
            obj=source,
        )


def _conditions(where: Any) -> Iterator[Any]:
    """Yield the conditions that each row of a query meets."""
    if isinstance(where, WhereNode) and where.connector == AND and not where.negated:
        for child in where.children:
            yield from _conditions(child)
    else:
        yield where


def _columns(condition: Any) -> set[str]:
    """Return the names of the columns that a condition reads; empty where a part of it, such as raw SQL, hides them."""
    if isinstance(condition, Col):
        field = condition.target
        return {field.name, field.attname, *(["pk"] if field.primary_key else [])}
    if isinstance(condition, Query | Subquery) or not hasattr(condition, "get_source_expressions"):
        return set()
    parts = [_columns(one) for one in condition.get_source_expressions() if not isinstance(one, Value)]
    return set().union(*parts) if all(parts) else set()


def _declared(source: Source, hiding: list[set[str]]) -> str:
    """Return `only` as Python source: as it is declared, with an entry for each filter of the manager that it lacks."""
    if not source.only:
        return '{"deleted_at": None}'
    entries = [f'"{min(columns, key=lambda name: (len(name), name))}": …' for columns in hiding]
    return f"{{{', '.join([dictionary(source.only)[1:-1], *entries])}}}"


def _check_own(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn of querysets that write rows by a method of their own, which capture can't replace."""
    parents = [base._meta for base in model.__mro__[1:] if hasattr(base, "_meta") and not base._meta.abstract]
    for manager in model._meta.managers:
        # A manager of a registered parent is reported there.
        is_inherited = any(manager.name in meta.managers_map for meta in parents)
        names = [] if is_inherited else _uncaptured(manager)
        if names:
            yield message(
                "W054",
                f"{', '.join(f'{name}()' for name in names)} of {model._meta.label}.{manager.name} may emit no events: "
                "the queryset has a method of its own, which does not call Django's.",
                hint="Have the method call super() or save(). Or silence this check, and call emit() for its changes.",
                obj=model,
            )


def _uncaptured(manager: models.Manager[Any]) -> list[str]:
    """Return the operations that a manager's querysets implement without Django's."""
    try:
        kind = type(manager.get_queryset())
    except Exception:
        # A host's manager may need a request.
        return []
    found = []
    for name in OPERATIONS:
        owner: type = next(base for base in kind.__mro__ if name in vars(base))
        code = getattr(inspect.unwrap(vars(owner)[name]), "__code__", None)
        if not owner.__module__.startswith("django.") and code is not None and CALLS.isdisjoint(_names(code)):
            found.append(name)
    return found


def _names(code: CodeType) -> set[str]:
    """Return the names that a function uses, also in the functions and comprehensions inside it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _check_database(model: type[models.Model]) -> Iterator[CheckMessage]:
    """Warn if the database itself deletes or changes rows (such as DB_CASCADE of Django 6.1)."""
    # Before Django 6.1, it does nothing by itself.
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
