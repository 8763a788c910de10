"""Captures changes of lists that sources map: many-to-many fields, and rows whose foreign key leads to an object.

Django sends a signal before and after such a change, and before and after a related object is deleted. The values that
are read before the change are kept here, per thread, until the signal after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import models, transaction

from tms_webhooks.capture.captured_rows import CapturedRows, sources_to_record
from tms_webhooks.capture.saves import Scope, atomic, is_open, scope_of, thread_state
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import ListRelation, Model, all_rows
from tms_webhooks.sources.rows import Rows
from tms_webhooks.sources.states import lists_of
from tms_webhooks.sources.stored_rows import as_key

# Returns the keys of a source's objects that are affected by a change of the given list.
KeyFinder: TypeAlias = Callable[[Source, ListRelation], Iterable[Any]]

NO_VALUES: Mapping[str, Any] = {}

# The connected sources of each model of a list's rows.
sources_by_rows: dict[Model, set[Source]] = {}


@dataclass(slots=True, eq=False)
class _RelationChange:
    """A change of a list that has begun.

    ``through`` is the model of the list's rows, and ``cause`` the instance of Django's signal or the queryset.
    """

    through: Model
    cause: Any
    scope: Scope
    captured: list[CapturedRows]


def through_tables(source: Source) -> Mapping[Model, ListRelation]:
    """Return the lists that a source maps, by the models of their rows; empty where its mapping is wrong."""
    try:
        return {one.relation.rows: one.relation for one in lists_of(source).values()}
    except Exception:
        # A check reports the mapping.
        return {}


def read_before_change(through: Model, cause: Any, sources: Iterable[Source], keys: KeyFinder, *, using: str) -> None:
    """Read and lock the list's values of the objects that a change affects.

    Objects of another open change are left out: that one ends later and records them.
    """
    change = _RelationChange(through, cause, scope_of(using), [])
    thread_state.list_changes = [one for one in thread_state.list_changes if is_open(one.scope)]
    affected = {
        source: {as_key(source.model, key) for key in keys(source, through_tables(source)[through]) if key is not None}
        for source in sources
    }
    for other in thread_state.list_changes:
        for captured in other.captured if (other.through, other.scope[0]) == (through, using) else ():
            affected.get(captured.source, set()).difference_update(captured.keys)
    thread_state.list_changes.append(change)
    for source in sources_to_record([one for one, of_one in affected.items() if of_one], using=using):
        names = [name for name, one in lists_of(source).items() if one.relation.rows is through]
        captured = CapturedRows(source, using=using, related_fields=names)
        captured.read_before(sorted(affected[source]))
        change.captured.append(captured)


def record_after_change(through: Model, cause: Any, *, using: str) -> None:
    """Record the events of the innermost such change, and forget the change."""
    for change in reversed(thread_state.list_changes):
        if change.cause is cause and (change.through, change.scope[0]) == (through, using):
            thread_state.list_changes.remove(change)
            for captured in [] if transaction.get_rollback(using) else change.captured:
                captured.record_after()
            return


@contextmanager
def captured_change(through: Model, cause: Any, keys: KeyFinder, using: str) -> Iterator[None]:
    """Capture the change of lists whose rows are written by themselves, inside the block."""
    sources = sources_by_rows.get(through)
    if not sources:
        yield
        return
    with atomic(using):
        read_before_change(through, cause, sources, keys, using=using)
        try:
            yield
        finally:
            record_after_change(through, cause, using=using)


# The objects whose fields a change affects, by the arguments of Django's signals


def keys_of_others(others: Collection[Any] | None, related: models.Model, *, using: str) -> KeyFinder:
    """Find ``others``, to which ``related`` is added or from which it is removed; None means all that have it."""

    def keys(_source: Source, relation: ListRelation) -> Iterable[Any]:
        if others is not None:
            return others
        rows = all_rows(relation.rows, using=using).filter(**{relation.target: related})
        return rows.values_list(relation.owner_attribute, flat=True)

    return keys


def keys_of_row(row: models.Model, *, using: str) -> KeyFinder:
    """Find the object that a through row belongs to, and the one that it belonged to."""
    stored = all_rows(type(row), using=using).filter(pk=row.pk)
    return keys_of_rows(stored.none() if row._state.adding else stored, new=[row])


def keys_of_rows(rows: Rows, values: Mapping[str, Any] = NO_VALUES, *, new: Sequence[models.Model] = ()) -> KeyFinder:
    """Find the objects that these rows belong to before an update with ``values``, and after it; and those of ``new`` rows.

    The rows are those that an update changes, or that new rows may replace.
    """

    def keys(_source: Source, relation: ListRelation) -> Iterable[Any]:
        found = rows.order_by().select_related(None)
        owners = {getattr(one, relation.owner_attribute) for one in new}
        owners.update(found.values_list(relation.owner_attribute, flat=True))
        for name in {relation.owner, relation.owner_attribute} & values.keys():
            value = values[name]
            if hasattr(value, "resolve_expression"):
                owners.update(found.annotate(tms_webhooks_owner=value).values_list("tms_webhooks_owner", flat=True))
            else:
                owners.add(value.pk if isinstance(value, models.Model) else value)
        return owners

    return keys
