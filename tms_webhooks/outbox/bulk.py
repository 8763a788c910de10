"""What a bulk operation means: the old values read under its own lock, the events of each chunk written at once.

The functions are those of `Captor`; a `WebhookQuerySet` calls them for a model that is a source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import connections, models, transaction

from tms_webhooks.models import Event
from tms_webhooks.outbox.capture import deletions_told
from tms_webhooks.outbox.observed import Observed, chunks, listening
from tms_webhooks.outbox.transactions import atomic
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.querysets import CHUNK, Conflict, Rows, spans
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.row_sets import conflicting, exactly, key_name, locked_keys

__all__ = ["atomic", "delete", "insert", "update", "wants_inserts"]

logger = logging.getLogger(__name__)


def update(rows: Rows, write: Callable[[Rows], int], names: Collection[str]) -> int:
    """Have ``write`` update ``rows``, chunk by chunk, and tell of what changed; return how many rows it updated."""
    using = rows.db
    sources = listening(sources_of(rows.model), using=using)
    if not sources:
        return write(rows)
    with atomic(using):
        keys = locked_keys(rows, [key_name(rows.model, source) for source in sources])
        if not keys:
            # Django is to have its say of the names all the same.
            return write(exactly(rows, []))
        size = len(keys) if spans(rows.model, names) else CHUNK
        return sum(_update(rows, write, sources, chunk) for chunk in chunks(keys, size))


def _update(rows: Rows, write: Callable[[Rows], int], sources: Sequence[Source], chunk: Sequence[Any]) -> int:
    keys, *others = zip(*chunk, strict=True)
    observed = [Observed(source, using=rows.db) for source in sources]
    for one, its_keys in zip(observed, others, strict=True):
        one.read(its_keys)
    updated = write(exactly(rows, keys))
    for one, its_keys in zip(observed, others, strict=True):
        one.tell(its_keys)
    return updated


def wants_inserts(rows: Rows) -> bool:
    """Return whether anybody wants to hear of new rows, or of those that they conflict with."""
    if not listening(sources_of(rows.model), using=rows.db):
        return False
    if connections[rows.db].features.can_return_rows_from_bulk_insert:
        return True
    logger.warning("New rows of %s are not told: this database does not say their keys.", rows.model._meta.label)
    return False


def insert(rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: Conflict | None) -> None:
    """Have ``write`` insert ``objs``, and tell of the rows whose keys it returns: of new ones, and of changed ones."""
    using = rows.db
    observed = [Observed(source, using=using) for source in listening(sources_of(rows.model), using=using)]
    updated = conflict is not None and conflict.updates
    there = conflicting(rows.model, objs, conflict.unique, using=using) if conflict and updated else []
    for one in observed:
        one.read(there)
    keys = write()
    for one in observed:
        one.tell(keys)


def delete(rows: Rows, write: Callable[[Rows], tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
    """Tell of the end of ``rows``, and have ``write`` delete them. What goes with them is told by Django's signals."""
    using, model = rows.db, rows.model
    # The rows that an extending model has in its parents' tables are announced by signals of their own.
    sources = [
        source
        for source in listening(sources_of(model), using=using, deletions=True)
        if source.model._meta.concrete_model is model._meta.concrete_model
    ]
    if not sources or _is_organization(model):
        return write(rows)
    # The savepoint: a deletion that is refused, which the host may catch, takes back what was told of it.
    with atomic(using), transaction.atomic(using=using), ExitStack() as told:
        keys = [key for (key,) in locked_keys(rows, [])]
        for source in sources:
            observed = Observed(source, using=using)
            for chunk in chunks(keys, CHUNK):
                observed.tell_end(chunk)
            told.enter_context(deletions_told(source, keys, using=using))
        return write(exactly(rows, keys))


def _is_organization(model: type[models.Model]) -> bool:
    """Whether the webhooks that would be told go with these rows."""
    owner: Any = Event._meta.get_field("organization").related_model
    return isinstance(owner, type) and issubclass(model, owner)
