"""Read an object's values from the database: before a change, after it, or of many rows together."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import connections, models

from tms_webhooks.computed import Computed, Expression
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.compiled import CompiledQuery, Parameter
from tms_webhooks.db.django_private import SavepointAtStatement
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.models.audience import parent_column
from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.changes import SAVE_TIMESTAMPS
from tms_webhooks.sources.interest import interest_in, organization_paths, patterns_of_any_webhook, subscribed_types
from tms_webhooks.sources.mapping import OWNERS, MappedField, input_name, organization_path
from tms_webhooks.sources.paths import field_at, references_of
from tms_webhooks.sources.stored_rows import (
    AS_FIRST_SEEN,
    RowQuery,
    StoredRow,
    as_first_seen,
    can_return_rows,
    key_columns,
    lock_of_row,
)

logger = logging.getLogger(__name__)

# The labels of models with the names of their values that could not be read, which are reported once.
_reported: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """An object's row before a change, and the event types to which its organizations subscribe.

    - ``row``: the row, or None if it doesn't exist
    - ``event_types``: the types of the source to which the row's organizations subscribe, if ``exact`` is true.
      Otherwise the types to which any webhook subscribes that may receive events of this row
    - ``exact``: whether ``event_types`` are those of the row's organizations
    - ``properties``: the values of `compared_properties`, and those of `followed_organizations` once they are read
    """

    source: Source
    row: StoredRow | None
    event_types: Collection[str]
    exact: bool = False
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, Any] | None:
        """The values of `compared_names`; None if the row doesn't exist."""
        return None if self.row is None else {**self.row.values(_own_columns(self.source)), **self.properties}

    def changes_organization(self, instance: models.Model) -> bool:
        """Return whether ``instance`` may have been saved with another organization than the row had."""
        if self.row is None:
            return False
        saved = vars(instance)
        columns = (path.column for path in organization_paths(self.source))
        return any(column in saved and saved[column] != self.row.value(column) for column in columns)

    def organizations(self, *, using: str) -> dict[str, Any]:
        """Return the organizations of the row that only Python can read; also if that fails, which the host may mend."""
        followed = {} if self.row is None else followed_organizations(self.source)
        if followed and self.row is not None and not followed.keys() <= self.properties.keys():
            try:
                found = _follow(followed, self.row.instance(self.source.model, using), using=using)
            except PayloadError as error:
                found = dict.fromkeys(followed, error)
            self.properties.update(found)
        return {name: self.properties[name] for name in followed}

    def is_unchanged(self) -> bool:
        """Return whether the save is known to have changed no value of the row itself."""
        return self.row is not None and self.row.has_same(_compared_columns(self.source))


@cache
def _columns(source: Source) -> dict[str, str]:
    """Return the names of the query's columns by the canonical names that SQL can read."""
    return {name: mapped.column for name, mapped in source.mapped.items() if mapped.lookup is not None}


@cache
def _own_columns(source: Source) -> dict[str, str]:
    """Return the names of the row's own columns by their canonical names."""
    return {name: mapped.column for name, mapped in source.own.items()}


@cache
def _compared_columns(source: Source) -> list[str]:
    """Return the names of the columns whose change may be an event: all, if only Python can read whose the object is."""
    ignored = {mapped.column for name, mapped in source.own.items() if name in SAVE_TIMESTAMPS}
    every = [one.attname for one in source.model._meta.concrete_fields] if followed_organizations(source) else []
    return [name for name in (*_own_columns(source).values(), *every) if name not in ignored]


def key_of(source: Source, instance: models.Model) -> Any:
    """Return the key of ``instance`` in the source's own table, or None if it has none yet.

    This is not always the instance's primary key: its model may extend the source's model and others.
    """
    meta = source.model._meta
    # An instance of a model that the source's model extends has the same key.
    key = getattr(instance, meta.pk.attname) if isinstance(instance, source.model) else instance.pk
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
    model, parent = next(iter(sources)).model, parent_column()
    # A new row is inserted, so that no UPDATE returns it.
    whole = not new and can_return_rows(model, using)
    query = _query_before(tuple(sources.items()), using, parent, whole=whole)
    rows = query.query.run_raw(*_parts(key))
    if not rows and whole and connections[using].vendor == "postgresql":
        # Its row may be there: see `as_first_seen`.
        query = _query_before(tuple(sources.items()), using, parent, whole=False)
        rows = query.query.run_raw(*_parts(key))
    if not rows:
        return of_new or _before_creation(sources, using=using)
    row = StoredRow(query, rows[0])
    found = {}
    for source, event_types in sources.items():
        types, exact = interest_in(source, event_types, using, parent).types_for(row.column)
        found[source] = RowSnapshot(source, row, types, exact)
        properties = compared_properties(source)
        if properties and (types or source.reconcile):
            found[source].properties.update(_follow(properties, row.instance(model, using), using=using))
    return found


@cache
def _query_before(
    sources: tuple[tuple[Source, tuple[str, ...]], ...], using: str, parent: str | None, *, whole: bool
) -> RowQuery:
    """Return the query of `read_before`; a ``whole`` one also reads the values behind foreign keys."""
    model = sources[0][0].model
    lookups: dict[str, None] = {}
    extra: dict[str, Any] = {}
    for source, event_types in sources:
        lookups.update(dict.fromkeys(_lookups_before(source, whole=whole)))
        if whole:
            lists = (mapped.lookup for mapped in source.mapped.values())
            extra.update((one.column, one) for one in lists if isinstance(one, RelatedList))
        extra.update(interest_in(source, event_types, using, parent).columns)
    bases = [one.base for one in extra.values() if isinstance(one, RelatedList) and one.base]
    keys = key_columns(model, (*lookups, *(f"{base}__pk" for base in bases)))
    if whole:
        lookups.update(dict.fromkeys(keys))
    rows, lock = _at_key(sources[0][0], using), ""
    if not whole:
        rows = locked(rows)
    elif connections[using].features.has_select_for_update:
        lock = lock_of_row(model, using)
        extra[AS_FIRST_SEEN] = as_first_seen(model, using)
    selected = rows.annotate(**extra).values_list(*lookups, *extra)
    return RowQuery(selected, list(lookups), list(extra), keys=keys, lock=lock, whole=whole)


