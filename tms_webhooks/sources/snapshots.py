"""Read an object's values from the database: before a change, after it, or of many rows at once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, transaction
from django.db.models import Exists

from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.compiled import CompiledQuery, Parameter
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Subscription
from tms_webhooks.models.audience import parent_column
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, Source
from tms_webhooks.sources.interest import (
    OrganizationPath,
    organization_paths,
    patterns_at_path,
    patterns_in,
    patterns_of_any_webhook,
    patterns_of_other_webhooks,
    subscribed_types,
)
from tms_webhooks.sources.mapping import MappedField, references_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """An object's row before a change, and the event types to which its organizations subscribe.

    - ``raw``: the values of the row, or None if it doesn't exist
    - ``event_types``: the types of the source to which the row's organizations subscribe, if ``exact`` is true;
      otherwise the types to which any webhook subscribes that may receive events of this row
    - ``organization_columns``: the columns by which the row belongs to organizations, with their values
    """

    raw: dict[str, Any] | None
    event_types: Collection[str]
    organization_columns: tuple[tuple[str, Any], ...] = ()
    exact: bool = False

    def changes_organization(self, instance: models.Model) -> bool:
        """Return whether ``instance`` may have been saved with another organization than the row had."""
        saved = vars(instance)
        return any(saved.get(column, value) != value for column, value in self.organization_columns)


def key_of(source: Source, instance: models.Model) -> Any:
    """Return the key of ``instance`` in the source's own table, or None if it has none yet.

    This is not always the instance's primary key: its model may extend the source's model and others.
    """
    meta = source.model._meta
    key = getattr(instance, meta.pk.attname)
    if key is None:
        # A child row for an existing parent row has only the link to the parent.
        link = instance._meta.get_ancestor_link(source.model)
        key = getattr(instance, link.attname) if link is not None else None
    unset = key is None or (isinstance(key, tuple) and None in key) or hasattr(key, "resolve_expression")
    return None if unset else as_key(source.model, key)


def as_key(model: type[models.Model], key: Any) -> Any:
    """Return a key of ``model`` as its Python type, also if it is given as text, such as from a request."""
    parts = model._meta.pk_fields
    try:
        if isinstance(key, tuple):
            return tuple(part.to_python(value) for part, value in zip(parts, key, strict=True))
        return parts[0].to_python(key)
    except (ValidationError, ValueError):
        # An invalid key: leave the error message to Django.
        return key


def read_before(
    sources: Mapping[Source, tuple[str, ...]], key: Any, *, using: str, new: bool = False
) -> dict[Source, RowSnapshot]:
    """Lock and read an object's own values, and the subscriptions of its organizations in the same query.

    ``sources`` are sources of one model, each with the event types that it may emit. The lock prevents a concurrent
    change between this read and the write that follows. ``new`` says that the row probably doesn't exist.
    """
    of_new: dict[Source, RowSnapshot] | None = None
    if key is None or new:
        of_new = _before_creation(sources, using=using)
        if key is None or not any(before.event_types or source.reconcile for source, before in of_new.items()):
            return of_new
    names, query = _query_before(tuple(sources.items()), using, parent_column())
    rows = query.run(*_parts(key))
    if not rows:
        return of_new or _before_creation(sources, using=using)
    row = dict(zip(names, rows[0], strict=True))
    return {source: _before(source, event_types, row) for source, event_types in sources.items()}


def _before(source: Source, event_types: tuple[str, ...], row: Mapping[str, Any]) -> RowSnapshot:
    raw = {name: row[str(mapped.lookup)] for name, mapped in source.own.items()}
    paths = organization_paths(source)
    if not paths:
        matches = row[_patterns_column(source)]
        return RowSnapshot(raw, event_types=event_types if matches else subscribed_types(event_types, frozenset()))
    patterns = frozenset().union(*(patterns_in(row[_patterns_column(source, path)]) for path in paths))
    certain = subscribed_types(event_types, patterns)
    possible = subscribed_types(event_types, patterns_in(row.get(_other_patterns_column(source))))
    columns = tuple((path.column, row[path.column]) for path in paths)
    return RowSnapshot(raw, certain | possible, organization_columns=columns, exact=possible <= certain)


@cache
def _query_before(
    sources: tuple[tuple[Source, tuple[str, ...]], ...], using: str, _parent: str | None
) -> tuple[list[str], CompiledQuery]:
    """Return the names of the columns of `read_before`, and its query."""
    lookups: dict[str, None] = {}
    patterns: dict[str, Any] = {}
    for source, event_types in sources:
        lookups.update(dict.fromkeys(str(mapped.lookup) for mapped in source.own.values()))
        lookups.update(dict.fromkeys(path.column for path in organization_paths(source)))
        for path in organization_paths(source):
            patterns[_patterns_column(source, path)] = patterns_at_path(source, path, using=using)
        others = patterns_of_other_webhooks(source, using=using)
        if not organization_paths(source):
            patterns[_patterns_column(source)] = Exists(Subscription.objects.using(using).matching(event_types))
        elif others is not None:
            patterns[_other_patterns_column(source)] = others
    rows = locked(_at_key(sources[0][0], using)).annotate(**patterns)
    return [*lookups, *patterns], CompiledQuery(rows.values_list(*lookups, *patterns))


@cache
def _patterns_column(source: Source, path: OrganizationPath | None = None) -> str:
    """Return the name of the column with subscribed patterns. Sources with the same path share it."""
    if path is None:
        return f"tms_webhooks_of_all_{id(source)}"
    return f"tms_webhooks_of_{path.column}_{path.onward}_but_{path.closed_to or 'none'}"


@cache
def _other_patterns_column(source: Source) -> str:
    """Return the name of the column with the patterns of `patterns_of_other_webhooks`."""
    return (
        f"tms_webhooks_of_others_{len(organization_paths(source)) == 1 and LEARNER_ORGANIZATION.name in source.mapped}"
    )


def _before_creation(sources: Mapping[Source, tuple[str, ...]], *, using: str) -> dict[Source, RowSnapshot]:
    """Return, for an object without a row, the event types of each source to which any webhook subscribes; one query."""
    patterns = patterns_of_any_webhook(tuple(chain.from_iterable(sources.values())), using=using)
    return {
        source: RowSnapshot(None, event_types=subscribed_types(event_types, patterns))
        for source, event_types in sources.items()
    }


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Return all raw values that a payload needs, also those behind foreign keys; None if the row doesn't exist.

    This takes one query; paths that only Python can follow take a second one, which loads the saved object.
    """
    names, query = _query_whole(source, using)
    rows = query.run(*_parts(key))
    if not rows:
        return None
    raw = dict(zip(names, rows[0], strict=True))
    followed = {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}
    if followed:
        raw.update(_follow(followed, source.model._base_manager.using(using).get(pk=key), using=using))
    return raw


