"""The event types there are. A host adds its own with ``register(EventType(...))``.

Which names there are, and what a pattern means, is said in `event_names`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tms_webhooks import event_names
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.exceptions import ConfigurationError, UnknownEventType

_event_types: dict[str, EventType] = {}


def register(event_type: EventType) -> EventType:
    """Add an event type to the catalogue and return it.

    Raises `ConfigurationError` if its name is ill-formed (at least two dotted segments of a-z, 0-9 and _) or taken.
    """
    name = event_type.name
    if not event_names.EVENT_NAME.fullmatch(name):
        raise ConfigurationError(
            f'"{name}" is no event name: it takes at least two dotted segments of a-z, 0-9 and _, as in "class.scheduled".'
        )
    if name in _event_types:
        raise ConfigurationError(f'There is an event type "{name}" already.')
    _event_types[name] = event_type
    event_names.add(name)
    return event_type


@contextmanager
def temporarily(event_type: EventType) -> Iterator[EventType]:
    """Register an event type for the length of the ``with`` block, for tests."""
    register(event_type)
    try:
        yield event_type
    finally:
        del _event_types[event_type.name]
        event_names.discard(event_type.name)


def get(name: str) -> EventType:
    """Return the event type of this name; raise `UnknownEventType`, which tells the nearest names, if there is none."""
    try:
        return _event_types[name]
    except KeyError:
        suggestion = event_names.did_you_mean(event_names.nearest(name))
        raise UnknownEventType(f'There is no event type "{name}".{suggestion}') from None


def all_types() -> list[EventType]:
    """Return every event type, in the order of registration: the app's noun by noun, then the host's."""
    return list(_event_types.values())


def grouped() -> dict[str, list[EventType]]:
    """Return every event type under the name of its noun, nouns and types in the order of registration."""
    groups: dict[str, list[EventType]] = {}
    for event_type in _event_types.values():
        groups.setdefault(event_type.noun.name, []).append(event_type)
    return groups


def expand(pattern: str) -> list[EventType]:
    """Return the event types that a pattern means today; none for a pattern that is unknown or ill-formed."""
    return [_event_types[name] for name in event_names.matching(pattern)]
