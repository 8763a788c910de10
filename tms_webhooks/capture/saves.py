"""Captures single saves and deletions: reads the old values before them, and records the events after them."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from django.db import Error, connections, models, router, transaction
from django.utils import timezone

from tms_webhooks.db.django_private import atomic_blocks, locking_transaction_mode, on_commit_functions
from tms_webhooks.models import Event, SourceState
from tms_webhooks.moves import note_moves
from tms_webhooks.outbox.owners import ORGANIZATIONS
from tms_webhooks.outbox.record import log_source_error, record_changes, source_errors_logged
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import Values
from tms_webhooks.sources.paths import Model
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import compared_names, read_whole
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.states import diff, with_values_behind_keys
from tms_webhooks.sources.stored_rows import RowSnapshot, StoredRow, key_of, read_before, watched_fields

logger = logging.getLogger(__name__)

# Raw values of objects before and after a change, by their keys: None for a new object, and for a deleted one.
States: TypeAlias = Mapping[Any, tuple[Values | None, Values | None]]
# The alias of a database and the innermost block of its open transaction; None outside of any.
Scope: TypeAlias = tuple[str, Any]


@dataclass(slots=True)
class CapturedSave:
    """One source's view of an object that is being saved: its row before, and the events recorded since.

    ``is_wanted`` says whether a change of its row may have an event, or a state to keep.
    """

    source: Source
    instance: models.Model
    using: str
    before: RowSnapshot
    is_wanted: bool
    recorded: list[tuple[Callable[[], None], Values]] = field(default_factory=list)
    """The row's values at each change whose events were recorded, each with a mark that a rollback removes."""

    def remember(self, after: Values) -> None:
        """Remember that the events of a change were recorded that led to these values."""
        mark = lambda: None  # noqa: E731 (each time another one)
        transaction.on_commit(mark, using=self.using)
        self.recorded.append((mark, {name: after[name] for name in compared_names(self.source)}))


class Deletion(NamedTuple):
    """The objects that are being deleted together, and by model the sources that record an event of each."""

    objects: set[tuple[Source, Any]]
    wanted: dict[Model, list[Source]]


class _ThreadState(threading.local):
    """What this thread is in the middle of, the innermost last. The instances themselves hold nothing.

    - ``open_saves``: for each save, its captures by all sources of the model
    - ``deletions``: those that are open
    - ``list_changes``: the changes of lists, see `many_to_many`
    """

    def __init__(self) -> None:
        self.open_saves: list[list[CapturedSave]] = []
        self.deletions: dict[Scope, Deletion] = {}
        self.list_changes: list[Any] = []


thread_state = _ThreadState()


class SavePlan(NamedTuple):
    """What the saves of a model need, decided once.

    - ``by_model``: by their models, the sources with events, which one query reads together; with their event types
    - ``columns``: the names of the fields whose change may be an event
    """

    by_model: Mapping[Model, Mapping[Source, tuple[str, ...]]]
    columns: frozenset[str]


@cache
def plan_of(model: Model) -> SavePlan:
    """Return the plan of a model; planned again if `receivers.connect` connects a source."""
    columns = set[str]()
    by_model: defaultdict[Model, dict[Source, tuple[str, ...]]] = defaultdict(dict)
    for source in sources_of(model):
        with source_errors_logged(source):
            # Reading `own` evaluates the mapping here, where an error in it affects no other source of the model.
            if source.event_types and source.own:
                by_model[source.model][source] = source.event_types
            columns |= watched_fields(source)
    return SavePlan(by_model, frozenset(columns))


# The transaction that a change shares with its events


def has_outbox(using: str) -> bool:
    """Return whether a database has an outbox: whether the host's routers allow this app's tables in it."""
    return bool(router.allow_migrate_model(using, Event))


def atomic(using: str) -> AbstractContextManager[None]:
    """Open a transaction, unless the host has opened one: that gets no savepoint.

    An error inside the host's transaction is the host's to catch.
    """
    return nullcontext() if connections[using].in_atomic_block else _own_transaction(using)


