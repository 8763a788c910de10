"""The queryset whose bulk operations are events too. Django sends no signal for them.

A host's ``models.py`` takes it from here, before any model is there: this module knows no model of this app, and what
captures the changes of a registered model is told to it by `capture`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Sequence
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

# An old SQLite takes 999 parameters in a statement.
CHUNK = 900
"""How many objects are read, changed and told of at a time."""


class Captor(Protocol):
    """What turns bulk operations into events."""

    def atomic(self, using: str) -> AbstractContextManager[None]:
        """Begin a transaction where there is none."""

    def update(self, rows: Rows, write: Callable[[Rows], int], names: Collection[str]) -> int:
        """Have ``write`` update ``rows``, set by set, and tell of what changed; return what it returned, added up."""

    def delete(self, rows: Rows, write: Callable[[Rows], tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
        """Tell of the end of ``rows`` and have ``write`` delete them."""

    def wants_inserts(self, rows: Rows) -> bool:
        """Return whether anybody wants to hear of new rows."""

    def insert(
        self, rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: InsertConflict | None
    ) -> None:
        """Have ``write`` insert ``objs``, and tell of the rows whose keys it returns."""


_captors: dict[type[models.Model], Captor] = {}


def capture(model: type[models.Model], captor: Captor) -> None:
    """Have ``captor`` hear of the bulk operations of ``model``."""
    _captors[model] = captor


def release(model: type[models.Model]) -> None:
    """Undo `capture`."""
    _captors.pop(model, None)


class WebhookQuerySet(InsertQuerySet[M]):
    """A queryset whose ``update``, ``bulk_update``, ``bulk_create`` and ``delete`` tell webhooks, as ``save`` does.

    So do their asynchronous twins. For a model that is no source they are Django's own.
    """

    def update(self, **kwargs: Any) -> int:
        """Update as Django does, with an event for each object that changes."""
        captor = _captors.get(self.model)
        # Where Django refuses, it does so in its own words.
        if captor is None or self.query.is_sliced or self.query.combinator:
            return super().update(**kwargs)
        use_write_database(self)
        forget_results(self)
        return captor.update(self, operator.methodcaller("_update_silently", **kwargs), kwargs.keys())

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Update as Django does, `CHUNK` objects at a time, with an event for each object that changes."""
        captor, names = _captors.get(self.model), list(fields)
        if captor is None:
            return super().bulk_update(objs, names, batch_size=batch_size)
        use_write_database(self)
        if not spans(self.model, names) and (batch_size is None or batch_size > CHUNK):
            batch_size = CHUNK
        with captor.atomic(self.db):
            return super().bulk_update(objs, names, batch_size=batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert as Django does, with the events of new objects; of changed ones where conflicts update them."""
        captor = _captors.get(self.model)
        use_write_database(self)
        if captor is None or not captor.wants_inserts(self):
            return super().bulk_create(objs, *args, **kwargs)
        # On a copy, so that the captor sees this insert alone.
        inserting = copy_of(self)
        inserting.around_insert = captor.insert
        with captor.atomic(self.db):
            return super(WebhookQuerySet, inserting).bulk_create(objs, *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete as Django does, with an event for each object that goes."""
        captor = _captors.get(self.model)
        query: Any = self.query
        valued = returns_values(self)
        if captor is None or query.is_sliced or query.distinct_fields or query.combinator or valued:
            return super().delete()
        use_write_database(self)
        forget_results(self)
        return captor.delete(self, operator.methodcaller("_delete_silently"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _update_silently(self, **kwargs: Any) -> int:
        return super().update(**kwargs)

    def _delete_silently(self) -> tuple[int, dict[str, int]]:
        return super().delete()


class WebhookManager(models.Manager[M]):
    """The manager of such querysets: ``objects = WebhookManager()``."""

    _queryset_class = WebhookQuerySet


def spans(model: type[models.Model], names: Collection[str]) -> bool:
    """Return whether an update of these fields has to be one statement, however many rows it changes.

    It is so where they are to be unique: what holds again at its end may not hold in the middle.
    """
    meta = model._meta
    fields: set[Any] = {meta.get_field(name) for name in names if name != "pk"}
    together = {name for constraint in meta.constraints for name in getattr(constraint, "fields", ())}
    together.update(*meta.unique_together)
    return any(field.unique or field.name in together for field in fields)
