"""What one save or deletion of a host's object means: the old values read before it, the events recorded after it."""

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
from tms_webhooks.models import Event
from tms_webhooks.outbox.record import NeverBreaking, record_change
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.snapshots import RowSnapshot, key_of, read_before, read_whole

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CapturedSave:
    """An object that is being saved, for one source: what its row held, and what was told of it since."""

    source: Source
    instance: models.Model
    using: str
    before: RowSnapshot
    told: list[tuple[list[Any], dict[str, Any]]] = field(default_factory=list)

    def is_of(self, source: Source, instance: models.Model, *, using: str) -> bool:
        """Whether this is the same row for the same source, by way of another instance or of the same."""
        if self.source is not source or self.using != using:
            return False
        key = key_of(source, instance)
        return self.instance is instance or (key is not None and key_of(source, self.instance) == key)

    def note(self, events: Collection[Event], after: Mapping[str, Any]) -> None:
        """Remember that the object was told of as it is ``after`` a change."""
        if events:
            self.told.append(([event.uid for event in events], {name: after[name] for name in self.source.own}))


Save: TypeAlias = tuple[models.Model, list[CapturedSave]]
# The sources that listen, by their model, and what each might tell.
Asked: TypeAlias = defaultdict[type[models.Model], dict[Source, tuple[str, ...]]]


class _OpenSaves(threading.local):
    """The saves that this thread is in the middle of, the innermost last. Nothing is put down on the instances."""

    def __init__(self) -> None:
        self.depth = 0
        self.saves: list[Save] = []
        # What a queryset is about to delete was told of all at once.
        self.deleted: dict[tuple[Source, str], set[Any]] = {}


_open = _OpenSaves()


@contextmanager
def one_save(using: str) -> Iterator[None]:
    """Hold what `begin` puts down for the length of a save, so that a failed one leaves no old values to the next.

    Where the save fails in a transaction of the host's own, which may catch the error and commit, what was written is
    told all the same.
    """
    begun = len(_open.saves)
    hosts_own = connections[using].in_atomic_block
    _open.depth += 1
    try:
        yield
    except Exception:
        if hosts_own:
            _record_written_rows(_open.saves[begun:], using=using)
        raise
    finally:
        _open.depth -= 1
        del _open.saves[begun:]


