"""Read the raw values of objects from the database, those that SQL can read and those that only Python can follow."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
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

ORGANIZATIONS = (OWNER, OWNERS, LEARNER_ORGANIZATION.name)
"""The names of the values that say whose an object is."""

# The labels of models with the names of their values that could not be read, which are reported once.
_reported: set[tuple[str, str]] = set()


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Return all raw values that a payload needs, also those behind foreign keys; None if the row doesn't exist.

    This takes one query; paths that only Python can follow take a second one, which loads the saved object.
    """
    rows = _query_whole(source, using).run(key)
    if not rows:
        return None
    raw = dict(zip(columns_of(source), rows[0], strict=True))
    if followed := followed_fields(source):
        raw.update(*follow_paths(followed, [source.model._base_manager.using(using).get(pk=key)], using=using))
    return raw


@cache
def _query_whole(source: Source, using: str) -> CompiledQuery:
    """Return the query of `read_whole`."""
    return CompiledQuery(at_key(source, using).values_list(*columns_of(source).values()))


@cache
def columns_of(source: Source) -> dict[str, Any]:
    """Return the lookups and expressions of the values that SQL can read, by their canonical names."""
    return {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}


@cache
def followed_fields(source: Source) -> dict[str, MappedField]:
    """Return the fields that only Python can read, by their canonical names."""
    return {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}


@cache
def compared_properties(source: Source) -> dict[str, MappedField]:
    """Return those of `followed_fields` that may change with the row itself: properties that read columns of it.

    Any column may change a value that says whose the object is.
    """
    columns = {*source.own, *source.keys_behind}
    return {
        name: mapped
        for name, mapped in followed_fields(source).items()
        if name in ORGANIZATIONS
        or (
            isinstance(path := source.path_of(name), Computed)
            and any(one in columns or input_name(one) in columns for one in path.paths)
        )
    }


@cache
def compared_names(source: Source) -> tuple[str, ...]:
    """Return the canonical names of the values that are read before a change of the row itself."""
    return (*source.own, *compared_properties(source))


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, names: Collection[str] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Return pairs of key and raw values for many rows, in their order.

    This takes one query; paths that only Python can follow take a second one. ``names`` limits the values to those
    canonical names.
    """
    columns = {name: lookup for name, lookup in columns_of(source).items() if names is None or name in names}
    followed = {name: mapped for name, mapped in followed_fields(source).items() if names is None or name in names}
    values = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and values:
        related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
        found: models.QuerySet[Any] = source.model._base_manager.using(rows.db)
        instances = (found.select_related(*related) if related else found).in_bulk([key for key, _raw in values])
        added = follow_paths(followed, [instances[key] for key, _raw in values], using=rows.db)
        for (_key, raw), more in zip(values, added, strict=True):
            raw.update(more)
    return values


def follow_paths(
    followed: dict[str, MappedField], instances: Sequence[models.Model], *, using: str
) -> list[dict[str, Any]]:
    """Return values that only Python can follow, of each instance. A failing property must not break the host's transaction."""
    try:
        # One savepoint for all.
        with SavepointAtStatement(using):
            return [{name: mapped.read(one) for name, mapped in followed.items()} for one in instances]
    except Exception:
        # One for each value, so that only the failing ones are missing.
        return [{name: _read(name, mapped, one, using=using) for name, mapped in followed.items()} for one in instances]


def _read(name: str, mapped: MappedField, instance: models.Model, *, using: str) -> Any:
    """Return a value that only Python can follow; of one that can't be read null, or an error if payloads require it.

    An attribute that is missing is a null of the host's, also under DEBUG and in tests. There, other errors are raised.
    """
    try:
        with SavepointAtStatement(using):
            return mapped.read(instance)
    except Exception as reason:
        if name == OWNERS and len(mapped.items) > 1 and not strict_payloads():
            # The event is sent to its organizations: their ids are enough.
            logger.warning("A value of the organizations of %s can't be read.", instance._meta.label, exc_info=reason)
            return _read(name, replace(mapped, items={"id": mapped.items["id"]}), instance, using=using)
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
