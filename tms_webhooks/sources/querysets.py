"""A queryset and a manager whose bulk operations emit events. Django sends no signals for bulk operations.

A host's ``models.py`` imports them before any model is loaded, so this module imports no model of this app. When a
source is registered, `connect_capture` names the code that captures the bulk operations of its model.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from django.db import models

from tms_webhooks.db.django_private import (
    InsertConflict,
    InsertQuerySet,
    copy_of,
    forget_results,
    returns_values,
    use_write_database,
)

M = TypeVar("M", bound=models.Model, covariant=True)
Rows = models.QuerySet[Any]

# How many objects are read, changed and captured at a time. Old versions of SQLite take 999 parameters in a statement.
CHUNK = 900


class BulkCapture(Protocol):
    """Turns bulk operations into events. `tms_webhooks.capture.bulk` implements it."""

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


def connect_capture(model: type[models.Model], capture: BulkCapture) -> None:
    """Pass the bulk operations of ``model`` to ``capture``."""
    _captures[model] = capture


def disconnect_capture(model: type[models.Model]) -> None:
    """Undo `connect_capture`."""
    _captures.pop(model, None)


class WebhookQuerySet(InsertQuerySet[M]):
    """A queryset whose ``update``, ``bulk_update``, ``bulk_create`` and ``delete`` emit events, as ``save`` does.

    So do their asynchronous variants. For a model without a registered source they behave as Django's own.
    """

    def update(self, **kwargs: Any) -> int:
        """Update as Django does, and emit an event for each object that changes."""
        capture = _captures.get(self.model)
        # Django refuses to update these querysets, with its own message.
        if capture is None or self.query.is_sliced or self.query.combinator:
            return super().update(**kwargs)
        use_write_database(self)
        forget_results(self)
        return capture.update(self, operator.methodcaller("_update_uncaptured", **kwargs), kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Update as Django does, `CHUNK` objects at a time, and emit an event for each object that changes."""
        capture, names = _captures.get(self.model), list(fields)
        if capture is None:
            return super().bulk_update(objs, names, batch_size=batch_size)
        use_write_database(self)
        if not needs_one_statement(self.model, names) and (batch_size is None or batch_size > CHUNK):
            batch_size = CHUNK
        with capture.atomic(self.db):
            return super().bulk_update(objs, names, batch_size=batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert as Django does, and emit the events of new objects, and of objects that a conflict updates."""
        capture = _captures.get(self.model)
        use_write_database(self)
        if capture is None or not capture.captures_inserts(self):
            return super().bulk_create(objs, *args, **kwargs)
        # A clone, so that only this insert is captured.
        inserting = copy_of(self)
        inserting.around_insert = capture.insert
        with capture.atomic(self.db):
            return super(WebhookQuerySet, inserting).bulk_create(objs, *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete as Django does, and emit an event for each deleted object."""
        capture = _captures.get(self.model)
        query: Any = self.query
        if capture is None or query.is_sliced or query.distinct_fields or query.combinator or returns_values(self):
            return super().delete()
        use_write_database(self)
        forget_results(self)
        return capture.delete(self, operator.methodcaller("_delete_uncaptured"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _update_uncaptured(self, **kwargs: Any) -> int:
        return super().update(**kwargs)

    def _delete_uncaptured(self) -> tuple[int, dict[str, int]]:
        return super().delete()


class WebhookManager(models.Manager[M]):
    """A manager whose querysets are `WebhookQuerySet`: ``objects = WebhookManager()``."""

    _queryset_class = WebhookQuerySet


def needs_one_statement(model: type[models.Model], names: Collection[str]) -> bool:
    """Return whether an update of these fields must be a single statement, however many rows it changes.

    This is so for unique fields: between two statements the values may violate the constraint.
    """
    meta = model._meta
    fields: set[Any] = {meta.get_field(name) for name in names if name != "pk"}
    together = {name for constraint in meta.constraints for name in getattr(constraint, "fields", ())}
    together.update(*meta.unique_together)
    return any(field.unique or field.name in together for field in fields)