def begin(sender: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Read and lock what the database holds of ``instance``, for each source that listens to ``sender``."""
    if not _open.depth:
        # Somebody calls Model.save_base itself: what is left here is of such a call that failed.
        _open.saves.clear()
    if not has_outbox(using):
        # What the host writes there, a copy or an archive, is told by nobody; a check says so where it is the main place.
        return
    watched: list[CapturedSave] = []
    asked: Asked = defaultdict(dict)
    for source in sources_of(sender):
        with NeverBreaking(source):
            outer = _record_outer_save(source, instance, using=using)
            if outer is not None:
                watched.append(outer)
            else:
                _ask(asked, source, source.event_types)
    for sources in asked.values():
        first = next(iter(sources))
        with NeverBreaking(first):
            found = read_before(sources, key_of(first, instance), using=using, new=instance._state.adding)
            watched.extend(CapturedSave(source, instance, using, before) for source, before in found.items())
    _open.saves.append((instance, watched))


def finish(instance: models.Model) -> None:
    """Record what happened to ``instance`` since `begin`."""
    for watched in _take(instance):
        with NeverBreaking(watched.source):
            _record(watched)


def record_deletion(sender: type[models.Model], instance: models.Model, *, using: str) -> None:
    """Record that ``instance`` goes, while its row and all that it refers to are still there."""
    asked: Asked = defaultdict(dict)
    for source in sources_of(sender) if has_outbox(using) else ():
        # The rows that an extending model has in its parents' tables are announced by signals of their own.
        if source.model._meta.concrete_model is sender._meta.concrete_model:
            if instance.pk in _open.deleted.get((source, using), ()):
                continue
            with NeverBreaking(source):
                _record_outer_save(source, instance, using=using)
                _ask(asked, source, source.deletion_types)
    for sources in asked.values():
        key = key_of(next(iter(sources)), instance)
        for source, before in read_before(sources, key, using=using).items():
            with NeverBreaking(source):
                raw = read_whole(source, key, using=using) if before.event_types else None
                if raw is not None:
                    change = diff(source, before=raw, after=None, now=timezone.now(), using=using)
                    record_change(source, change, using=using, wanted=_wanted(before))
                source_states.forget(source, [key], using=using)


@contextmanager
def deletions_recorded(source: Source, keys: Iterable[Any], *, using: str) -> Iterator[None]:
    """Have `tell_deletion` leave these objects out: somebody else has told."""
    outer = _open.deleted
    _open.deleted = {**outer, (source, using): {*outer.get((source, using), ()), *keys}}
    try:
        yield
    finally:
        _open.deleted = outer


def open_saves(source: Source, keys: Collection[Any], *, using: str) -> dict[Any, CapturedSave]:
    """Find the saves that the objects with these keys are in the middle of, and tell what they have written by now."""
    found: dict[Any, CapturedSave] = {}
    for _instance, several in reversed(_open.saves):
        for watched in several:
            key = key_of(source, watched.instance) if watched.source is source and watched.using == using else None
            if key is not None and key in keys and key not in found:
                _record(watched)
                found[key] = watched
    return found


def _ask(asked: Asked, source: Source, event_types: tuple[str, ...]) -> None:
    # Its mapping is looked at here, where a mistake in it costs no other source of the model its events.
    if event_types and source.own:
        asked[source.model][source] = tuple(event_types)


def _record_outer_save(source: Source, instance: models.Model, *, using: str) -> CapturedSave | None:
    """Find the save that this one happens in the middle of, as of a receiver that saves the object once more.

    What the outer one has written by now is told first, so that each event begins where the one before it ended.
    """
    for _instance, several in reversed(_open.saves):
        for watched in several:
            if watched.is_of(source, instance, using=using):
                _record(watched)
                return watched
    return None


def _record(watched: CapturedSave) -> None:
    """Record what happened to the object since it was last told of."""
    moved = watched.before.changes_organization(watched.instance)
    source, using = watched.source, watched.using
    asked = bool(watched.before.event_types or moved)
    if not (asked or source.reconcile):
        return
    key = key_of(source, watched.instance)
    after = read_whole(source, key, using=using) if key is not None else None
    if after is None:
        return
    before = _last_recorded(watched)
    change = diff(source, before=before, after=after, now=timezone.now(), using=using)
    wanted = _wanted(watched.before, moved=moved) if asked else ()
    events = record_change(source, change, using=using, wanted=wanted)
    source_states.keep(source, key, before=before, after=after, using=using)
    watched.note(events, after)


def _wanted(before: RowSnapshot, *, moved: bool = False) -> Collection[str] | None:
    """Return what the object's organizations want of its events, if that is known without asking."""
    return None if moved or not before.exact else before.event_types


def _last_recorded(watched: CapturedSave) -> dict[str, Any] | None:
    """Return what was last told of the object, not counting what was rolled back with a savepoint since."""
    while watched.told:
        uids, raw = watched.told[-1]
        if Event.objects.using(watched.using).filter(uid__in=uids).count() == len(uids):
            return raw
        watched.told.pop()
    return watched.before.raw


def _record_written_rows(saves: list[Save], *, using: str) -> None:
    """Tell of rows that were written before a receiver raised."""
    if transaction.get_rollback(using):
        return
    try:
        for _instance, several in saves:
            for watched in several:
                with NeverBreaking(watched.source):
                    _record(watched)
    except Error:
        # The error that the host is to see is the receiver's own.
        logger.warning("A change was rolled back, because its event could not be recorded.", exc_info=True)
        transaction.set_rollback(True, using=using)


def _take(instance: models.Model) -> list[CapturedSave]:
    """Return what `begin` put down for this save, and forget it."""
    saves = _open.saves
    for index in reversed(range(len(saves))):
        if saves[index][0] is instance:
            return saves.pop(index)[1]
    return []
