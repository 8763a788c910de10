"""The registry of event types. A host adds its own with ``register(EventType(...))``.

With the first type of a noun, the types of its moves and of its snapshot are registered, too: they follow from the noun.

`tms_webhooks.event_names` holds the names alone, and matches patterns against them.
"""

from __future__ import annotations

from collections.abc import Iterable

from tms_webhooks import event_names
from tms_webhooks.catalogue.custom import forget_results
from tms_webhooks.catalogue.event_type import EventType, types_of_every_noun
from tms_webhooks.catalogue.schema import Noun
from tms_webhooks.exceptions import ConfigurationError, UnknownEventType

_event_types: dict[str, EventType] = {}


def register(event_type: EventType) -> EventType:
    """Add an event type to the catalogue and return it.

    Raises `ConfigurationError` if its name is taken or is not two or more dotted segments of a-z, 0-9 and _. Also
    raises it if another noun has the name of its noun.
    """
    name = event_type.name
    if not event_names.EVENT_NAME.fullmatch(name):
        raise ConfigurationError(
            f'"{name}" is not an event name. Use two or more dotted segments of a-z, 0-9 and _, such as "class.scheduled".'
        )
    if name in _event_types:
        raise ConfigurationError(f'The event type "{name}" is registered already.')
    namesake = next((other for other in _event_types.values() if other.noun.name == event_type.noun.name), event_type)
    if namesake.noun != event_type.noun:
        raise ConfigurationError(
            f'The event type "{name}" has a new noun "{event_type.noun.name}", but {namesake.name} has another noun with this '
            f'name. Use catalogue.noun("{event_type.noun.name}"), or another name.'
        )
    _add(event_type)
    if event_type.offered and not event_names.is_operational(name):
        # The last ones of their noun.
        names = event_names.of_every_noun(event_type.noun.name)
        for last in [_event_types.pop(one) for one in names if one in _event_types] or types_of_every_noun(event_type):
            _add(last)
    return event_type


def _add(event_type: EventType) -> None:
    _event_types[event_type.name] = event_type
    event_names.add(event_type.name, offered=event_type.offered)
    forget_results()


def get(name: str) -> EventType:
    """Return the event type of this name, or raise `UnknownEventType` with similar names."""
    try:
        return _event_types[name]
    except KeyError:
        suggestion = event_names.did_you_mean(event_names.nearest(name))
        raise UnknownEventType(f'Unknown event type "{name}".{suggestion}') from None


def noun(name: str) -> Noun:
    """Return the noun of this name, to register another event type for it; raise `ConfigurationError` if none has it."""
    groups = grouped()
    if name not in groups:
        raise ConfigurationError(f'Unknown noun "{name}".{event_names.suggest(name, groups)}')
    return groups[name][0].noun


def all_types() -> list[EventType]:
    """Return every event type in the order of registration: the built-in ones by noun, then those of the host."""
    return list(_event_types.values())


def grouped(event_types: Iterable[EventType] | None = None) -> dict[str, list[EventType]]:
    """Return event types by the name of their noun: these, or every one in the order of registration."""
    groups: dict[str, list[EventType]] = {}
    for event_type in _event_types.values() if event_types is None else event_types:
        groups.setdefault(event_type.noun.name, []).append(event_type)
    return groups


def expand(pattern: str) -> list[EventType]:
    """Return the registered event types that match a pattern; an empty list for an unknown or invalid pattern."""
    return [_event_types[name] for name in event_names.matching(pattern)]
