"""Recording the events of many changes at once: in a number of statements that does not grow with the changes."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tms_webhooks import signals
from tms_webhooks.actors import current_actor
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Subscription, batches, numbered
from tms_webhooks.outbox.capture import NeverBreaking
from tms_webhooks.outbox.record import Entry, compose, entry_of
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
    return record_told(source, changes, [*_tell(source, changes, using=using)], using=using)


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


def wanted_by(organizations: Collection[Any], event_types: Collection[str], *, using: str) -> dict[Any, set[str]]:
    """Return the same for each of these organizations, in one query; one that asks for none is left out."""
    wanting = Subscription.objects.using(using).wanting(event_types).filter(webhook__organization_id__in=organizations)
    patterns: dict[Any, set[str]] = defaultdict(set)
    for organization, pattern in wanting.order_by().values_list("webhook__organization_id", "event_type").distinct():
        patterns[organization].add(pattern)
    wanted = {organization: meant(event_types, frozenset(patterns[organization])) for organization in organizations}
    return {organization: types for organization, types in wanted.items() if types}


def _tell(source: Source, changes: Sequence[Change], *, using: str) -> Iterable[tuple[int, Told]]:
    """Yield what each change means to its own organization, with the change's place in the list."""
    owners = {number: _owner(change) for number, change in enumerate(changes) if _is_one(change)}
    organizations = {*owners.values()} - {None}
    wanted = wanted_by(organizations, source.event_types, using=using) if organizations else {}
    for number, owner in owners.items():
        types = wanted.get(owner)
        if types:
            told: list[Told] = []
            with NeverBreaking(source):
                told = [one for one in source.tells(changes[number]) if one.event_type in types]
            yield from ((number, one) for one in told)


def _is_one(change: Change) -> bool:
    return change.created or change.deleted or bool(change.changed)


def _owner(change: Change) -> Any:
    """Return the key of the organization that a change belongs to, or None."""
    key = change.values.get("organization.id")
    if isinstance(key, PayloadError):
        logger.error("Nobody can be told of a change: %s", key)
        return None
    return key


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
