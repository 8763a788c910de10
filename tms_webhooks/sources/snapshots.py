"""An object's values as the database has them."""

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
from tms_webhooks.sources.base import LEARNERS, Source
from tms_webhooks.sources.interest import (
    OrganizationPath,
    meant,
    paths_of,
    patterns_in,
    patterns_of_anybody,
    subscribed,
    subscribed_elsewhere,
)
from tms_webhooks.sources.mapping import MappedField, references_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowBefore:
    """What an object's row held before a change (None: there is no row), and which of its events are wanted.

    ``homes`` are the columns by which the row belongs to organizations, with their values. ``wanted`` is what these
    organizations want, if that is ``exact``; otherwise it is what anybody may want, and the row's values have to tell.
    """

    raw: dict[str, Any] | None
    wanted: Collection[str]
    homes: tuple[tuple[str, Any], ...] = ()
    exact: bool = False

    def changes_hands(self, instance: models.Model) -> bool:
        """Whether ``instance`` may have been saved with another organization than the row had."""
        saved = vars(instance)
        return any(saved.get(column, value) != value for column, value in self.homes)


def key_of(source: Source, instance: models.Model) -> Any:
    """Return the key of ``instance`` in the source's own table, or None where it has none yet.

    The two differ where the instance's model extends the source's and has other parents besides.
    """
    meta = source.model._meta
    key = getattr(instance, meta.pk.attname)
    if key is None:
        # A row that extends one that exists names it by the link alone.
        link = instance._meta.get_ancestor_link(source.model)
        key = getattr(instance, link.attname) if link is not None else None
    unset = key is None or (isinstance(key, tuple) and None in key) or hasattr(key, "resolve_expression")
    return None if unset else as_key(source.model, key)


def as_key(model: type[models.Model], key: Any) -> Any:
    """Return a key of ``model`` as its rows have it, where a host gave it as the text that came with a request."""
    parts = model._meta.pk_fields
    try:
        if isinstance(key, tuple):
            return tuple(part.to_python(value) for part, value in zip(parts, key, strict=True))
        return parts[0].to_python(key)
    except (ValidationError, ValueError):
        # Django has its own words for what is no key.
        return key


def read_before(
    asked: Mapping[Source, tuple[str, ...]], key: Any, *, using: str, new: bool = False
) -> dict[Source, RowBefore]:
    """Read and lock the object's own values, and in the same query what its organization subscribes to.

    ``asked`` are sources of one model, and the event types that each might tell. The lock keeps a concurrent change
    from slipping in between what is read here and what is written next. ``new`` says that there is probably no row.
    """
    of_new: dict[Source, RowBefore] | None = None
    if key is None or new:
        of_new = _before_creation(asked, using=using)
        if key is None or not any(before.wanted or source.reconcile for source, before in of_new.items()):
            return of_new
    names, query = _query_before(tuple(asked.items()), using, parent_column())
    rows = query.run(*_parts(key))
    if not rows:
        return of_new or _before_creation(asked, using=using)
    row = dict(zip(names, rows[0], strict=True))
    return {source: _before(source, event_types, row) for source, event_types in asked.items()}


def _before(source: Source, event_types: tuple[str, ...], row: Mapping[str, Any]) -> RowBefore:
    raw = {name: row[str(mapped.lookup)] for name, mapped in source.own.items()}
    paths = paths_of(source)
    if not paths:
        return RowBefore(raw, wanted=event_types if row[_name(source)] else meant(event_types, frozenset()))
    wanted = meant(event_types, frozenset().union(*(patterns_in(row[_name(source, path)]) for path in paths)))
    perhaps = meant(event_types, patterns_in(row.get(_elsewhere(source))))
    homes = tuple((path.column, row[path.column]) for path in paths)
    return RowBefore(raw, wanted=wanted | perhaps, homes=homes, exact=perhaps <= wanted)


@cache
def _query_before(
    asked: tuple[tuple[Source, tuple[str, ...]], ...], using: str, _parent: str | None
) -> tuple[list[str], CompiledQuery]:
    """Build the query of `read_before`; return it with the names of its columns."""
    lookups: dict[str, None] = {}
    interests: dict[str, Any] = {}
    for source, event_types in asked:
        lookups.update(dict.fromkeys(str(mapped.lookup) for mapped in source.own.values()))
        lookups.update(dict.fromkeys(path.column for path in paths_of(source)))
        interests.update({_name(source, path): subscribed(source, path, using=using) for path in paths_of(source)})
        elsewhere = subscribed_elsewhere(source, using=using)
        if not paths_of(source):
            interests[_name(source)] = Exists(Subscription.objects.using(using).matching(event_types))
        elif elsewhere is not None:
            interests[_elsewhere(source)] = elsewhere
    rows = locked(_at_key(asked[0][0], using)).annotate(**interests)
    return [*lookups, *interests], CompiledQuery(rows.values_list(*lookups, *interests))


