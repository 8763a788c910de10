"""Querysets of a source's rows: by keys, in the order of keys, and locked. Bulk operations and scans use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, models, router

from tms_webhooks.db.django_private import without_conditions
from tms_webhooks.db.lookups import keys_in
from tms_webhooks.models.audience import LEARNER, OWNER, Relation
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, Source
from tms_webhooks.sources.base import OWNER as OWNER_ID
from tms_webhooks.sources.snapshots import locked

Rows = models.QuerySet[Any]

# How many objects are read, changed and captured at a time. Old versions of SQLite take 999 parameters in a statement.
CHUNK = 900


def database_of(source: Source) -> str:
    """Return the alias of the database to which a source's rows and their events are written."""
    return router.db_for_write(source.model)


def rows_of(source: Source) -> Rows:
    """Return a queryset of all rows that are objects of a source, without an order."""
    # The base manager, because a default manager may hide rows; no order, because the model's default costs a sort.
    return source.selection.filter(source.model._base_manager.using(database_of(source)).order_by())


def in_organizations(source: Source, keys: Mapping[Relation, Any]) -> models.Q | None:
    """Return a filter for the rows of the organizations with these keys, which are given for each relation that counts.

    None where SQL can't read to whom they belong.
    """
    owner, learner = source.mapped.get(OWNER_ID), source.mapped.get(LEARNER_ORGANIZATION.name)
    columns = {OWNER: owner, LEARNER: owner if source.owned_by_learner else learner}
    if source.owners is not None or owner is None or (columns[LEARNER] is None and source.has_learner):
        return None
    found = models.Q(pk__in=())
    for relation, column in columns.items():
        if column is None or relation not in keys:
            continue
        if not isinstance(column.lookup, str):
            return None
        found |= models.Q(**{f"{column.lookup}__in": keys[relation]})
    return found


def objects_at(source: Source, keys: Sequence[Any], *, using: str) -> Rows:
    """Return the objects of a source with these keys, in the order of keys."""
    return source.selection.filter(at_keys(source.model, keys, using=using))


def at_keys(model: type[models.Model], keys: Sequence[Any], *, using: str) -> Rows:
    """Return the rows with these keys in the order of keys. No manager is used: it may hide rows."""
    return models.QuerySet(model, using=using).filter(keys_in(model, keys)).order_by("pk")


def key_name(model: type[models.Model], source: Source) -> str:
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
    ordering = query.order_by if connections[rows.db].vendor == "mysql" else ()
    if query.count_active_tables() <= 1 and not (query.group_by or query.extra_tables):
        found = rows.select_related(None).order_by(*ordering or ("pk",))
        # A query of a single table returns no row twice.
        found.query.distinct, found.query.distinct_fields = False, ()
    else:
        # Most databases can't lock rows of a query with joins, grouping or DISTINCT.
        found = models.QuerySet(rows.model, using=rows.db).filter(pk__in=rows.order_by().values("pk"))
        found = found.order_by(*ordering or ("pk",))
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
    model: type[models.Model], objs: Sequence[models.Model], unique: Iterable[models.Field[Any, Any]], *, using: str
) -> list[Any]:
    """Return the keys of the rows that ``objs`` may conflict with, and possibly of more rows.

    ``unique`` are the fields of the conflict; if empty, every unique field or constraint is considered.
    """
    keys: dict[Any, None] = {}
    for fields in [tuple(unique)] if unique else _unique_fields(model):
        values = [tuple(getattr(obj, field.attname) for field in fields) for obj in objs]
        known = [row for row in values if not any(one is None or hasattr(one, "resolve_expression") for one in row)]
        size = max(CHUNK // len(fields), 1)
        for start in range(0, len(known), size):
            columns = zip(fields, zip(*known[start : start + size], strict=True), strict=True)
            lookups = {f"{field.attname}__in": set(column) for field, column in columns}
            rows: Rows = models.QuerySet(model, using=using).filter(**lookups)
            keys.update(dict.fromkeys(rows.values_list("pk", flat=True)))
    return list(keys)


def _unique_fields(model: type[models.Model]) -> Iterator[tuple[Any, ...]]:
    meta = model._meta
    yield from ((field,) for field in meta.concrete_fields if field.unique)
    names = [*meta.unique_together, *(constraint.fields for constraint in meta.total_unique_constraints)]
    yield from (tuple(meta.get_field(name) for name in together) for together in names)
