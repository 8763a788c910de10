"""Reads many objects before and after a change, and records what differs: for bulk operations and relations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import models
from django.utils import timezone

from tms_webhooks.capture.saves import (
    CapturedSave,
    atomic,
    has_outbox,
    is_being_deleted,
    open_deletion,
    record_open_saves,
    record_states,
    thread_state,
)
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Webhook
from tms_webhooks.models.audience import ancestors, parent_column
from tms_webhooks.moves import note_branches, types_that_follow
from tms_webhooks.outbox.record import source_errors_logged
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.interest import types_of_any_webhook
from tms_webhooks.sources.mapping import Values
from tms_webhooks.sources.paths import Model
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import (
    CHUNK,
    Rows,
    at_keys,
    compared_names,
    lock,
    locked,
    locked_keys,
    locked_rows,
    read_rows,
)
from tms_webhooks.sources.stored_rows import key_of

# The models of organizations: with their rows, their webhooks are deleted, and their tree may change.
organization_models: set[Model] = set()


class CapturedRows:
    """The objects of one source that an operation changes.

    ``keys`` are those of the objects that were read before. ``related_fields`` names the canonical fields that it changes, where their values are outside the objects' own rows.
    Values that only Python can read may be made of these: they are compared, too.
    """

    def __init__(self, source: Source, *, using: str, related_fields: Collection[str] = ()) -> None:
        self.source = source
        self._using = using
        self._related_fields = related_fields
        self.keys: Sequence[Any] = ()
        self._before: dict[Any, Values] = {}
        self._open_saves: dict[Any, CapturedSave] = {}
        self._failed = False

    def read_before(self, keys: Sequence[Any]) -> None:
        """Read and lock the objects' rows before the operation."""
        self.keys, self._failed = keys, True
        with source_errors_logged(self.source):
            names: Collection[str] = compared_names(self.source)
            if self._related_fields:
                by_python = (name for name, mapped in self.source.mapped.items() if mapped.lookup is None)
                names = [*self._related_fields, *by_python]
            for chunk in chunks(keys, CHUNK):
                self._open_saves.update(record_open_saves(self.source, set(chunk), using=self._using))
                self._before.update(read_rows(self.source, locked(self._rows(chunk)), names=names))
            self._failed = False

    def read_few(self, rows: Rows) -> bool:
        """Lock and read up to `CHUNK` rows in one query; return False for more, which are not read.

        False also where a save is open: what it has written is recorded first.
        """
        if not thread_state.open_saves:
            with source_errors_logged(self.source):
                found = read_rows(self.source, locked_rows(rows)[: CHUNK + 1], names=compared_names(self.source))
                if len(found) <= CHUNK:
                    self._before = dict(found)
                    self.keys = list(self._before)
                    return True
        return False

    def record_after(self, keys: Sequence[Any] | None = None) -> None:
        """Record the events of the operation, by default of all ``keys``; objects that `read_before` did not find are new.

        Objects that are being deleted have none: their last event is that of the deletion.
        Fields that the operation does not change have their current values: other operations record their changes.
        """
        keys = [one for one in keys or self.keys if not is_being_deleted(self.source, one, using=self._using)]
        for chunk in chunks([] if self._failed else keys, CHUNK):
            with source_errors_logged(self.source):
                found = dict(read_rows(self.source, self._rows(chunk)))
                # New objects in the order in which the host gave them.
                in_order = {key: found[key] for key in chunk if key in found} | found
                changed: dict[Any, tuple[Values | None, Values]] = {}
                for key, after in in_order.items():
                    before = self._before.get(key)
                    if before is not None and self._related_fields:
                        before = {**{name: after[name] for name in self.source.own}, **before}
                    # Most rows of an update stay as they are and need no `diff`.
                    if before is None or any(after[name] != value for name, value in before.items()):
                        changed[key] = (before, after)
                recorded = record_states(self.source, changed, using=self._using, related=bool(self._related_fields))
                for key, open_save in self._open_saves.items():
                    if recorded.get(key):
                        open_save.remember(found[key])

    def record_deletions(self, keys: Sequence[Any]) -> None:
        """Record that these objects are deleted, while their rows still exist."""
        with source_errors_logged(self.source):
            record_open_saves(self.source, set(keys), using=self._using)
            found = dict(read_rows(self.source, self._rows(keys)))
            record_states(self.source, {key: (found.get(key), None) for key in keys}, using=self._using)

    def _rows(self, keys: Sequence[Any]) -> Rows:
        return at_keys(self.source.model, keys, using=self._using)


def sources_to_record(
    sources: Iterable[Source], *, using: str, deletions: bool = False, updated: Collection[str] = ()
) -> list[Source]:
    """Return the sources with events that a subscription matches, in one query for all.

    Sources that are reconciled are always among them: they keep the last recorded state. If the ``updated`` fields say
    whose an object is, the events of objects that move with it count, too.
    """
    event_types: dict[Source, Collection[str]] = {}
    for source in sources if has_outbox(using) else ():
        with source_errors_logged(source):
            types = source.deletion_types if deletions else source.event_types
            if types and source.own:
                event_types[source] = (*types, *types_that_follow(source, updated))
    if not event_types:
        return []
    names = tuple(sorted({name for names in event_types.values() for name in names}))
    subscribed = types_of_any_webhook(names, using=using)
    return [source for source, names in event_types.items() if source.reconcile or not subscribed.isdisjoint(names)]


def sources_of_table(model: Model) -> list[Source]:
    """Return the sources of a model's own table. For the rows that it has in its parents' tables, Django sends other signals."""
    return [one for one in sources_of(model) if one.model._meta.concrete_model is model._meta.concrete_model]


def chunks(keys: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the keys in slices of at most ``size``."""
    return (keys[start : start + size] for start in range(0, len(keys), size or 1))


def record_deletion(sender: Model, instance: models.Model, *, using: str, silent: bool) -> None:
    """Record the deletion of ``instance``, while its row and the rows that it refers to still exist.

    One that is ``silent``, or is in an open deletion already, has no events. Whether a subscription matches is asked once
    for all objects of a model that are deleted together.
    """
    deletion, sources = open_deletion(using), sources_of_table(sender)
    for source in sources:
        key = key_of(source, instance)
        if is_being_deleted(source, key, using=using):
            continue
        deletion.objects.add((source, key))
        if sender not in deletion.wanted:
            deletion.wanted[sender] = sources_to_record([] if silent else sources, using=using, deletions=True)
        if source in deletion.wanted[sender]:
            # A change that another transaction is making is recorded before the deletion.
            lock(at_keys(source.model, [key], using=using))
            CapturedRows(source, using=using).record_deletions([key])


@contextmanager
def captured_tree(rows: Rows, names: Collection[str] | None) -> Iterator[None]:
    """Have the block change these organizations, and create the jobs of branches of the tree that it moves, in one transaction.

    ``names`` are the fields that it writes, or None for all. Without a webhook that includes child organizations, the tree is not
    read.
    """
    using, parent = rows.db, app_settings.ORGANIZATION_PARENT
    is_written = names is None or not {parent, parent_column()}.isdisjoint(names)
    webhooks = Webhook.objects.using(using).existing().filter(include_children=True)
    if parent_column() is None or not is_written or not has_outbox(using) or not webhooks.exists():
        yield
        return
    with atomic(using):
        keys = [key for (key,) in locked_keys(rows)]
        before = ancestors(keys, using=using)
        yield
        note_branches(before, ancestors(keys, using=using), now=timezone.now(), using=using)