@cache
def _name(source: Source, path: OrganizationPath | None = None) -> str:
    """Return the name of the column that tells who is interested: one for all sources that ask the same."""
    if path is None:
        return f"tms_webhooks_of_all_{id(source)}"
    return f"tms_webhooks_of_{path.column}_{path.onward}_but_{path.closed_to or 'none'}"


@cache
def _elsewhere(source: Source) -> str:
    """Return the same of those who may be interested in any row."""
    return f"tms_webhooks_elsewhere_{len(paths_of(source)) == 1 and LEARNERS.name in source.mapped}"


def _before_creation(asked: Mapping[Source, tuple[str, ...]], *, using: str) -> dict[Source, RowBefore]:
    """Ask what any organization subscribes to of what each source might tell, in one query for all of them."""
    patterns = patterns_of_anybody(tuple(chain.from_iterable(asked.values())), using=using)
    return {source: RowBefore(None, wanted=meant(event_types, patterns)) for source, event_types in asked.items()}


def read_whole(source: Source, key: Any, *, using: str) -> dict[str, Any] | None:
    """Read all that the payload needs, through the object's foreign keys, in one query; None if the row is gone.

    What only Python can follow takes a second query, for an object that holds nothing that is not saved.
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
    """Build the query of `read_whole`; return it with the names of its values."""
    lookups = {name: mapped.lookup for name, mapped in source.mapped.items() if mapped.lookup is not None}
    return list(lookups), CompiledQuery(_at_key(source, using).values_list(*lookups.values()))


def read_rows(
    source: Source, rows: models.QuerySet[Any], *, names: Collection[str] | None = None
) -> list[tuple[Any, dict[str, Any]]]:
    """Read the same of many rows: (key, raw values) in their order, in one query, or two where Python has to follow.

    ``names`` narrows the values to those of them that the host has. A value that Python fails to read is the
    `PayloadError` that says why; under DEBUG and in tests it is raised.
    """
    asked = {name: mapped for name, mapped in source.mapped.items() if names is None or name in names}
    columns = {name: mapped.lookup for name, mapped in asked.items() if mapped.lookup is not None}
    followed = {name: mapped for name, mapped in asked.items() if mapped.lookup is None}
    found = [(row[0], dict(zip(columns, row[1:], strict=True))) for row in rows.values_list("pk", *columns.values())]
    if followed and found:
        _follow_all(source, followed, found, using=rows.db)
    return found


def _follow_all(
    source: Source, followed: dict[str, MappedField], found: list[tuple[Any, dict[str, Any]]], *, using: str
) -> None:
    """Read what only Python can follow of many rows, with what it leads through: in one savepoint, if all goes well."""
    related = {reference for mapped in followed.values() for reference in references_of(source.model, mapped.path)}
    rows = source.model._base_manager.using(using)
    instances = (rows.select_related(*related) if related else rows).in_bulk([key for key, _raw in found])
    try:
        with transaction.atomic(using=using):
            several = [{name: mapped.read(instances[key]) for name, mapped in followed.items()} for key, _raw in found]
    except Exception:
        # One of them is to blame, which the others need not suffer for.
        several = [_follow(followed, instances[key], using=using) for key, _raw in found]
    for (_key, raw), values in zip(found, several, strict=True):
        raw.update(values)


def _follow(followed: dict[str, MappedField], instance: models.Model, *, using: str) -> dict[str, Any]:
    """Read what only Python can follow, in a savepoint: a property whose query fails must not end the host's transaction."""
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
        logger.exception("%s could not be read of %s %s.", path, instance._meta.label, instance.pk)
        raw[name] = error
    return raw


def _at_key(source: Source, using: str) -> models.QuerySet[Any]:
    """Return the row whose key is given when the query is run."""
    # No manager: one may hide the very row that is being saved.
    rows: models.QuerySet[Any] = models.QuerySet(source.model, using=using)
    parts = source.model._meta.pk_fields
    return rows.filter(**{part.attname: Parameter(part, position) for position, part in enumerate(parts)}).order_by()


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Lock as an update of these rows does, no harder: PostgreSQL lets others refer to them meanwhile."""
    return rows.select_for_update(no_key=connections[rows.db].features.has_select_for_no_key_update)
