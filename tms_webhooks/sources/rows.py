"""Querysets of a source's rows, and the raw values that are read from them: in SQL, and by following paths in Python."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models, router

from tms_webhooks.computed import Computed
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import savepoint_at_statement, without_conditions
from tms_webhooks.db.prepared import CompiledQuery, Parameter
from tms_webhooks.db.sql import keys_in
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import audience
from tms_webhooks.sources.base import LEARNER, OWNER, Source
from tms_webhooks.sources.mapping import OWNERS, MappedField, input_name
from tms_webhooks.sources.paths import Model, all_rows, references_of

Rows = models.QuerySet[Any]

# How many objects are read, changed and captured at a time. Old versions of SQLite take 999 parameters in a statement.
CHUNK = 900

OWNER_NAMES = (OWNER, OWNERS, LEARNER)
"""The names of the values that say whose an object is."""

# The labels of models with the names of their values that could not be read, which are reported once.
_reported: set[tuple[str, str]] = set()

logger = logging.getLogger(__name__)


def database_of(source: Source) -> str:
    """Return the alias of the database to which a source's rows and their events are written."""
    return router.db_for_write(source.model)


def rows_of(source: Source) -> Rows:
    """Return a queryset of all rows that are objects of a source, without an order."""
    # The base manager, because a default manager may hide rows; no order, because the model's default costs a sort.
    return source.selection.filter(source.model._base_manager.using(database_of(source)).order_by())


def in_organizations(source: Source, keys: Mapping[audience.Relation, Any]) -> models.Q | None:
    """Return a filter for the rows of the organizations with these keys, which are given for each relation that counts.

    None where SQL can't read to whom they belong.
    """
    found = models.Q(pk__in=())
    if source.owner is None:
        return found
    if source.owners is not None:
        return None
    learner = OWNER if source.owned_by_learner else LEARNER
    for relation, organizations in keys.items():
        name = OWNER if relation == audience.OWNER else learner
        lookup = source.lookup(name)
        if lookup is not None:
            found |= models.Q(**{f"{lookup}__in": organizations})
        elif name == OWNER or source.has_learner:
            return None
    return found


def objects_at(source: Source, keys: Sequence[Any], *, using: str) -> Rows:
    """Return the objects of a source with these keys, in the order of keys."""
    return source.selection.filter(at_keys(source.model, keys, using=using))


def at_keys(model: Model, keys: Sequence[Any], *, using: str) -> Rows:
    """Return the rows with these keys in the order of keys."""
    return all_rows(model, using=using).filter(keys_in(model, keys)).order_by("pk")


def key_lookup(model: Model, source: Source) -> str:
    """Return the lookup of the source's key in a queryset of ``model``."""
    is_extended = issubclass(source.model, model._meta.concrete_model or model)
    return "pk" if is_extended else source.model._meta.pk.name


