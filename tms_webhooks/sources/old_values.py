"""The old values that lie behind a changed foreign key: the row itself has the key only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeAlias

from django.db import models
from django.db.models import F

from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.base import Source

Values: TypeAlias = Mapping[str, Any]


def with_values_behind_keys(
    source: Source, states: Mapping[Any, tuple[Values | None, Values | None]], *, using: str
) -> dict[Any, tuple[Values | None, Values | None]]:
    """Return pairs of raw values before and after, by key, with the old values behind a foreign key (`Source.keys_behind`).

    Where the key changed, the value is read from the object that it led to: one query per field. An old object that no
    longer exists leaves null.
    """
    result = dict(states)
    for name, key in source.keys_behind.items():
        pairs = {
            one: (before, after)
            for one, (before, after) in result.items()
            if before and after and key in before and name not in before and before[key] != after[key]
        }
        if pairs:
            behind = _values_behind(source, name, {before[key] for before, _after in pairs.values()}, using=using)
            for one, (before, after) in pairs.items():
                result[one] = {**before, name: behind.get(before[key])}, after
    return result


def _values_behind(source: Source, name: str, keys: set[Any], *, using: str) -> Mapping[Any, Any]:
    """Return the values of a name by the foreign keys that lead to them."""
    lookup = source.mapped[name].lookup
    is_list = isinstance(lookup, RelatedList)
    first, _, onward = (lookup.base if isinstance(lookup, RelatedList) else str(lookup)).partition("__")
    reference: Any = source.model._meta.get_field(first)
    target = reference.target_field.attname
    rows: models.QuerySet[Any] = models.QuerySet(reference.related_model, using=using)
    value = lookup.moved(onward) if isinstance(lookup, RelatedList) else F(onward)
    rows = rows.filter(**{f"{target}__in": keys - {None}}).annotate(tms_webhooks_value=value)
    found: defaultdict[Any, Any] = defaultdict(list if is_list else lambda: None)
    found.update(rows.values_list(target, "tms_webhooks_value"))
    return found
