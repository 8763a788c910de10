"""Passes the saves and bulk operations of registered models to capture.

While a source is registered, ``Model.save_base`` and five methods of Django's ``QuerySet`` look up the model first.
So a host's managers and querysets stay as they are, and what Django does by itself is captured, too, such as
``SET_NULL``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from django.db import models, router

from tms_webhooks.db.django_private import (
    InsertConflict,
    copy_of,
    forget_results,
    insert_around,
    returns_values,
    use_write_database,
    wrap_queryset_methods,
    wrap_save_base,
)

Rows = models.QuerySet[Any]
# A method of Django's own ``QuerySet``.
Method = Callable[..., Any]

# How many objects are read, changed and captured at a time. Old versions of SQLite take 999 parameters in a statement.
CHUNK = 900


class BulkCapture(Protocol):
    """Turns saves and bulk operations into events. `tms_webhooks.capture.bulk` implements it."""

    def save(
        self,
        instance: models.Model,
        write: Callable[[], None],
        *,
        using: str,
        raw: bool,
        names: Collection[str] | None,
    ) -> None:
        """Call ``write`` to save ``instance``, and record its events; ``names`` are the fields that it writes, None for all."""

    def atomic(self, using: str) -> AbstractContextManager[None]:
        """Open a transaction unless one is open already."""

    def update(self, rows: Rows, write: Callable[[Rows], int], values: Mapping[str, Any]) -> int:
        """Call ``write`` for ``rows`` and these ``values``, chunk by chunk, and record events for changed rows; return the sum of its results."""

    def delete(self, rows: Rows, write: Callable[[Rows], tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
        """Record the events of the deletion of ``rows``, call ``write`` to delete them, and return its result."""

    def captures_inserts(self, rows: Rows) -> bool:
        """Return whether any subscription matches events of new rows."""

    def insert(
        self, rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: InsertConflict | None
    ) -> None:
        """Call ``write`` to insert ``objs``, and record events for the rows whose keys it returns."""


_captures: dict[type[models.Model], BulkCapture] = {}
# The function that gives Django's methods back, while a model is captured.
_undo: list[Callable[[], None]] = []


def connect_capture(model: type[models.Model], capture: BulkCapture) -> None:
    """Pass the bulk operations of ``model`` to ``capture``, whichever manager or queryset they are called on."""
    if not _captures:
        _undo.extend([wrap_queryset_methods(_METHODS), wrap_save_base(_save_base)])
    _captures[model] = capture


def disconnect_capture(model: type[models.Model]) -> None:
    """Undo `connect_capture`; with the last model, Django's own methods come back."""
    _captures.pop(model, None)
    if not _captures:
        while _undo:
            _undo.pop()()


def _capture_of(rows: Rows) -> BulkCapture | None:
    """Return the capture of a queryset's model. Signals report the rows of models that Django creates for relations."""
    return None if rows.model._meta.auto_created else _captures.get(rows.model)


# The methods of all models and querysets


def _save_base(
    save_base: Method,
    instance: models.Model,
    raw: bool = False,  # noqa: FBT001, FBT002 (Django's signature)
    force_insert: Any = False,  # noqa: FBT002
    force_update: bool = False,  # noqa: FBT001, FBT002
    using: str | None = None,
    update_fields: Collection[str] | None = None,
) -> None:
    """Save as Django does, and emit the events of the change."""
    using = using or router.db_for_write(type(instance), instance=instance)
    arguments = (raw, force_insert, force_update, using, update_fields)
    capture = _captures.get(type(instance))
    if capture is None:
        save_base(instance, *arguments)
    else:
        capture.save(instance, lambda: save_base(instance, *arguments), using=using, raw=raw, names=update_fields)


def _update(update: Method, rows: Rows, **kwargs: Any) -> int:
    """Update as Django does, and emit an event for each object that changes."""
    capture = _capture_of(rows)
    # Django refuses to update these querysets, with its own message.
    if capture is None or rows.query.is_sliced or rows.query.combinator:
        return update(rows, **kwargs)  # type: ignore[no-any-return]
    use_write_database(rows)
    forget_results(rows)
    return capture.update(rows, lambda part: update(part, **kwargs), kwargs)


def _bulk_update(
    bulk_update: Method, rows: Rows, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None
) -> int:
    """Update as Django does, `CHUNK` objects at a time, in one transaction. Django calls ``update`` for each batch."""
    capture, names = _capture_of(rows), list(fields)
    if capture is None:
        return bulk_update(rows, objs, names, batch_size=batch_size)  # type: ignore[no-any-return]
    use_write_database(rows)
    if not needs_one_statement(rows.model, names) and (batch_size is None or batch_size > CHUNK):
        batch_size = CHUNK
    with capture.atomic(rows.db):
        return bulk_update(rows, objs, names, batch_size=batch_size)  # type: ignore[no-any-return]


def _bulk_create(bulk_create: Method, rows: Rows, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
    """Insert as Django does, and emit the events of new objects, and of objects that a conflict updates."""
    capture = _capture_of(rows)
    if capture is None:
        return bulk_create(rows, objs, *args, **kwargs)  # type: ignore[no-any-return]
    use_write_database(rows)
    if not capture.captures_inserts(rows):
        return bulk_create(rows, objs, *args, **kwargs)  # type: ignore[no-any-return]
    # A copy, so that only this insert is captured: copies of it do not inherit the attribute.
    inserting: Any = copy_of(rows)
    inserting.tms_webhooks_around_insert = capture.insert
    with capture.atomic(rows.db):
        return bulk_create(inserting, objs, *args, **kwargs)  # type: ignore[no-any-return]


def _insert(insert: Method, rows: Rows, objs: Sequence[Any], fields: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Insert one batch of ``bulk_create``. Every other insert of Django's comes this way too."""
    around = vars(rows).get("tms_webhooks_around_insert")
    if around is None:
        return insert(rows, objs, fields, *args, **kwargs)  # type: ignore[no-any-return]
    return insert_around(insert, rows, objs, fields, *args, around=around, **kwargs)


def _delete(delete: Method, rows: Rows) -> tuple[int, dict[str, int]]:
    """Delete as Django does, and emit an event for each deleted object."""
    capture = _capture_of(rows)
    query: Any = rows.query
    if capture is None or query.is_sliced or query.distinct_fields or query.combinator or returns_values(rows):
        return delete(rows)  # type: ignore[no-any-return]
    use_write_database(rows)
    forget_results(rows)
    return capture.delete(rows, delete)


_METHODS: dict[str, Callable[..., Any]] = {
    "update": _update,
    "bulk_update": _bulk_update,
    "bulk_create": _bulk_create,
    "_insert": _insert,
    "delete": _delete,
}


def needs_one_statement(model: type[models.Model], names: Collection[str]) -> bool:
    """Return whether an update of these fields must be a single statement, however many rows it changes.

    This is so for unique fields: between two statements the values may violate the constraint.
    """
    meta = model._meta
    fields: set[Any] = {meta.get_field(name) for name in names if name != "pk"}
    together = {name for constraint in meta.constraints for name in getattr(constraint, "fields", ())}
    together.update(*meta.unique_together)
    return any(field.unique or field.name in together for field in fields)
