"""Which rows of a model are objects of a source: `Source.only`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import models
from django.db.models import Q

from tms_webhooks.computed import Not
from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.mapping import MappedField


class Only:
    """The conditions of a source's ``only``: the accepted values at each path, and how to read the value there.

    They are a value, a list of values, or ``Not`` of either: ``{"role": "learner", "deleted_at": None, "user": Not(None)}``.
    """

    def __init__(self, conditions: Sequence[tuple[str, MappedField | None, Any]]) -> None:
        self._conditions = conditions

    def excludes_null(self, path: str) -> bool:
        """Return whether only rows with a value in the column at the beginning of a path are objects of the source."""
        first = path.partition(".")[0]
        return any(
            one.partition(".")[0] == first and not _accepts(None, condition)
            for one, _mapped, condition in self._conditions
        )

    def matches(self, raw: Mapping[str, Any]) -> bool:
        """Return whether a row with these values is an object of the source. Of a list, one value has to be accepted."""
        for _path, mapped, condition in self._conditions:
            value = raw.get(mapped.field.name) if mapped is not None else None
            is_list = mapped is not None and isinstance(mapped.lookup, RelatedList)
            if not any(_accepts(one, condition) for one in (value or [None] if is_list else [value])):
                return False
        return True

    def filter(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Return the rows that match."""
        for path, mapped, condition in self._conditions:
            lookup, listed = path.replace(".", "__"), _listed(condition)
            matching = Q(**{f"{lookup}__in": [one for one in listed if one is not None]})
            if None in listed:
                matching |= Q(**{f"{lookup}__isnull": True})
            if isinstance(condition, Not):
                matching = ~matching
            if mapped is None or not mapped.own:
                # A join with a list returns a row more than once, and one with another table can't always be locked.
                matching = Q(pk__in=models.QuerySet(rows.model).filter(matching).order_by().values("pk"))
            rows = rows.filter(matching)
        return rows


def without_null(condition: Any) -> Any:
    """Return a condition of `Source.only` that accepts the same values as this one, but not null."""
    if isinstance(condition, Not):
        return condition if not _accepts(None, condition) else Not([*_listed(condition), None])
    return [one for one in _listed(condition) if one is not None] or Not(None)


def _accepts(value: Any, condition: Any) -> bool:
    return (value in _listed(condition)) is not isinstance(condition, Not)


def _listed(condition: Any) -> Collection[Any]:
    values = condition.path if isinstance(condition, Not) else condition
    return list(values) if isinstance(values, list | tuple | set | frozenset) else [values]