@contextmanager
def _own_transaction(using: str) -> Iterator[None]:
    with ExitStack() as stack:
        # SQLite locks on BEGIN: a transaction that reads first fails if another one writes before it does.
        with locking_transaction_mode(connections[using]):
            stack.enter_context(transaction.atomic(using=using))
        yield


# Saves


def save(instance: models.Model, write: Callable[[], None], *, using: str, names: Collection[str] | None) -> None:
    """Have ``write`` save ``instance``, and record its events, in one transaction.

    ``names`` are the fields that it writes, or None for all: of fields that are in no event, nothing is read. The
    captured values are discarded at the end, so that a failed save leaves none to the next one. A save that fails inside
    a transaction of the host records what it has written: the host may catch the error and commit.
    """
    plan = plan_of(type(instance))
    is_untouched = names is not None and plan.columns.isdisjoint(names)
    if is_untouched or not has_outbox(using):
        write()
        return
    in_transaction = connections[using].in_atomic_block
    captured_saves, is_hosts = list[CapturedSave](), False
    with atomic(using):
        thread_state.open_saves.append(captured_saves)
        try:
            watched = _read_before(plan, captured_saves, instance, using=using)
            is_hosts = True
            with watched.returned_by_update(using) if watched else nullcontext():
                write()
            is_hosts = False
            for captured in captured_saves:
                # The capture may be that of an outer save of the same row.
                _record(captured, continues=len(thread_state.open_saves) > 1)
        except Exception:
            if not is_hosts:
                # The host must not commit the row without its events.
                transaction.set_rollback(True, using=using)
            elif in_transaction:
                _record_written_rows(captured_saves, using=using)
            raise
        finally:
            thread_state.open_saves.pop()


def _read_before(
    plan: SavePlan, captured_saves: list[CapturedSave], instance: models.Model, *, using: str
) -> StoredRow | None:
    """Read and lock the row of ``instance`` for each source of its model, and add its captures.

    Return the row if the save's ``UPDATE`` is to return it.

    A receiver may save the row of an open save once more. Then these are the captures of the outer save, whose events are
    recorded first, so that each event begins where the one before it ended.
    """
    for source in sources_of(type(instance)) if len(thread_state.open_saves) > 1 else ():
        outer = record_open_saves(source, {key_of(source, instance)}, using=using, instance=instance)
        captured_saves.extend(outer.values())
    of_outer = {one.source for one in captured_saves}
    for by_source in plan.by_model.values():
        sources = {source: types for source, types in by_source.items() if source not in of_outer}
        if not sources:
            continue
        first = next(iter(sources))
        try:
            rows = read_before(sources, key_of(first, instance), using=using, new=instance._state.adding)
        except Exception as error:
            log_source_error(first, error)
            continue
        for source, before in rows.items():
            is_wanted = bool(before.event_types or before.shared or source.reconcile)
            captured_saves.append(CapturedSave(source, instance, using, before, is_wanted))
    is_alone = len(plan.by_model) == 1 and not of_outer
    # The sources share the row.
    return captured_saves[0].before.row if is_alone and any(one.is_wanted for one in captured_saves) else None


def _record(captured: CapturedSave, *, continues: bool = True) -> None:
    """Record the events of the row's changes since the last recorded ones, and remember them where the save continues."""
    source, before, using = captured.source, captured.before, captured.using
    try:
        if not (captured.is_wanted or before.changes_organization(captured.instance)) or before.is_unchanged():
            return
        wanted = before.event_types if before.exact else None
        key, after = key_of(source, captured.instance), before.after(using=using)
        if after is None and key is not None:
            after = read_whole(source, key, using=using)
        if after is not None:
            # The last recorded event, without those that a savepoint has rolled back since.
            kept = (
                values
                for mark, values in reversed(captured.recorded)
                if mark in on_commit_functions(connections[using])
            )
            last = next(kept, None) or before.raw(using=using)
            if record_states(source, {key: (last, after)}, using=using, wanted=wanted).get(key) and continues:
                captured.remember(after)
    except Exception as error:
        log_source_error(source, error)


