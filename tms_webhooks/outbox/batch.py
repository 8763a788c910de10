"""Recording the events of many changes at once: in a number of statements that does not grow with the changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from django.db.models import Q

from tms_webhooks import signals
from tms_webhooks.actors import current_actor
from tms_webhooks.models import Event, Subscription, batches, numbered
from tms_webhooks.models.audience import Home, Listener, heard_at
from tms_webhooks.outbox.record import LISTENING, Entry, NeverBreaking, compose, entry_of, home_of
from tms_webhooks.outbox.ring import ring_on_commit
from tms_webhooks.sources.interest import meant, patterns_of_anybody
from tms_webhooks.sources.rules import Change

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source, Told

logger = logging.getLogger(__name__)


def record_changes(source: Source, changes: Sequence[Change], *, using: str) -> list[list[Event]]:
    """Record every event that these changes of different objects mean to somebody; return those of each change.

    The same as `record_change` of one after the other. The events that are returned don't know their keys.
    """
    told = sorted(_tell(source, changes, using=using), key=itemgetter(0))
    return record_told(source, changes, told, using=using)


def record_told(
    source: Source, changes: Sequence[Change], told: list[tuple[int, Told]], *, using: str
) -> list[list[Event]]:
    """Record these events, each with the place of its change in ``changes``; return those of each change.

    Whether anybody wants them has been asked.
    """
    entries: list[tuple[int, Entry]] = []
    for number, one in _only_once(told, changes, using=using):
        with NeverBreaking(source):
            entries.append((number, entry_of(source, one, changes[number])))
    recorded: list[list[Event]] = [[] for _change in changes]
    events = _write([entry for _number, entry in entries], using=using)
    for (number, _entry), event in zip(entries, events, strict=True):
        recorded[number].append(event)
    return recorded


def anybody_wants(event_types: Collection[str], *, using: str) -> set[str]:
    """Return which of these event types any webhook asks for, also one that is disabled now."""
    return meant(event_types, patterns_of_anybody(tuple(sorted(event_types)), using=using))


def wanted_by(homes: Collection[Home], event_types: Collection[str], *, using: str) -> dict[Home, set[str]]:
    """Return the same of events that are at home in each of these places, in one query; or two, where the tree matters.

    A home where nothing is asked for is left out.
    """
    keys = {key for home in homes for key in home.keys}
    near = Q(webhook__organization_id__in=keys) | Q(webhook__include_children=True)
    wanting = Subscription.objects.using(using).wanting(event_types).filter(near)
    rows = wanting.order_by().values_list(*LISTENING).distinct()
    listeners = [(Listener(*listener), pattern) for pattern, *listener in rows]
    wanted = {home: meant(event_types, asked) for home, asked in heard_at(homes, listeners, using=using).items()}
    return {home: types for home, types in wanted.items() if types}


def _tell(source: Source, changes: Sequence[Change], *, using: str) -> Iterable[tuple[int, Told]]:
    """Yield what each change means to its own organizations, with the change's place in the list."""
    homes = {number: home_of(change.values) for number, change in enumerate(changes) if _is_one(change)}
    places = {home for home in homes.values() if home is not None}
    wanted = wanted_by(places, source.event_types, using=using) if places else {}
    # What sources lock to tell they lock in one order, or two transactions could wait for each other.
    for number, home in sorted(homes.items(), key=lambda one: source.turn(changes[one[0]])):
        types = wanted.get(home) if home is not None else None
        if types:
            told: list[Told] = []
            with NeverBreaking(source):
                told = [one for one in source.tells(changes[number]) if one.event_type in types]
            yield from ((number, one) for one in told)


def _is_one(change: Change) -> bool:
    return change.created or change.deleted or bool(change.changed)


def _only_once(told: list[tuple[int, Told]], changes: Sequence[Change], *, using: str) -> list[tuple[int, Told]]:
    """Leave out what was told before, and what is told twice here."""
    once = {one.once: one.deadline for _number, one in told if one.once}
    new = batches.first_times(once, now=changes[0].now, using=using) if once else set()
    kept = []
    for number, one in told:
        if one.once and one.once not in new:
            continue
        new.discard(one.once)
        kept.append((number, one))
    return kept


def _write(entries: Sequence[Entry], *, using: str) -> list[Event]:
    if not entries:
        return []
    counts = Counter(entry.subject for entry in entries)
    last = batches.advance(counts, using=using)
    following = {subject: last[subject] - many for subject, many in counts.items()}
    actor = current_actor()
    events = []
    for entry in entries:
        following[entry.subject] += 1
        event, around = compose(entry, actor=actor)
        numbered.number(event, following[entry.subject], around=around)
        events.append(event)
    batches.insert(events, using=using)
    if signals.event_recorded.has_listeners(Event):
        for event in Event.objects.using(using).filter(uid__in=[event.uid for event in events]).order_by("pk"):
            signals.event_recorded.tell(Event, using=using, event=event)
    ring_on_commit(using)
    return events
