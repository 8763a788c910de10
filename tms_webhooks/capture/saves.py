"""Captures single saves and deletions: reads the old values before them, and records the events after them."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from django.db import Error, connections, models, transaction
from django.utils import timezone

from tms_webhooks.capture import source_states
from tms_webhooks.capture.transactions import has_outbox
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.outbox.record import LogSourceErrors, record_changes
from tms_webhooks.outbox.subscribed import matching_types, organizations_of
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.families import is_replaced_by, is_topmost, source_at
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.snapshots import (
    RowSnapshot,
    compared_names,
    key_of,
    owners_after,
    read_after,
    read_before,
    read_whole,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CapturedSave:
    """One source's view of an object that is being saved: its row before, and the events recorded since."""

    source: Source
    instance: models.Model
    using: str
    before: RowSnapshot
    recorded: list[tuple[dict[Any, str], dict[str, Any]]] = field(default_factory=list)
    """The ids and bodies of the events of each change, with the row's values after it."""

    def is_of(self, source: Source, instance: models.Model, *, using: str) -> bool:
        """Return whether ``instance`` is the same row for the same source; it may be another Python object."""
        if self.source is not source or self.using != using:
            return False
        key = key_of(source, instance)
        return self.instance is instance or (key is not None and key_of(source, self.instance) == key)

    def remember(self, events: Collection[Event], after: Mapping[str, Any]) -> None:
        """Remember that these events were recorded, and the row's values with them."""
        if events:
            bodies = {event.uid: event.body for event in events}
            self.recorded.append((bodies, {name: after[name] for name in compared_names(self.source)}))


# The instance that is being saved, and its captures by all sources of its model.
OpenSave: TypeAlias = tuple[models.Model, list[CapturedSave]]
# Sources of one query, by their model, with the event types that each may record.
SourcesByModel: TypeAlias = defaultdict[type[models.Model], dict[Source, tuple[str, ...]]]


class _ThreadState(threading.local):
    """The saves that this thread is in the middle of, the innermost last. The instances themselves hold nothing."""

    def __init__(self) -> None:
        self.depth = 0
        self.open_saves: list[OpenSave] = []
        # The keys of objects whose deletion a queryset has recorded already.
        self.skipped_deletions: dict[tuple[Source, str], set[Any]] = {}


_thread = _ThreadState()


# The steps of a save, in their order


class TrackedSave:
    """Discards the captured values when the save ends, so that a failed save leaves none to the next one.

    A save that fails inside a transaction of the host records what it has written: the host may catch the error and
    commit.
    """

    __slots__ = ("_already_open", "_in_transaction", "_using")

    def __init__(self, using: str) -> None:
        self._using = using
        self._already_open = len(_thread.open_saves)
        self._in_transaction = connections[using].in_atomic_block

    def __enter__(self) -> None:
        _thread.depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        open_saves = _thread.open_saves[self._already_open :]
        for _instance, captured_saves in open_saves:
            _end_watch(captured_saves)
        try:
            if isinstance(error, Exception) and self._in_transaction:
                _record_written_rows(open_saves, using=self._using)
        finally:
            _thread.depth -= 1
            del _thread.open_saves[self._already_open :]