def _record_written_rows(captured_saves: Iterable[CapturedSave], *, using: str) -> None:
    """Record the events of a row that was written before a receiver raised."""
    if transaction.get_rollback(using):
        return
    try:
        for captured in captured_saves:
            _record(captured)
    except Error:
        # The host gets the receiver's own error.
        logger.warning("A change was rolled back, because its event could not be recorded.", exc_info=True)
        transaction.set_rollback(True, using=using)


def record_open_saves(
    source: Source, keys: Collection[Any], *, using: str, instance: models.Model | None = None
) -> dict[Any, CapturedSave]:
    """Record what the open saves of these objects have written by now; return the innermost of each by the object's key.

    The saves of ``instance`` itself are among them, also before it has a key.
    """
    found: dict[Any, CapturedSave] = {}
    for captured_saves in reversed(thread_state.open_saves):
        for captured in captured_saves:
            if captured.source is source and captured.using == using:
                key = key_of(source, captured.instance)
                is_one = captured.instance is instance or (key is not None and key in keys)
                if is_one and key not in found:
                    _record(captured)
                    found[key] = captured
    return found


# Deletions


def open_deletion(using: str) -> Deletion:
    """Return the deletion that Django, or the caller, has begun by opening the innermost scope."""
    thread_state.deletions = {scope: one for scope, one in thread_state.deletions.items() if is_open(scope)}
    return thread_state.deletions.setdefault(scope_of(using), Deletion(set(), {}))


def is_being_deleted(source: Source, key: Any, *, using: str) -> bool:
    """Return whether an object is in an open deletion: the end of its relations is part of that."""
    return any(
        (source, key) in one.objects
        for scope, one in thread_state.deletions.items()
        if scope[0] == using and is_open(scope)
    )


def scope_of(using: str) -> Scope:
    """Return the open scope of a database."""
    blocks = atomic_blocks(connections[using])
    return using, blocks[-1] if blocks else None


def is_open(scope: Scope) -> bool:
    """Return whether a scope has not ended, also by an error."""
    using, block = scope
    return block in atomic_blocks(connections[using])


# One object and many


def record_states(
    source: Source,
    before_and_after: States,
    *,
    using: str,
    wanted: Collection[str] | None = None,
    related: bool = False,
) -> dict[Any, list[Event]]:
    """Record the events of objects with these raw values, and their last recorded states; return the events by key.

    ``wanted`` are the event types that their organizations subscribe to, if known. ``related`` says that values of
    related rows changed, not of the objects' own rows.
    """
    now, changes = timezone.now(), dict[Any, Change]()
    # For one object, `diff` reads them.
    if source.keys_behind and len(before_and_after) > 1:
        before_and_after = with_values_behind_keys(source, before_and_after, using=using)
    for key, (before, after) in before_and_after.items():
        try:
            changes[key] = diff(source, before=before, after=after, now=now, using=using)
        except Exception as error:
            log_source_error(source, error)
    events = record_changes(source, list(changes.values()), wanted=wanted)
    # Of an object that is hidden before or after, no field has changed.
    if any(not (one.before and one.after and ORGANIZATIONS.isdisjoint(one.changed)) for one in changes.values()):
        note_moves(source, before_and_after, now=now, using=using)
    if source.reconcile:
        _keep_states(source, before_and_after, using=using, related=related)
    return dict(zip(changes, events, strict=True))


def _keep_states(source: Source, before_and_after: States, *, using: str, related: bool) -> None:
    """Keep the last recorded states of objects, and forget those that are no objects of the source any more."""
    lines, gone = [], []
    for key, (before, after) in before_and_after.items():
        if after is None or not source.includes(after):
            gone.append(states.key_text(key))
            continue
        text = None if before is None else states.state_text(source, before)
        line = states.object_state(source, key, after)
        is_related = related or states.leads_elsewhere(source, before, after)
        if is_related or line.state != text:
            lines.append((text, line, is_related))
    if gone:
        SourceState.objects.forget(source.name, gone, using=using)
    if lines:
        SourceState.objects.record_all(source.name, lines, now=timezone.now(), using=using)
