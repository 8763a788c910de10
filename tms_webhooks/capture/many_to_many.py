"""What it means that a many-to-many field of an object changes, where its source maps the field.

Django tells before and after such a change, and before and after what stands behind the field is deleted: what was read
before waits here for the after.
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

from tms_webhooks.capture.bulk import CapturedRows, listening
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.db.django_private import atomic_blocks
from tms_webhooks.sources.aggregates import RelatedKeys
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.snapshots import as_key, key_of

Model: TypeAlias = type[models.Model]
# Which objects of a source a change of one of its fields is about.
Keys: TypeAlias = Callable[[Source, Any], Iterable[Any]]


class _Scope(NamedTuple):
    """The block of a transaction that something is done in: with it that ends, also where it fails."""

    using: str
    block: object

    @classmethod
    def of(cls, using: str) -> _Scope:
        blocks = atomic_blocks(connections[using])
        return cls(using, blocks[-1] if blocks else None)

    @property
    def is_open(self) -> bool:
        return self.block in atomic_blocks(connections[self.using])


@dataclass(slots=True, eq=False)
class _Change:
    """A change that has begun: of which table, by which of Django's instances, and what to look at when it is done."""

    through: Model
    cause: models.Model
    scope: _Scope
    parts: list[tuple[CapturedRows, Sequence[Any]]]


class _OpenChanges(threading.local):
    """What this thread is in the middle of: changes, the innermost last, and deletions of objects with such fields."""

    def __init__(self) -> None:
        self.changes: list[_Change] = []
        self.going: dict[_Scope, set[tuple[Source, Any]]] = {}
        self.loaded: weakref.ref[models.Model] | None = None

    def forget_what_is_over(self) -> None:
        self.changes = [one for one in self.changes if one.scope.is_open]
        self.going = {scope: objects for scope, objects in self.going.items() if scope.is_open}

    def is_going(self, source: Source, key: Any, *, using: str) -> bool:
        return any((source, key) in objects for scope, objects in self.going.items() if scope.using == using)


_open = _OpenChanges()


def throughs(source: Source) -> Mapping[Model, Any]:
    """Return the many-to-many fields that a source maps, by the tables between; none where its mapping is wrong."""
    try:
        return {field.remote_field.through: field for field in _fields(source).values()}
    except Exception:
        # A check tells of it, with the remedy.
        return {}


def begin(through: Model, cause: models.Model, sources: Iterable[Source], keys: Keys, *, using: str) -> None:
    """Read what objects have behind the relation, before it changes. What they have is told by `finish`.

    An object that another change is at already is left to that one, which ends later.
    """
    _open.forget_what_is_over()
    fields = {source: throughs(source)[through] for source in sources if through in throughs(source)}
    found = {
        source: {as_key(source.model, key) for key in keys(source, field) if key is not None}
        for source, field in fields.items()
    }
    if not any(found.values()):
        return
    change = _Change(through, cause, _Scope.of(using), [])
    free = {source: _free(source, through, its_keys, using=using) for source, its_keys in found.items()}
    _open.changes.append(change)
    for source in listening([source for source, its_keys in free.items() if its_keys], using=using):
        names = [name for name, field in _fields(source).items() if field is fields[source]]
        observed = CapturedRows(source, using=using, also=names)
        observed.read(free[source])
        change.parts.append((observed, free[source]))


def finish(through: Model, cause: models.Model, *, using: str) -> None:
    """Tell of what changed since `begin`; not of objects that go in the same breath."""
    for observed, keys in _take(through, cause, using=using):
        observed.tell([key for key in keys if not _open.is_going(observed.source, key, using=using)])


@contextmanager
def row_written(through: Model, row: models.Model, sources: Iterable[Source], *, using: str) -> Iterator[None]:
    """Tell of what it means that a row between the two is saved by itself."""
    begin(through, row, sources, keys_of_row(row, using=using), using=using)
    try:
        yield
    finally:
        if transaction.get_rollback(using):
            _take(through, row, using=using)
        else:
            finish(through, row, using=using)


def note_going(sources: Iterable[Source], instance: models.Model, *, using: str) -> None:
    """Note that an object is being deleted: what is behind its fields goes with it, and is no change of it."""
    found = {(source, key_of(source, instance)) for source in sources if throughs(source)}
    if found:
        _open.forget_what_is_over()
        _open.going.setdefault(_Scope.of(using), set()).update(found)


def note_loaded(instance: models.Model) -> None:
    """Note that ``instance`` comes from a fixture. Before version 6.1 Django does not say so of its relations."""
    _open.loaded = weakref.ref(instance)


def is_loaded(instance: models.Model) -> bool:
    """Say whether it is the instance that was last loaded, whose relations follow right after."""
    return _open.loaded is not None and _open.loaded() is instance


# Whose lists change, by what Django tells of


def keys_of_instance(instance: models.Model) -> Keys:
    """Return that it is the list of ``instance``. (Of what it has in a relation to itself Django does not tell in time.)"""
    return lambda source, _field: (key_of(source, instance),)


def keys_of_others(others: Collection[Any] | None, behind: models.Model, *, using: str) -> Keys:
    """Return the same where ``behind`` is added to others or taken from them; None stands for all that have it."""

    def keys(_source: Source, field: Any) -> Iterable[Any]:
        if others is not None:
            return others
        between: models.QuerySet[Any] = models.QuerySet(field.remote_field.through, using=using)
        return between.filter(**{field.m2m_reverse_field_name(): behind}).values_list(_near(field), flat=True)

    return keys


def keys_of_row(row: models.Model, *, using: str) -> Keys:
    """Return the same where it is a row of the table between: whose it is, and whose it was."""

    def keys(_source: Source, field: Any) -> Iterable[Any]:
        stored: models.QuerySet[Any] = models.QuerySet(type(row), using=using).filter(pk=row.pk)
        whose = () if row._state.adding else stored.values_list(_near(field), flat=True)
        return (getattr(row, _near(field)), *whose)

    return keys


def _near(field: Any) -> str:
    """Return the attribute of the rows between that holds the key of the object that has the field."""
    near: str = field.remote_field.through._meta.get_field(field.m2m_field_name()).attname
    return near


def _free(source: Source, through: Model, keys: set[Any], *, using: str) -> Sequence[Any]:
    """Return those keys that no change is at, in their order."""
    parts = [part for one in _open.changes if one.through is through and one.scope.using == using for part in one.parts]
    return sorted(keys.difference(*(its_keys for observed, its_keys in parts if observed.source is source)))


@cache
def _fields(source: Source) -> Mapping[str, Any]:
    """Return the many-to-many fields that a source maps, by their canonical names."""
    names = [field.name for field in source.all_fields if field.kind is FieldKind.IDS]
    lookups = {name: source.mapped[name].lookup for name in names if name in source.mapped}
    return {name: lookup.relation for name, lookup in lookups.items() if isinstance(lookup, RelatedKeys)}


def _take(through: Model, cause: models.Model, *, using: str) -> list[tuple[CapturedRows, Sequence[Any]]]:
    """Return what the last change of this kind reads again, and forget it."""
    changes = _open.changes
    for index in reversed(range(len(changes))):
        one = changes[index]
        if one.through is through and one.cause is cause and one.scope.using == using:
            return changes.pop(index).parts
    return []
