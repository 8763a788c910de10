"""Captures changes of many-to-many fields that sources map.

Django sends a signal before and after such a change, and before and after a related object is deleted. The values that
are read before the change are kept here, per thread, until the signal after it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from django.db import connections, models, transaction

from tms_webhooks.capture.captured_rows import CapturedRows, sources_to_record
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.db.django_private import atomic_blocks
from tms_webhooks.sources.aggregates import RelatedKeys
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.snapshots import as_key, key_of

Model: TypeAlias = type[models.Model]
# Returns the keys of a source's objects that are affected by a change of the given field.
KeyFinder: TypeAlias = Callable[[Source, Any], Iterable[Any]]


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
    """A change of a many-to-many field that has begun.

    ``through`` is the relation's table, ``cause`` the instance of Django's signal, ``parts`` the captured rows of each
    source with the keys to read again after the change.
    """

    through: Model
    cause: models.Model
    block: _TransactionBlock
    parts: list[tuple[CapturedRows, Sequence[Any]]]


class _OpenChanges(threading.local):
    """The open changes of this thread, the innermost last, and the objects with such fields that it is deleting."""

    def __init__(self) -> None:
        self.changes: list[_RelationChange] = []
        self.deleting: dict[_TransactionBlock, set[tuple[Source, Any]]] = {}
        self.loaded: weakref.ref[models.Model] | None = None

    def forget_ended_blocks(self) -> None:
        self.changes = [one for one in self.changes if one.block.is_open]
        self.deleting = {scope: objects for scope, objects in self.deleting.items() if scope.is_open}

    def is_being_deleted(self, source: Source, key: Any, *, using: str) -> bool:
        return any((source, key) in objects for scope, objects in self.deleting.items() if scope.using == using)


_thread = _OpenChanges()


def through_tables(source: Source) -> Mapping[Model, Any]:
    """Return the many-to-many fields that a source maps, by their through models; empty where its mapping is wrong."""
    try:
        return {field.remote_field.through: field for field in _fields(source).values()}
    except Exception:
        # A check reports the mapping.
        return {}


def read_before_change(
    through: Model, cause: models.Model, sources: Iterable[Source], keys: KeyFinder, *, using: str
) -> None:
    """Read and lock the relation's values of the objects that a change affects.

    Objects of another open change are left out: that one ends later and records them.
    """
    _thread.forget_ended_blocks()
    fields = {source: through_tables(source)[through] for source in sources if through in through_tables(source)}
    found = {
        source: {as_key(source.model, key) for key in keys(source, field) if key is not None}
        for source, field in fields.items()
    }
    if not any(found.values()):
        return
    change = _RelationChange(through, cause, _TransactionBlock.of(using), [])
    free = {
        source: _keys_without_open_change(source, through, its_keys, using=using) for source, its_keys in found.items()
    }
    _thread.changes.append(change)
    for source in sources_to_record([source for source, its_keys in free.items() if its_keys], using=using):
        names = [name for name, field in _fields(source).items() if field is fields[source]]
        captured = CapturedRows(source, using=using, related_fields=names)
        captured.read_before(free[source])
        change.parts.append((captured, free[source]))


def record_after_change(through: Model, cause: models.Model, *, using: str) -> None:
    """Record the events of the change, except for objects that are being deleted."""
    for captured, keys in _pop_change(through, cause, using=using):
        captured.record_after([key for key in keys if not _thread.is_being_deleted(captured.source, key, using=using)])


@contextmanager
def captured_row_save(through: Model, row: models.Model, sources: Iterable[Source], *, using: str) -> Iterator[None]:
    """Capture the change of a relation whose through row is saved by itself, inside the block."""
    read_before_change(through, row, sources, keys_of_row(row, using=using), using=using)
    try:
        yield
    finally:
        if transaction.get_rollback(using):
            _pop_change(through, row, using=using)
        else:
            record_after_change(through, row, using=using)


def note_deletion(sources: Iterable[Source], instance: models.Model, *, using: str) -> None:
    """Note that an object is being deleted: the end of its relations is part of that, and no change of its fields."""
    found = {(source, key_of(source, instance)) for source in sources if through_tables(source)}
    if found:
        _thread.forget_ended_blocks()
        _thread.deleting.setdefault(_TransactionBlock.of(using), set()).update(found)


def note_loaded(instance: models.Model) -> None:
    """Note that ``instance`` comes from a fixture: before version 6.1 Django's signal of its relations lacks ``raw``."""
    _thread.loaded = weakref.ref(instance)


def is_loaded(instance: models.Model) -> bool:
    """Return whether it is the last instance loaded from a fixture: its relations are loaded right after it."""
    return _thread.loaded is not None and _thread.loaded() is instance


# The objects whose fields a change affects, by the arguments of Django's signals


def keys_of_instance(instance: models.Model) -> KeyFinder:
    """Find ``instance`` itself. (For a symmetrical relation, Django's signal does not name the other side in time.)"""
    return lambda source, _field: (key_of(source, instance),)


def keys_of_others(others: Collection[Any] | None, related: models.Model, *, using: str) -> KeyFinder:
    """Find ``others``, to which ``related`` is added or from which it is removed; None means all that have it."""

    def keys(_source: Source, field: Any) -> Iterable[Any]:
        if others is not None:
            return others
        through_rows: models.QuerySet[Any] = models.QuerySet(field.remote_field.through, using=using)
        return through_rows.filter(**{field.m2m_reverse_field_name(): related}).values_list(
            _owner_attribute(field), flat=True
        )

    return keys


def keys_of_row(row: models.Model, *, using: str) -> KeyFinder:
    """Find the object that a through row belongs to, and the one that it belonged to."""

    def keys(_source: Source, field: Any) -> Iterable[Any]:
        stored: models.QuerySet[Any] = models.QuerySet(type(row), using=using).filter(pk=row.pk)
        previous = () if row._state.adding else stored.values_list(_owner_attribute(field), flat=True)
        return (getattr(row, _owner_attribute(field)), *previous)

    return keys


def _owner_attribute(field: Any) -> str:
    """Return the through row's attribute with the key of the object that has the field."""
    attribute: str = field.remote_field.through._meta.get_field(field.m2m_field_name()).attname
    return attribute


def _keys_without_open_change(source: Source, through: Model, keys: set[Any], *, using: str) -> Sequence[Any]:
    """Return the keys of objects that no open change of this table affects, sorted."""
    parts = [
        part for one in _thread.changes if one.through is through and one.block.using == using for part in one.parts
    ]
    return sorted(keys.difference(*(its_keys for captured, its_keys in parts if captured.source is source)))


@cache
def _fields(source: Source) -> Mapping[str, Any]:
    """Return the many-to-many fields that a source maps, by their canonical names."""
    names = [field.name for field in source.all_fields if field.kind is FieldKind.IDS]
    lookups = {name: source.mapped[name].lookup for name in names if name in source.mapped}
    return {name: lookup.relation for name, lookup in lookups.items() if isinstance(lookup, RelatedKeys)}


def _pop_change(through: Model, cause: models.Model, *, using: str) -> list[tuple[CapturedRows, Sequence[Any]]]:
    """Return the captured rows of the innermost such change with their keys, and forget the change."""
    changes = _thread.changes
    for index in reversed(range(len(changes))):
        one = changes[index]
        if one.through is through and one.cause is cause and one.block.using == using:
            return changes.pop(index).parts
    return []
