"""What a bulk operation means: the old values read under its own lock, the events of each chunk written at once.

The functions are those of `Captor`; a `WebhookQuerySet` calls them for a model that is a source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import connections, models, transaction
from django.utils import timezone

from tms_webhooks.models import Event
from tms_webhooks.outbox.batch import anybody_wants, record_changes
from tms_webhooks.outbox.capture import Watched, deletions_told, never_breaking, saves_under_way
from tms_webhooks.outbox.transactions import atomic
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.querysets import CHUNK, Conflict, Rows, spans
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.row_sets import at_keys, conflicting, exactly, key_name, locked_keys
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

__all__ = ["atomic", "delete", "insert", "update", "wants_inserts"]

Known = Mapping[str, Any]

logger = logging.getLogger(__name__)


def update(rows: Rows, write: Callable[[Rows], int], names: Collection[str]) -> int:
    """Have ``write`` update ``rows``, chunk by chunk, and tell of what changed; return how many rows it updated."""
    using = rows.db
    sources = _listening(rows.model, using=using)
    if not sources:
        return write(rows)
    with atomic(using):
        keys = locked_keys(rows, [key_name(rows.model, source) for source in sources])
        if not keys:
            # Django is to have its say of the names all the same.
            return write(exactly(rows, []))
        size = len(keys) if spans(rows.model, names) else CHUNK
        return sum(_update(rows, write, sources, chunk) for chunk in _chunks(keys, size))


def _update(rows: Rows, write: Callable[[Rows], int], sources: Sequence[Source], chunk: Sequence[Any]) -> int:
    keys, *others = zip(*chunk, strict=True)
    observed = [_Observed(source, using=rows.db) for source in sources]
    for one, its_keys in zip(observed, others, strict=True):
        one.read(its_keys)
    updated = write(exactly(rows, keys))
    for one, its_keys in zip(observed, others, strict=True):
        one.tell(its_keys)
    return updated


def wants_inserts(rows: Rows) -> bool:
    """Return whether anybody wants to hear of new rows, or of those that they conflict with."""
    if not _listening(rows.model, using=rows.db):
        return False
    if connections[rows.db].features.can_return_rows_from_bulk_insert:
        return True
    logger.warning("New rows of %s are not told: this database does not say their keys.", rows.model._meta.label)
    return False


def insert(rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: Conflict | None) -> None:
    """Have ``write`` insert ``objs``, and tell of the rows whose keys it returns: of new ones, and of changed ones."""
    using = rows.db
    observed = [_Observed(source, using=using) for source in _listening(rows.model, using=using)]
    updated = conflict is not None and conflict.updates
    there = conflicting(rows.model, objs, conflict.unique, using=using) if conflict and updated else []
    for one in observed:
        one.read(there)
    keys = write()
    for one in observed:
        one.tell(keys, new=True)


def delete(rows: Rows, write: Callable[[Rows], tuple[int, dict[str, int]]]) -> tuple[int, dict[str, int]]:
    """Tell of the end of ``rows``, and have ``write`` delete them. What goes with them is told by Django's signals."""
    using, model = rows.db, rows.model
    # The rows that an extending model has in its parents' tables are announced by signals of their own.
    sources = [
        source
        for source in _listening(model, using=using, deletions=True)
        if source.model._meta.concrete_model is model._meta.concrete_model
    ]
    if not sources or _is_organization(model):
        return write(rows)
    # The savepoint: a deletion that is refused, which the host may catch, takes back what was told of it.
    with atomic(using), transaction.atomic(using=using), ExitStack() as told:
        keys = [key for (key,) in locked_keys(rows, [])]
        for source in sources:
            observed = _Observed(source, using=using)
            for chunk in _chunks(keys, CHUNK):
                observed.tell_end(chunk)
            told.enter_context(deletions_told(source, keys, using=using))
        return write(exactly(rows, keys))


class _Observed:
    """The objects of one source that a bulk operation is about, from before it to after it."""

    def __init__(self, source: Source, *, using: str) -> None:
        self.source = source
        self.using = using
        self.before: dict[Any, dict[str, Any]] = {}
        self.under_way: dict[Any, Watched] = {}
        self.failed = False

    def read(self, keys: Sequence[Any]) -> None:
        """Read and lock what the database holds of them."""
        self.failed = True
        with never_breaking(self.source):
            for chunk in _chunks(keys, CHUNK):
                self.under_way.update(saves_under_way(self.source, set(chunk), using=self.using))
                self.before.update(read_rows(self.source, locked(self._rows(chunk)), names=self.source.own))
            self.failed = False

    def tell(self, keys: Sequence[Any], *, new: bool = False) -> None:
        """Record what happened to them since. ``new``: those that were not there before have been created."""
        for chunk in _chunks(keys if not self.failed else [], CHUNK):
            with never_breaking(self.source):
                found = dict(read_rows(self.source, self._rows(chunk)))
                # In the order in which a host gave what is new.
                after = {key: found[key] for key in chunk if key in found} | found
                there = {key: raw for key, raw in after.items() if new or key in self.before}
                told = self._record({key: (self.before.get(key), raw) for key, raw in there.items()})
                for key in self.under_way.keys() & told.keys():
                    self.under_way[key].note(told[key], after[key])

    def tell_end(self, keys: Sequence[Any]) -> None:
        """Record that they go, while they are still there."""
        with never_breaking(self.source):
            saves_under_way(self.source, set(keys), using=self.using)
            self._record({key: (raw, None) for key, raw in read_rows(self.source, self._rows(keys))})

    def _rows(self, keys: Sequence[Any]) -> Rows:
        return at_keys(self.source.model, keys, using=self.using)

    def _record(self, states: Mapping[Any, tuple[Known | None, Known | None]]) -> dict[Any, list[Event]]:
        now = timezone.now()
        changes: dict[Any, Change] = {}
        for key, (before, after) in states.items():
            # Most of what an update leaves as it is needs no closer look.
            if before is None or after is None or any(after[name] != value for name, value in before.items()):
                with never_breaking(self.source):
                    changes[key] = diff(self.source, before=before, after=after, now=now, using=self.using)
        told = record_changes(self.source, list(changes.values()), using=self.using)
        return dict(zip(changes, told, strict=True))


def _listening(model: type[models.Model], *, using: str, deletions: bool = False) -> list[Source]:
    """Return the sources of a model that tell something which anybody wants, asked in one query for all."""
    asked: dict[Source, Collection[str]] = {}
    for source in sources_of(model):
        with never_breaking(source):
            event_types = source.deletion_types if deletions else source.event_types
            if event_types and source.own:
                asked[source] = event_types
    if not asked:
        return []
    wanted = anybody_wants({name for names in asked.values() for name in names}, using=using)
    return [source for source, names in asked.items() if not wanted.isdisjoint(names)]


def _is_organization(model: type[models.Model]) -> bool:
    """Whether the webhooks that would be told go with these rows."""
    owner: Any = Event._meta.get_field("organization").related_model
    return isinstance(owner, type) and issubclass(model, owner)


def _chunks(keys: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