def _lookups_before(source: Source, *, whole: bool) -> list[str]:
    """Return the lookups that `read_before` reads for a source."""
    mapped = source.mapped if whole else source.own
    lookups = [one.lookup for one in mapped.values() if isinstance(one.lookup, str)]
    lookups += [path.column for path in organization_paths(source)]
    if _followed(source) if whole else compared_properties(source) or followed_organizations(source):
        # Python follows the paths from an instance.
        lookups += [field.attname for field in source.model._meta.concrete_fields]
    return lookups


def _before_creation(sources: Mapping[Source, tuple[str, ...]], *, using: str) -> dict[Source, RowSnapshot]:
    """Return, for an object without a row, the event types of each source to which any webhook subscribes; one query."""
    patterns = patterns_of_any_webhook(tuple(chain.from_iterable(sources.values())), using=using)
    return {
        source: RowSnapshot(source, None, subscribed_types(event_types, patterns))
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
    if followed := _followed(source):
        raw.update(_follow(followed, source.model._base_manager.using(using).get(pk=key), using=using))
    return raw


def read_after(before: RowSnapshot, key: Any, *, using: str) -> dict[str, Any] | None:
    """Return what `read_whole` does after a save; without a query if its ``UPDATE`` returned the row."""
    if before.row is None or before.row.changed is None:
        return read_whole(before.source, key, using=using)
    return _values_after(before.source, before.row, _followed(before.source), using=using)


def owners_after(before: RowSnapshot, *, using: str) -> dict[str, Any] | None:
    """Return canonical values with the organizations of the object after a save; None if its ``UPDATE`` returned no row.

    Of the values that only Python can read, these are the only ones.
    """
    if before.row is None or before.row.changed is None:
        return None
    followed = followed_organizations(before.source)
    return before.source.canonical(_values_after(before.source, before.row, followed, using=using))


def _values_after(source: Source, row: StoredRow, followed: dict[str, MappedField], *, using: str) -> dict[str, Any]:
    """Return the raw values of a saved row that SQL can read, and those that Python has to follow."""
    raw = row.values(_columns(source), after=True)
    if followed:
        raw.update(_follow(followed, row.instance(source.model, using, after=True), using=using))
    return raw


@cache
def _followed(source: Source) -> dict[str, MappedField]:
    """Return the fields that only Python can read, by their canonical names."""
    return {name: mapped for name, mapped in source.mapped.items() if mapped.lookup is None}


@cache
def compared_properties(source: Source) -> dict[str, MappedField]:
    """Return the properties that may change with the row itself: those that read columns of it."""
    columns = {*source.own, *source.keys_behind}
    return {
        name: mapped
        for name, mapped in _followed(source).items()
        if isinstance(path := source.path_of(name), Computed)
        and any(one in columns or input_name(one) in columns for one in path.paths)
    }


@cache
def followed_organizations(source: Source) -> dict[str, MappedField]:
    """Return the values that only Python can read and that say whose the object is. Any column may change them."""
    names = (OWNER, OWNERS, LEARNER_ORGANIZATION.name)
    return {name: mapped for name, mapped in _followed(source).items() if name in names}


@cache
def compared_names(source: Source) -> tuple[str, ...]:
    """Return the canonical names of the values that are read before a change of the row itself."""
    return (*source.own, *{**compared_properties(source), **followed_organizations(source)})


@cache
def watched_fields(source: Source) -> set[str] | None:
    """Return the names of the fields of a row whose change may be an event; None if that may be any."""
    if followed_organizations(source):
        return None
    columns = [*_compared_columns(source), *(path.column for path in organization_paths(source))]
    fields: list[Any] = [field_at(source.model, column) for column in columns]
    return {name for field in fields for name in (field.name, field.attname)}


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
        added = [_follow(followed, instances[key], using=using) for key, _raw in values]
    for (_key, raw), more in zip(values, added, strict=True):
        raw.update(more)


@cache
def unread_of_owners(source: Source) -> dict[str, MappedField]:
    """Return the values of a source's owners that SQL can't read with the list of these, by their names."""
    owners = source.owners
    if owners is None or not isinstance(owners.lookup, RelatedList):
        return {}
    return {
        item.name: MappedField(
            item, str(path), None, own=False, computed=path if isinstance(path, Expression) else None
        )
        for item in owners.field.items
        if item.name not in owners.lookup.columns and (path := organization_path(item.name)) is not None
    }


def owner_values(source: Source, owners: Collection[Any], *, using: str) -> dict[Any, dict[str, Any]]:
    """Return the values of `unread_of_owners` of the organizations with these keys, by their keys."""
    unread = unread_of_owners(source)
    model: Any = Event._meta.get_field("organization").related_model
    found = model._base_manager.using(using).in_bulk(list(owners)) if unread and owners else {}
    return {key: _follow(unread, organization, using=using) for key, organization in found.items()}


def _follow(followed: dict[str, MappedField], instance: models.Model, *, using: str) -> dict[str, Any]:
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
            name = left.pop(0)
            raw[name] = _unreadable(name, followed[name], instance, reason)
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
