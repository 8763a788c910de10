"""Sources of models that extend each other, each by a table of its own: which of them reads a row.

A row of an extending model is one object with the row that it extends. The source of the most special model reads it,
if it has the same noun and events. So each change, by either model, is one event with the values of both rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, cached_property
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef

from tms_webhooks.db.lookups import keys_in
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import MappedField

Model = type[models.Model]


class AtParent(Source):
    """Makes a source class one of a parent model that reads no rows itself: each is read by the source of its child.

    It is in the registry for the source with ``through_parents`` that it extends, so that capture finds that one.
    """

    @cached_property
    def mapped(self) -> dict[str, MappedField]:
        """Nothing: no value of a row is read."""
        return {}


def at_parents(source: Source) -> list[Source]:
    """Return the sources that have the changes of a source's rows captured through the models that its own extends."""
    parents = source.model._meta.get_parent_list() if source.through_parents else ()
    kind: Any = type(f"{type(source).__name__}AtParent", (AtParent, type(source)), {})
    return [kind(parent, source._related) for parent in parents if _extends(source.model, parent)]


def replaces(source: Source, other: Source) -> bool:
    """Return whether ``source`` reads the rows of its model in place of ``other``, whose model it extends.

    Sources without a common event are both recorded.
    """
    is_one_object = source.noun is other.noun and _extends(source.model, other.model)
    return is_one_object and not set(source.event_types).isdisjoint(other.event_types)


def is_replaced_by(source: Source) -> list[Source]:
    """Return the sources that read some of the rows of ``source`` in its place, those of the most special models first."""
    found = [one for one in source.related_sources() if replaces(one, source)]
    return sorted(found, key=lambda one: len(one.model.__mro__), reverse=True) if len(found) > 1 else found


def is_topmost(source: Source) -> bool:
    """Return whether ``source`` reads no rows in place of another source that has events itself."""
    others = (one for one in source.related_sources() if not isinstance(one, AtParent))
    return not isinstance(source, AtParent) and not any(replaces(source, other) for other in others)


def topmost(sources: Iterable[Source]) -> list[Source]:
    """Return the sources that read no rows in place of another one of them."""
    found = list(sources)
    return [one for one in found if not any(replaces(one, other) for other in found)]


def with_replacements(sources: Iterable[Source]) -> list[Source]:
    """Return the sources, and those that read some of their rows in their place."""
    return list(dict.fromkeys(one for source in sources for one in (source, *is_replaced_by(source))))


def by_source(source: Source, keys: Collection[Any], *, using: str) -> list[tuple[Source, list[Any]]]:
    """Return the keys of rows of ``source``, in their order, by the sources that read these rows; ``source`` is the last."""
    parts: list[tuple[Source, list[Any]]] = []
    left = list(keys)
    for special in is_replaced_by(source):
        rows: models.QuerySet[Any] = models.QuerySet(special.model, using=using)
        found = set(rows.filter(keys_in(special.model, left, using=using)).values_list("pk", flat=True)) if left else ()
        parts.append((special, [key for key in left if key in found]))
        left = [key for key in left if key not in found]
    return [*parts, (source, left)]


def source_at(source: Source, key: Any, *, using: str) -> Source:
    """Return the source that reads the row of ``source`` with this key."""
    return next((one for one, keys in by_source(source, [key], using=using) if keys), source)


def own_rows(source: Source, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Return the rows of ``source`` without those that another source reads in its place."""
    for special in is_replaced_by(source):
        others: models.QuerySet[Any] = models.QuerySet(special.model, using=rows.db)
        rows = rows.filter(~Exists(others.filter(pk=OuterRef("pk"))))
    return rows


@cache
def _extends(model: Model, other: Model) -> bool:
    """Return whether the rows of ``model`` extend rows of ``other`` and have the same keys.

    The key of a model with several parents is that of the first.
    """
    current: Any = model._meta.concrete_model
    if current is other._meta.concrete_model:
        return False
    while current is not other._meta.concrete_model:
        link = current._meta.pk.remote_field
        if link is None or not getattr(link, "parent_link", False):
            return False
        current = link.model._meta.concrete_model
    return True
