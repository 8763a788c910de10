"""Captures single saves and deletions: reads the old values before them, and records the events after them."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    watched_fields,
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


# Sources of one query, by their model, with the event types that each may record.
SourcesByModel: TypeAlias = Mapping[type[models.Model], Mapping[Source, tuple[str, ...]]]


class _ThreadState(threading.local):
    """The saves that this thread is in the middle of, the innermost last. The instances themselves hold nothing."""

    def __init__(self) -> None:
        # For each save, its captures by all sources of the model.
        self.open_saves: list[list[CapturedSave]] = []
        # The keys of objects whose deletion a queryset has recorded already.
        self.skipped_deletions: dict[tuple[Source, str], set[Any]] = {}


_thread = _ThreadState()


@dataclass(frozen=True, slots=True)
class SavePlan:
    """What the saves of a model need, decided once.

    - ``sources``: the sources of the model, as the registry returns them
    - ``by_model``: those with events, which one query reads together
    - ``may_extend``: whether another row may extend the saved one, so that the source of that model reads it
    - ``columns``: the names of the fields whose change may be an event; None if that may be any
    """

    sources: Sequence[Source]
    by_model: SourcesByModel
    may_extend: bool
    columns: frozenset[str] | None

    def is_untouched(self, names: Collection[str] | None) -> bool:
        """Return whether a save that writes only these fields is certain to mean no event."""
        return names is not None and self.columns is not None and self.columns.isdisjoint(names)


_plans: dict[type[models.Model], SavePlan] = {}


def plan_of(model: type[models.Model]) -> SavePlan:
    sources, plan = sources_of(model), _plans.get(model)
    if plan is None or plan.sources != sources:
        found: set[str] | None = set()
        for source in sources:
            with LogSourceErrors(source):
                columns = watched_fields(source)
                found = None if found is None or columns is None else found | columns
        may_extend = any(is_replaced_by(source) for source in sources)
        watched = None if found is None or may_extend else frozenset(found)
        plan = _plans[model] = SavePlan(sources, _by_model(sources), may_extend, watched)
    return plan


def _by_model(sources: Iterable[Source], *, deletions: bool = False) -> SourcesByModel:
    by_model: defaultdict[type[models.Model], dict[Source, tuple[str, ...]]] = defaultdict(dict)
    for source in sources:
        with LogSourceErrors(source):
            event_types = source.deletion_types if deletions else source.event_types
            # Reading `own` evaluates the mapping here, where an error in it affects no other source of the model.
            if event_types and source.own:
                by_model[source.model][source] = tuple(event_types)
    return by_model


def forget_plans() -> None:
    """Plan again: a source was connected or disconnected."""
    _plans.clear()


# The steps of a save, in their order


def save(
    plan: SavePlan, instance: models.Model, write: Callable[[], None], *, using: str, in_transaction: bool
) -> None:
    """Save, and discard the captured values at the end, so that a failed save leaves none to the next one.

    A save that fails inside a transaction of the host records what it has written: the host may catch the error and
    commit.
    """
    outer, is_hosts = len(_thread.open_saves), False
    try:
        captured_saves = _read_before(plan, instance, using=using)
        _thread.open_saves.append(captured_saves)
        is_hosts = True
        write()
        is_hosts = False
        _end_watch(captured_saves)
        for captured in captured_saves:
            with LogSourceErrors(captured.source):
                _record(captured)
    except Exception:
        if not is_hosts:
            # The host must not commit the row without its events.
            transaction.set_rollback(True, using=using)
        elif in_transaction:
            _record_written_rows(_thread.open_saves[outer:], using=using)
        raise
    finally:
        for captured_saves in _thread.open_saves[outer:]:
            _end_watch(captured_saves)
        del _thread.open_saves[outer:]


def _read_before(plan: SavePlan, instance: models.Model, *, using: str) -> list[CapturedSave]:
    """Read and lock the row of ``instance`` for each source of its model; return its captures.

    A receiver may save the row of an open save once more. Then these are the captures of the outer save, whose events are
    recorded first, so that each event begins where the one before it ended.
    """
    by_model, captured_saves = plan.by_model, list[CapturedSave]()
    if _thread.open_saves or (plan.may_extend and not instance._state.adding):
        sources = plan.sources
        if plan.may_extend and not instance._state.adding:
            # Another row may extend this one: then the sources of that model read it.
            sources = [source_at(source, key_of(source, instance), using=using) for source in sources]
        own = []
        for source in sources:
            with LogSourceErrors(source):
                outer = _record_outer_save(source, instance, using=using)
                if outer is None:
                    own.append(source)
                else:
                    captured_saves.append(outer)
        by_model = _by_model(own)
    is_first = not captured_saves
    for of_model in by_model.values():
        first = next(iter(of_model))
        with LogSourceErrors(first):
            rows = read_before(of_model, key_of(first, instance), using=using, new=instance._state.adding)
            captured_saves.extend(CapturedSave(source, instance, using, before) for source, before in rows.items())
    read = {id(captured.before.row): captured for captured in captured_saves}
    if is_first and len(read) == 1 and any(one.before.event_types or one.source.reconcile for one in captured_saves):
        (captured,) = read.values()
        if captured.before.row is not None:
            # The save's UPDATE returns the row.
            captured.before.row.watch_update(connections[using])
    return captured_saves


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
    registered = sources_of(sender) if has_outbox(using) else ()
    # Django sends signals of their own for the rows that an extending model has in its parents' tables.
    of_sender = (one for one in registered if one.model._meta.concrete_model is sender._meta.concrete_model)
    sources = [
        source
        for source in (source_at(one, instance.pk, using=using) for one in of_sender if is_topmost(one))
        if instance.pk not in _thread.skipped_deletions.get((source, using), ())
    ]
    for source in sources:
        with LogSourceErrors(source):
            _record_outer_save(source, instance, using=using)
    for of_model in _by_model(sources, deletions=True).values():
        key = key_of(next(iter(of_model)), instance)
        for source, before in read_before(of_model, key, using=using).items():
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


def has_open_saves() -> bool:
    """Return whether this thread is in the middle of a save."""
    return bool(_thread.open_saves)


def record_open_saves(source: Source, keys: Collection[Any], *, using: str) -> dict[Any, CapturedSave]:
    """Record what the open saves of these objects have written by now; return those saves by the objects' keys."""
    found: dict[Any, CapturedSave] = {}
    for captured_saves in reversed(_thread.open_saves):
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
    for captured_saves in reversed(_thread.open_saves):
        for captured in captured_saves:
            if captured.is_of(source, instance, using=using):
                _record(captured)
                return captured
    return None


def _record_written_rows(open_saves: Sequence[Sequence[CapturedSave]], *, using: str) -> None:
    """Record the events of rows that were written before a receiver raised."""
    if transaction.get_rollback(using):
        return
    try:
        for captured_saves in open_saves:
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