@cache
def _query_whole(source: Source, using: str) -> tuple[list[str], CompiledQuery]:
    """Return the names of the values of `read_whole`, and its query."""
    lookups = {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}
    return list(lookups), CompiledQuery(_at_key(source, using).values_list(*lookups.values()))


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, names: Collection[str] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Return pairs of key and raw values for many rows, in their order.

    This takes one query; paths that only Python can follow take a second one. ``names`` limits the values to those
    canonical names. A value that Python fails to read becomes a `PayloadError`, which is raised under DEBUG and in
    tests.
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
    """Add the values that only Python can follow to those of many rows; in one savepoint unless one of them fails."""
    related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
    rows = source.model._base_manager.using(using)
    instances = (rows.select_related(*related) if related else rows).in_bulk([key for key, _raw in values])
    try:
        with transaction.atomic(using=using):
            added = [{name: mapped.read(instances[key]) for name, mapped in followed.items()} for key, _raw in values]
    except Exception:
        # Read each object in a savepoint of its own, so that only the failing one lacks values.
        added = [_follow(followed, instances[key], using=using) for key, _raw in values]
    for (_key, raw), more in zip(values, added, strict=True):
        raw.update(more)


def _follow(followed: dict[str, MappedField], instance: models.Model, *, using: str) -> dict[str, Any]:
    """Return values that only Python can follow. In a savepoint: a failing property must not break the host's transaction."""
    raw: dict[str, Any] = {}
    name = ""
    try:
        with transaction.atomic(using=using):
            for name, mapped in followed.items():
                raw[name] = mapped.read(instance)
    except Exception as reason:
        path = followed[name].path if name else ""
        error = PayloadError(f"{name}: {instance._meta.label}.{path} raised {type(reason).__name__}.")
        if strict_payloads():
            raise error from reason
        logger.exception("Could not read %s of %s %s.", path, instance._meta.label, instance.pk)
        raw[name] = error
    return raw


def _at_key(source: Source, using: str) -> models.QuerySet[Any]:
    """Return a query of one row, whose key is a parameter."""
    # No manager is used: it may hide the row that is being saved.
    rows: models.QuerySet[Any] = models.QuerySet(source.model, using=using)
    parts = source.model._meta.pk_fields
    return rows.filter(**{part.attname: Parameter(part, position) for position, part in enumerate(parts)}).order_by()


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Lock rows as an UPDATE does. On PostgreSQL, other transactions can still insert references to them."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)