def locked_keys(rows: Rows, names: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Lock ``rows`` as `locked_rows` does, and return their keys, each with the values of ``names``."""
    return list(dict.fromkeys(locked_rows(rows).values_list("pk", *names).iterator()))


def locked_rows(rows: Rows) -> Rows:
    """Return a query that locks ``rows``, each once.

    Rows are locked in the order of keys, so that two transactions don't wait for each other. On MySQL, they are locked
    in the order in which the queryset updates them.
    """
    query = rows.query
    ordering = (query.order_by if connections[rows.db].vendor == "mysql" else ()) or ("pk",)
    if query.count_active_tables() <= 1 and not (query.group_by or query.extra_tables):
        found = rows.select_related(None).order_by(*ordering)
        # A query of a single table returns no row twice.
        found.query.distinct, found.query.distinct_fields = False, ()
    else:
        # Most databases can't lock rows of a query with joins, grouping or DISTINCT.
        found = all_rows(rows.model, using=rows.db).filter(pk__in=rows.order_by().values("pk"))
        found = found.order_by(*ordering)
    return locked(found)


def exactly(rows: Rows, keys: Sequence[Any]) -> Rows:
    """Return a queryset of the rows with these keys that keeps the annotations and the order of ``rows``, for an update."""
    if rows.query.annotations:
        found = without_conditions(rows)
    else:
        found = type(rows)(model=rows.model, using=rows.db)
        found.query.order_by = rows.query.order_by
    # Newer versions of Django refuse to update a queryset with distinct fields; older ones ignore them.
    found.query.distinct_fields = rows.query.distinct_fields
    return models.QuerySet.filter(found, keys_in(rows.model, keys))


def conflicting(
    model: Model, objs: Sequence[models.Model], unique: Iterable[models.Field[Any, Any]], *, using: str
) -> list[Any]:
    """Return the keys of the rows that ``objs`` may conflict with, and possibly of more rows.

    ``unique`` are the fields of the conflict; if empty, every unique field or constraint is considered.
    """
    keys: dict[Any, None] = {}
    for fields in [tuple(unique)] if unique else unique_fields(model):
        values = [tuple(getattr(obj, field.attname) for field in fields) for obj in objs]
        known = [row for row in values if not any(one is None or hasattr(one, "resolve_expression") for one in row)]
        size = max(CHUNK // len(fields), 1)
        for start in range(0, len(known), size):
            columns = zip(fields, zip(*known[start : start + size], strict=True), strict=True)
            lookups = {f"{field.attname}__in": set(column) for field, column in columns}
            rows = all_rows(model, using=using).filter(**lookups)
            keys.update(dict.fromkeys(rows.values_list("pk", flat=True)))
    return list(keys)


def unique_fields(model: Model) -> Iterator[tuple[Any, ...]]:
    """Yield the fields of each unique column, and of each unique constraint, conditional ones included."""
    meta = model._meta
    yield from ((field,) for field in meta.concrete_fields if field.unique)
    names = [*meta.unique_together, *(getattr(one, "fields", ()) for one in meta.constraints)]
    yield from (tuple(meta.get_field(name) for name in together) for together in names if together)


# Raw values


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
        if name in OWNER_NAMES
        or (
            isinstance(path := source.path_of(name), Computed)
            and any(one in columns or input_name(one) in columns for one in path.paths)
        )
    }


@cache
def compared_names(source: Source) -> tuple[str, ...]:
    """Return the canonical names of the values that are read before a change of the row itself."""
    return (*source.own, *compared_properties(source))


def read_rows(source: Source, rows: Rows, *, names: Collection[str] | None = None) -> list[tuple[Any, dict[str, Any]]]:
    """Return pairs of key and raw values for many rows, in their order.

    This takes one query; paths that only Python can follow take a second one. ``names`` limits the values to those
    canonical names.
    """
    columns = {name: lookup for name, lookup in columns_of(source).items() if names is None or name in names}
    followed = {name: mapped for name, mapped in followed_fields(source).items() if names is None or name in names}
    values = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and values:
        related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
        found: Rows = source.model._base_manager.using(rows.db)
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
        with savepoint_at_statement(using):
            return [{name: mapped.read(one) for name, mapped in followed.items()} for one in instances]
    except Exception:
        # One for each value, so that only the failing ones are missing.
        return [{name: _read(name, mapped, one, using=using) for name, mapped in followed.items()} for one in instances]


def _read(name: str, mapped: MappedField, instance: models.Model, *, using: str) -> Any:
    """Return a value that only Python can follow; of one that can't be read null, or an error if payloads require it.

    An attribute that is missing is a null of the host's, also under DEBUG and in tests. There, other errors are raised.
    """
    try:
        with savepoint_at_statement(using):
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


def at_key(source: Source, using: str) -> Rows:
    """Return a query of one row, whose key is a parameter."""
    key = source.model._meta.pk
    return all_rows(source.model, using=using).filter(**{key.attname: Parameter(key)}).order_by()


def locked(rows: Rows) -> Rows:
    """Return a query that locks rows as an UPDATE does. On PostgreSQL, other transactions can still insert references to them."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)


def lock(rows: Rows) -> None:
    """Lock rows as an UPDATE does, and read nothing: they may have changed before they were locked."""
    list(locked(rows).values_list("pk"))
