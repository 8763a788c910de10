"""Captures changes of lists that sources map: many-to-many fields, and rows whose foreign key leads to an object.

Django sends a signal before and after such a change, and before and after a related object is deleted. The values that
are read before the change are kept here, per thread, until the signal after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from django.db import connections, models, transaction

from tms_webhooks.capture.captured_rows import CapturedRows, sources_to_record
from tms_webhooks.db.django_private import atomic_blocks
from tms_webhooks.sources.aggregates import ListRelation
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.families import by_source, topmost, with_replacements
from tms_webhooks.sources.snapshots import as_key, key_of

Model: TypeAlias = type[models.Model]
# Returns the keys of a source's objects that are affected by a change of the given list.
KeyFinder: TypeAlias = Callable[[Source, ListRelation], Iterable[Any]]


# The connected sources of each model of a list's rows.
sources_by_rows: dict[Model, set[Source]] = {}


class _TransactionBlock(NamedTuple):
    """The innermost block of the open transaction; ``block`` is None outside of any."""

    using: str
    block: object

    @classmethod
    def of(cls, using: str) -> _TransactionBlock:
        blocks = atomic_blocks(connections[using])
        return cls(using, blocks[-1] if blocks else None)

    @property
    def is_open(self) -> bool:
        """Whether the block has not ended, by success or by failure."""
        return self.block in atomic_blocks(connections[self.using])


@dataclass(slots=True, eq=False)
class _RelationChange:
    """A change of a list that has begun.

    ``through`` is the model of the list's rows, and ``cause`` the instance of Django's signal or the queryset.
    ``parts`` are the captured rows of each source with the keys to read again after the change.
    """

    through: Model
    cause: Any
    block: _TransactionBlock
    parts: list[tuple[CapturedRows, Sequence[Any]]]


class _OpenChanges(threading.local):
    """The open changes of this thread, the innermost last, and the objects with such fields that it is deleting."""

    def __init__(self) -> None:
        self.changes: list[_RelationChange] = []
        self.deleting: dict[_TransactionBlock, set[tuple[Source, Any]]] = {}

    def forget_ended_blocks(self) -> None:
        self.changes = [one for one in self.changes if one.block.is_open]
        self.deleting = {scope: objects for scope, objects in self.deleting.items() if scope.is_open}

    def is_being_deleted(self, source: Source, key: Any, *, using: str) -> bool:
        return any((source, key) in objects for scope, objects in self.deleting.items() if scope.using == using)


_thread = _OpenChanges()


def through_tables(source: Source) -> Mapping[Model, ListRelation]:
    """Return the lists that a source maps, by the models of their rows; empty where its mapping is wrong."""
    try:
        return {relation.rows: relation for relation in _lists(source).values()}
    except Exception:
        # A check reports the mapping.
        return {}


def read_before_change(through: Model, cause: Any, sources: Iterable[Source], keys: KeyFinder, *, using: str) -> None:
    """Read and lock the list's values of the objects that a change affects.

    Objects of another open change are left out: that one ends later and records them.
    """
    _thread.forget_ended_blocks()
    lists = {source: through_tables(source)[through] for source in sources if through in through_tables(source)}
    found = {
        one: set(its_keys)
        for source in topmost(lists)
        for one, its_keys in by_source(
            source, {as_key(source.model, key) for key in keys(source, lists[source]) if key is not None}, using=using
        )
        if through in through_tables(one)
    }
    if not any(found.values()):
        return
    change = _RelationChange(through, cause, _TransactionBlock.of(using), [])
    of_others = [one for one in _thread.changes if one.through is through and one.block.using == using]
    taken = [part for one in of_others for part in one.parts]
    free: dict[Source, Sequence[Any]] = {
        source: sorted(its_keys.difference(*(other for captured, other in taken if captured.source is source)))
        for source, its_keys in found.items()
    }
    _thread.changes.append(change)
    for source in sources_to_record([source for source, its_keys in free.items() if its_keys], using=using):
        names = [name for name, relation in _lists(source).items() if relation.rows is through]
        captured = CapturedRows(source, using=using, related_fields=names)
        captured.read_before(free[source])
        change.parts.append((captured, free[source]))


def record_after_change(through: Model, cause: Any, *, using: str) -> None:
    """Record the events of the change, except for objects that are being deleted."""
    for captured, keys in _pop_change(through, cause, using=using):
        captured.record_after([key for key in keys if not _thread.is_being_deleted(captured.source, key, using=using)])


@contextmanager
def captured_change(
    through: Model, cause: Any, sources: Iterable[Source], keys: KeyFinder, *, using: str
) -> Iterator[None]:
    """Capture the change of lists whose rows are written by themselves, inside the block."""
    read_before_change(through, cause, sources, keys, using=using)
    try:
        yield
    finally:
        if transaction.get_rollback(using):
            _pop_change(through, cause, using=using)
        else:
            record_after_change(through, cause, using=using)


def note_deletion(sources: Iterable[Source], instance: models.Model, *, using: str) -> None:
    """Note that an object is being deleted: the end of its relations is part of that, and no change of its fields."""
    found = {(source, key_of(source, instance)) for source in with_replacements(sources) if through_tables(source)}
    if found:
        _thread.forget_ended_blocks()
        _thread.deleting.setdefault(_TransactionBlock.of(using), set()).update(found)


# The objects whose fields a change affects, by the arguments of Django's signals


def keys_of_instance(instance: models.Model) -> KeyFinder:
    """Find ``instance`` itself. (For a symmetrical relation, Django's signal does not name the other side in time.)"""
    return lambda source, _relation: (key_of(source, instance),)


def keys_of_others(others: Collection[Any] | None, related: models.Model, *, using: str) -> KeyFinder:
    """Find ``others``, to which ``related`` is added or from which it is removed; None means all that have it."""

    def keys(_source: Source, relation: ListRelation) -> Iterable[Any]:
        if others is not None:
            return others
        rows: models.QuerySet[Any] = models.QuerySet(relation.rows, using=using)
        return rows.filter(**{relation.target: related}).values_list(relation.owner_attribute, flat=True)

    return keys


def keys_of_row(row: models.Model, *, using: str) -> KeyFinder:
    """Find the object that a through row belongs to, and the one that it belonged to."""

    def keys(_source: Source, relation: ListRelation) -> Iterable[Any]:
        stored: models.QuerySet[Any] = models.QuerySet(type(row), using=using).filter(pk=row.pk)
        previous = () if row._state.adding else stored.values_list(relation.owner_attribute, flat=True)
        return (getattr(row, relation.owner_attribute), *previous)

    return keys


def keys_of_rows(rows: models.QuerySet[Any], values: Mapping[str, Any]) -> KeyFinder:
    """Find the objects that these rows belong to before an update with ``values``, and after it."""

    def keys(_source: Source, relation: ListRelation) -> Iterable[Any]:
        found = rows.order_by().select_related(None)
        owners = set(found.values_list(relation.owner_attribute, flat=True))
        for name in {relation.owner, relation.owner_attribute} & values.keys():
            value = values[name]
            if hasattr(value, "resolve_expression"):
                owners.update(found.annotate(tms_webhooks_owner=value).values_list("tms_webhooks_owner", flat=True))
            else:
                owners.add(value.pk if isinstance(value, models.Model) else value)
        return owners

    return keys


def keys_of_new_rows(objs: Sequence[models.Model], replaced: models.QuerySet[Any]) -> KeyFinder:
    """Find the objects that new rows belong to, and those of the rows that they may replace."""

    def keys(source: Source, relation: ListRelation) -> Iterable[Any]:
        return {getattr(one, relation.owner_attribute) for one in objs} | set(
            keys_of_rows(replaced, {})(source, relation)
        )

    return keys


@cache
def _lists(source: Source) -> Mapping[str, ListRelation]:
    """Return the lists that a source maps and whose change is a change of its object, by their canonical names."""
    lists = {name: mapped.own_list for name, mapped in source.mapped.items()}
    return {name: one.relation for name, one in lists.items() if one is not None}


def _pop_change(through: Model, cause: Any, *, using: str) -> list[tuple[CapturedRows, Sequence[Any]]]:
    """Return the captured rows of the innermost such change with their keys, and forget the change."""
    changes = _thread.changes
    for index in reversed(range(len(changes))):
        one = changes[index]
        if one.through is through and one.cause is cause and one.block.using == using:
            return changes.pop(index).parts
    return []