def read_before_save(sender: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Read and lock the row of ``instance`` for each source of its model."""
    if not _thread.depth:
        # The host calls Model.save_base itself. Saves that are still open come from such a call that failed.
        _thread.open_saves.clear()
    if not has_outbox(using):
        # No events are recorded in a database without an outbox; a check reports it where it is the default one.
        return
    captured_saves: list[CapturedSave] = []
    outer_saves: list[CapturedSave] = []
    by_model: SourcesByModel = defaultdict(dict)
    sources = sources_of(sender)
    if not instance._state.adding and any(is_replaced_by(source) for source in sources):
        # Another row may extend this one: then the sources of that model read it.
        sources = [source_at(source, key_of(source, instance), using=using) for source in sources]
    for source in sources:
        with LogSourceErrors(source):
            outer = _record_outer_save(source, instance, using=using)
            if outer is not None:
                outer_saves.append(outer)
            else:
                _add_source(by_model, source, source.event_types)
    for of_model in by_model.values():
        first = next(iter(of_model))
        with LogSourceErrors(first):
            rows = read_before(of_model, key_of(first, instance), using=using, new=instance._state.adding)
            captured_saves.extend(CapturedSave(source, instance, using, before) for source, before in rows.items())
    _thread.open_saves.append((instance, outer_saves + captured_saves))
    found = {id(captured.before.row): captured.before.row for captured in captured_saves}
    is_recorded = any(captured.before.event_types or captured.source.reconcile for captured in captured_saves)
    if not outer_saves and len(found) == 1 and is_recorded:
        (row,) = found.values()
        if row is not None:
            # The save's UPDATE returns the row.
            row.watch_update(connections[using])


def record_after_save(instance: models.Model) -> None:
    """Record the events of the save of ``instance`` that `read_before_save` captured."""
    open_saves = _thread.open_saves
    # The innermost open save of this object, which ends now.
    index = next((n for n in reversed(range(len(open_saves))) if open_saves[n][0] is instance), None)
    captured_saves = [] if index is None else open_saves.pop(index)[1]
    _end_watch(captured_saves)
    for captured in captured_saves:
        with LogSourceErrors(captured.source):
            _record(captured)


def _record(captured: CapturedSave) -> None:
    """Record the events of the row's changes since the last recorded ones."""
    organization_changed = captured.before.changes_organization(captured.instance)
    source, using = captured.source, captured.using
    may_have_events = bool(captured.before.event_types or organization_changed)
    if not (may_have_events or source.reconcile) or captured.before.is_unchanged():
        return
    wanted = _known_types(captured.before, organization_changed=organization_changed) if may_have_events else ()
    if wanted is None and not source.reconcile and (values := owners_after(captured.before, using=using)) is not None:
        if source.owners is None and not isinstance(values.get(OWNER), PayloadError):
            wanted = matching_types(source.event_types, organizations_of(values), using=using)
        if wanted is not None and not wanted and not organization_changed:
            old = captured.before.organizations(using=using)
            if all(values.get(name) == value for name, value in old.items()):
                return
    captured.before.organizations(using=using)
    key = key_of(source, captured.instance)
    after = read_after(captured.before, key, using=using) if key is not None else None
    if after is None:
        return
    before = _last_recorded(captured)
    change = diff(source, before=before, after=after, now=timezone.now(), using=using)
    (events,) = record_changes(source, [change], using=using, wanted=wanted)
    source_states.keep(source, key, before=before, after=after, using=using)
    captured.remember(events, after)


# Deletions


def record_deletion(sender: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Record the deletion of ``instance``, while its row and the rows that it refers to still exist."""
    by_model: SourcesByModel = defaultdict(dict)
    registered = sources_of(sender) if has_outbox(using) else ()
    # Django sends signals of their own for the rows that an extending model has in its parents' tables.
    of_sender = (one for one in registered if one.model._meta.concrete_model is sender._meta.concrete_model)
    for source in (source_at(one, instance.pk, using=using) for one in of_sender if is_topmost(one)):
        if instance.pk in _thread.skipped_deletions.get((source, using), ()):
            continue
        with LogSourceErrors(source):
            _record_outer_save(source, instance, using=using)
            _add_source(by_model, source, source.deletion_types)
    for sources in by_model.values():
        key = key_of(next(iter(sources)), instance)
        for source, before in read_before(sources, key, using=using).items():
            with LogSourceErrors(source):
                values = read_whole(source, key, using=using) if before.event_types else None
                if values is not None:
                    change = diff(source, before=values, after=None, now=timezone.now(), using=using)
                    record_changes(source, [change], using=using, wanted=_known_types(before))
                source_states.forget(source, [key], using=using)


@contextmanager
def skip_deletions(source: Source, keys: Iterable[Any], *, using: str) -> Iterator[None]:
    """Have `record_deletion` skip these objects inside the block: their deletion is recorded already."""
    outer = _thread.skipped_deletions
    _thread.skipped_deletions = {**outer, (source, using): {*outer.get((source, using), ()), *keys}}
    try:
        yield
    finally:
        _thread.skipped_deletions = outer


# Saves inside other changes


def record_open_saves(source: Source, keys: Collection[Any], *, using: str) -> dict[Any, CapturedSave]:
    """Record what the open saves of these objects have written by now; return those saves by the objects' keys."""
    found: dict[Any, CapturedSave] = {}
    for _instance, captured_saves in reversed(_thread.open_saves):
        for captured in captured_saves:
            is_same = captured.source is source and captured.using == using
            key = key_of(source, captured.instance) if is_same else None
            if key is not None and key in keys and key not in found:
                _record(captured)
                found[key] = captured
    return found


def _record_outer_save(source: Source, instance: models.Model, *, using: str) -> CapturedSave | None:
    """Return the open save of the same row, for a receiver that saves the object once more; None without one.

    The events of the outer save are recorded first, so that each event begins where the one before it ended.
    """
    for _instance, captured_saves in reversed(_thread.open_saves):
        for captured in captured_saves:
            if captured.is_of(source, instance, using=using):
                _record(captured)
                return captured
    return None


def _record_written_rows(open_saves: list[OpenSave], *, using: str) -> None:
    """Record the events of rows that were written before a receiver raised."""
    if transaction.get_rollback(using):
        return
    try:
        for _instance, captured_saves in open_saves:
            for captured in captured_saves:
                with LogSourceErrors(captured.source):
                    _record(captured)
    except Error:
        # The host gets the receiver's own error.
        logger.warning("A change was rolled back, because its event could not be recorded.", exc_info=True)
        transaction.set_rollback(True, using=using)


def _end_watch(captured_saves: list[CapturedSave]) -> None:
    for captured in captured_saves:
        if captured.before.row is not None:
            captured.before.row.end_watch()


def _add_source(by_model: SourcesByModel, source: Source, event_types: tuple[str, ...]) -> None:
    # Reading `own` evaluates the mapping here, where an error in it affects no other source of the model.
    if event_types and source.own:
        by_model[source.model][source] = tuple(event_types)


def _known_types(before: RowSnapshot, *, organization_changed: bool = False) -> Collection[str] | None:
    """Return the event types that the object's organizations subscribe to; None where a query has to find out."""
    return None if organization_changed or not before.exact else before.event_types


def _last_recorded(captured: CapturedSave) -> dict[str, Any] | None:
    """Return the row's values at the last recorded event, without events that a savepoint has rolled back since."""
    while captured.recorded:
        bodies, values = captured.recorded[-1]
        if dict(Event.objects.using(captured.using).filter(uid__in=bodies).values_list("uid", "body")) == bodies:
            return values
        captured.recorded.pop()
    return captured.before.raw
