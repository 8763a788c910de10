"""Read the raw values of objects from the database, those that SQL can read and those that only Python can follow."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models

from tms_webhooks.computed import Computed
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import SavepointAtStatement
from tms_webhooks.db.prepared import CompiledQuery, Parameter
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.mapping import OWNERS, MappedField, input_name
from tms_webhooks.sources.paths import references_of

logger = logging.getLogger(__name__)

# The labels of models with the names of their values that could not be read, which are reported once.
_reported: set[tuple[str, str]] = set()


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Return all raw values that a payload needs, also those behind foreign keys; None if the row doesn't exist.

    This takes one query; paths that only Python can follow take a second one, which loads the saved object.
    """
    names, query = _query_whole(source, using)
    rows = query.run(key)
    if not rows:
        return None
    raw = dict(zip(names, rows[0], strict=True))
    if followed := followed_fields(source):
        raw.update(follow_paths(followed, source.model._base_manager.using(using).get(pk=key), using=using))
    return raw


@cache
def followed_fields(source: Source) -> dict[str, MappedField]:
    """Return the fields that only Python can read, by their canonical names."""
    return {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}


@cache
def compared_properties(source: Source) -> dict[str, MappedField]:
    """Return the properties that may change with the row itself: those that read columns of it."""
    columns = {*source.own, *source.keys_behind}
    return {
        name: mapped
        for name, mapped in followed_fields(source).items()
        if isinstance(path := source.path_of(name), Computed)
        and any(one in columns or input_name(one) in columns for one in path.paths)
    }


@cache
def followed_organizations(source: Source) -> dict[str, MappedField]:
    """Return the values that only Python can read and that say whose the object is. Any column may change them."""
    names = (OWNER, OWNERS, LEARNER_ORGANIZATION.name)
    return {name: mapped for name, mapped in followed_fields(source).items() if name in names}


@cache
def compared_names(source: Source) -> tuple[str, ...]:
    """Return the canonical names of the values that are read before a change of the row itself."""
    return (*source.own, *{**compared_properties(source), **followed_organizations(source)})


@cache
def _query_whole(source: Source, using: str) -> tuple[list[str], CompiledQuery]:
    """Return the names of the values of `read_whole`, and its query."""
    lookups = {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}
    return list(lookups), CompiledQuery(at_key(source, using).values_list(*lookups.values()))


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, names: Collection[str] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Return pairs of key and raw values for many rows, in their order.

    This takes one query; paths that only Python can follow take a second one. ``names`` limits the values to those
    canonical names. Of a value that Python fails to read, see `_unreadable`.
    """
    selected = {name: mapped for name, mapped in source.mapped.items() if names is None or name in names}
    columns = {name: mapped.lookup for name, mapped in selected.items() if mapped.lookup is not None}
    followed = {name: mapped for name, mapped in selected.items() if mapped.lookup is None}
    values = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and values:
        _follow_all(source, followed, values, using=rows.db)
    return values


def _follow_all(
    source: Source, followed: dict[str, MappedField], values: list[tuple[Any, dict[str, Any]]], *, using: str
) -> None:
    """Add the values that only Python can follow to those of many rows; in one savepoint at most unless one of them fails."""
    related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
    rows = source.model._base_manager.using(using)
    instances = (rows.select_related(*related) if related else rows).in_bulk([key for key, _raw in values])
    try:
        with SavepointAtStatement(using):
            added = [{name: mapped.read(instances[key]) for name, mapped in followed.items()} for key, _raw in values]
    except Exception:
        # Read each object in a savepoint of its own, so that only the failing one lacks values.
        added = [follow_paths(followed, instances[key], using=using) for key, _raw in values]
    for (_key, raw), more in zip(values, added, strict=True):
        raw.update(more)


def follow_paths(followed: dict[str, MappedField], instance: models.Model, *, using: str) -> dict[str, Any]:
    """Return values that only Python can follow. A failing property must not break the host's transaction."""
    raw: dict[str, Any] = {}
    left = list(followed)
    while left:
        try:
            with SavepointAtStatement(using):
                while left:
                    raw[left[0]] = followed[left[0]].read(instance)
                    del left[0]
        except Exception as reason:
            # The event is sent without this value, but not without those that follow.
            name, mapped = left[0], followed[left[0]]
            if name == OWNERS and len(mapped.items) > 1 and not strict_payloads():
                # Nor without its organizations: their ids are enough.
                logger.warning(
                    "A value of the organizations of %s can't be read.", instance._meta.label, exc_info=reason
                )
                followed = {**followed, name: replace(mapped, items={"id": mapped.items["id"]})}
                continue
            raw[left.pop(0)] = _unreadable(name, mapped, instance, reason)
    return raw


def _unreadable(name: str, mapped: MappedField, instance: models.Model, reason: Exception) -> PayloadError | None:
    """Return what stands for a value that can't be read: null if payloads don't require it.

    An attribute that is missing is a null of the host's, also under DEBUG and in tests. There, other errors are raised.
    """
    error = PayloadError(f"{name}: {instance._meta.label}.{mapped.path} raised {type(reason).__name__}.")
    is_optional = not mapped.field.required and name not in (OWNER, OWNERS)
    if strict_payloads() and not (is_optional and isinstance(reason, AttributeError | ObjectDoesNotExist)):
        raise error from reason
    if (label := (instance._meta.label, name)) not in _reported:
        _reported.add(label)
        logger.warning(
            "%s of %s can't be read and %s. Correct the path %r, or leave the field out.",
            name,
            instance._meta.label,
            "is sent as null" if is_optional else "its events can't be sent",
            mapped.path,
            exc_info=reason,
        )
    return None if is_optional else error


def at_key(source: Source, using: str) -> models.QuerySet[Any]:
    """Return a query of one row, whose key is a parameter."""
    # No manager is used: it may hide the row that is being saved.
    rows: models.QuerySet[Any] = models.QuerySet(source.model, using=using)
    key = source.model._meta.pk
    return rows.filter(**{key.attname: Parameter(key)}).order_by()


def locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Lock rows as an UPDATE does. On PostgreSQL, other transactions can still insert references to them."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)
