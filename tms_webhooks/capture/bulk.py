"""Objects that are changed many at a time: as they were before, and what is told of them after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import connections, models, transaction
from django.utils import timezone

from tms_webhooks.capture import source_states
from tms_webhooks.capture.saves import CapturedSave, deletions_recorded, open_saves
from tms_webhooks.capture.transactions import atomic, has_outbox
from tms_webhooks.db.django_private import InsertConflict
from tms_webhooks.models import Event
from tms_webhooks.outbox.record import NeverBreaking, record_changes, types_subscribed
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.querysets import CHUNK, Rows, needs_one_statement
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.row_sets import at_keys, conflicting, exactly, key_name, locked_keys
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

Known = Mapping[str, Any]


class CapturedRows:
    """The objects of one source that an operation is about, from before it to after it.

    ``also`` names what the operation changes, where that stands beside their own rows.
    """

    def __init__(self, source: Source, *, using: str, also: Collection[str] = ()) -> None:
        self.source = source
        self.using = using
        self.also = also
        self.before: dict[Any, dict[str, Any]] = {}
        self.under_way: dict[Any, CapturedSave] = {}
        self.failed = False

    def read(self, keys: Sequence[Any]) -> None:
        """Read and lock what the database holds of them."""
        self.failed = True
        with NeverBreaking(self.source):
            for chunk in chunks(keys, CHUNK):
                self.under_way.update(open_saves(self.source, set(chunk), using=self.using))
                names = self.also or self.source.own
                self.before.update(read_rows(self.source, locked(self._rows(chunk)), names=names))
            self.failed = False

    def tell(self, keys: Sequence[Any]) -> None:
        """Record what happened to these objects since; those that were not read before are new."""
        for chunk in chunks(keys if not self.failed else [], CHUNK):
            with NeverBreaking(self.source):
                found = dict(read_rows(self.source, self._rows(chunk)))
                # In the order in which a host gave what is new.
                after = {key: found[key] for key in chunk if key in found} | found
                states = {key: (self._as_before(key, raw), raw) for key, raw in after.items()}
                changed = {key: pair for key, pair in states.items() if _differ(*pair)}
                told = self._record(changed)
                source_states.keep_all(self.source, changed, using=self.using, related=bool(self.also))
                for key in self.under_way.keys() & told.keys():
                    self.under_way[key].note(told[key], after[key])

    def tell_end(self, keys: Sequence[Any]) -> None:
        """Record that they go, while they are still there."""
        with NeverBreaking(self.source):
            open_saves(self.source, set(keys), using=self.using)
            self._record({key: (raw, None) for key, raw in read_rows(self.source, self._rows(keys))})
            source_states.forget(self.source, keys, using=self.using)

    def _as_before(self, key: Any, after: Known) -> Known | None:
        """Return what an object was: what the operation does not change is told by whatever changed it meanwhile."""
        before = self.before.get(key)
        if before is None or not self.also:
            return before
        return {**{name: after[name] for name in self.source.own}, **before}

    def _rows(self, keys: Sequence[Any]) -> Rows:
        return at_keys(self.source.model, keys, using=self.using)

    def _record(self, states: Mapping[Any, tuple[Known | None, Known | None]]) -> dict[Any, list[Event]]:
        now = timezone.now()
        changes: dict[Any, Change] = {}
        for key, (before, after) in states.items():
            with NeverBreaking(self.source):
                changes[key] = diff(self.source, before=before, after=after, now=now, using=self.using)
        told = record_changes(self.source, list(changes.values()), using=self.using)
        return dict(zip(changes, told, strict=True))


def _differ(before: Known | None, after: Known) -> bool:
    """Say whether a closer look is needed: most of what an update leaves as it is needs none."""
    return before is None or any(after[name] != value for name, value in before.items())


def listening(sources: Iterable[Source], *, using: str, deletions: bool = False) -> list[Source]:
    """Return those of these sources that tell something which anybody wants, asked in one query for all.

    Those that are reconciled take note of what nobody wants, too.
    """
    asked: dict[Source, Collection[str]] = {}
    for source in sources if has_outbox(using) else ():
        with NeverBreaking(source):
            event_types = source.deletion_types if deletions else source.event_types
            if event_types and source.own:
                asked[source] = event_types
    if not asked:
        return []
    wanted = types_subscribed({name for names in asked.values() for name in names}, using=using)
    return [source for source, names in asked.items() if source.reconcile or not wanted.isdisjoint(names)]


def chunks(keys: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


__all__ = ["atomic", "delete", "insert", "update", "captures_inserts"]

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
        size = len(keys) if needs_one_statement(rows.model, names) else CHUNK
        return sum(_update(rows, write, sources, chunk) for chunk in chunks(keys, size))


def _update(rows: Rows, write: Callable[[Rows], int], sources: Sequence[Source], chunk: Sequence[Any]) -> int:
    keys, *others = zip(*chunk, strict=True)
    observed = [CapturedRows(source, using=rows.db) for source in sources]
    for one, its_keys in zip(observed, others, strict=True):
        one.read(its_keys)
    updated = write(exactly(rows, keys))
    for one, its_keys in zip(observed, others, strict=True):
        one.tell(its_keys)
    return updated


def captures_inserts(rows: Rows) -> bool:
    """Return whether anybody wants to hear of new rows, or of those that they conflict with."""
    if not listening(sources_of(rows.model), using=rows.db):
        return False
    if connections[rows.db].features.can_return_rows_from_bulk_insert:
        return True
    logger.warning("New rows of %s are not told: this database does not say their keys.", rows.model._meta.label)
    return False


def insert(
    rows: Rows, objs: Sequence[models.Model], write: Callable[[], list[Any]], conflict: InsertConflict | None
) -> None:
    """Have ``write`` insert ``objs``, and tell of the rows whose keys it returns: of new ones, and of changed ones."""
    using = rows.db
    observed = [CapturedRows(source, using=using) for source in listening(sources_of(rows.model), using=using)]
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
            observed = CapturedRows(source, using=using)
            for chunk in chunks(keys, CHUNK):
                observed.tell_end(chunk)
            told.enter_context(deletions_recorded(source, keys, using=using))
        return write(exactly(rows, keys))


def _is_organization(model: type[models.Model]) -> bool:
    """Whether the webhooks that would be told go with these rows."""
    owner: Any = Event._meta.get_field("organization").related_model
    return isinstance(owner, type) and issubclass(model, owner)
