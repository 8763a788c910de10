"""What it means that a many-to-many field of an object changes, where its source maps the field."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

from django.db import models

from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.outbox.observed import Observed, listening
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.related_keys import RelatedKeys

Model = type[models.Model]


class _UnderWay(threading.local):
    """Django tells before and after such a change: what was read before waits here for the after."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[Model, str], list[tuple[Observed, Sequence[Any]]]] = {}


_under_way = _UnderWay()


def throughs(source: Source) -> list[Model]:
    """Return the tables of the many-to-many fields that a source maps; none where its mapping is wrong."""
    try:
        return [field.remote_field.through for field in _fields(source).values()]
    except Exception:
        # A check tells of it, with the remedy.
        return []


def begin(
    through: Model, owner: Model, keys: Collection[Any] | None, *, using: str, behind: models.Model | None = None
) -> None:
    """Read what these objects of ``owner`` have behind the relation, before it changes.

    Without ``keys`` they are all that have the object ``behind`` it.
    """
    waiting = _under_way.waiting[through, using] = []
    for source in listening(owner, using=using):
        fields = {name: field for name, field in _fields(source).items() if field.remote_field.through is through}
        if fields:
            observed = Observed(source, using=using, also=fields)
            field = next(iter(fields.values()))
            its_keys = _keys_with(field, behind, using=using) if keys is None else sorted(keys)
            observed.read(its_keys)
            waiting.append((observed, its_keys))


def finish(through: Model, *, using: str) -> None:
    """Tell of what changed since `begin`."""
    for observed, keys in _under_way.waiting.pop((through, using), ()):
        observed.tell(keys)


def _fields(source: Source) -> dict[str, Any]:
    """Return the many-to-many fields that a source maps, by their canonical names."""
    names = [field.name for field in source.all_fields if field.kind is FieldKind.IDS]
    lookups = {name: source.mapped[name].lookup for name in names if name in source.mapped}
    return {name: lookup.relation for name, lookup in lookups.items() if isinstance(lookup, RelatedKeys)}


def _keys_with(field: Any, behind: models.Model | None, *, using: str) -> list[Any]:
    between: models.QuerySet[Any] = models.QuerySet(field.remote_field.through, using=using)
    rows = between.filter(**{field.m2m_reverse_field_name(): behind})
    return sorted(rows.values_list(f"{field.m2m_field_name()}_id", flat=True))
