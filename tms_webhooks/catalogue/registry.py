"""The event types there are. A host adds its own with ``register(EventType(...))``.

A pattern is what a subscription stores: an exact name, ``noun.*`` for all names that begin with ``noun.``, or ``*``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.exceptions import ConfigurationError, UnknownEventType

EVENT_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
EVERYTHING = "*"

_event_types: dict[str, EventType] = {}


def register(event_type: EventType) -> EventType:
    """Add an event type to the catalogue and return it.

    Raises `ConfigurationError` if its name is ill-formed (at least two dotted segments of a-z, 0-9 and _) or taken.
    """
    name = event_type.name
    if not EVENT_NAME.fullmatch(name):
        raise ConfigurationError(
            f'"{name}" is no event name: it takes at least two dotted segments of a-z, 0-9 and _, as in "class.scheduled".'
        )
    if name in _event_types:
        raise ConfigurationError(f'There is an event type "{name}" already.')
    _event_types[name] = event_type
    return event_type


@contextmanager
def temporarily(event_type: EventType) -> Iterator[EventType]:
    """Register an event type for the length of the ``with`` block, for tests."""
    register(event_type)
    try:
        yield event_type
    finally:
        del _event_types[event_type.name]


def get(name: str) -> EventType:
    """Return the event type of this name; raise `UnknownEventType`, which tells the nearest names, if there is none."""
    try:
        return _event_types[name]
    except KeyError:
        raise UnknownEventType(f'There is no event type "{name}".{_suggestion(name)}') from None


def nearest(name: str) -> list[str]:
    """Return up to three names of the catalogue that look like this one, the best first."""
    return difflib.get_close_matches(name, _event_types)


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
    if pattern == EVERYTHING:
        return all_types()
    if pattern.endswith(".*"):
        beginning = pattern.removesuffix("*")
        return [event_type for name, event_type in _event_types.items() if name.startswith(beginning)]
    return [_event_types[pattern]] if pattern in _event_types else []


def names_matching(pattern: str) -> list[str]:
    """Return the names of the event types that a pattern means today."""
    return [event_type.name for event_type in expand(pattern)]


def is_pattern_known(pattern: str) -> bool:
    """Say whether a pattern means any event type today."""
    return bool(expand(pattern))


def _suggestion(name: str) -> str:
    names = [f'"{candidate}"' for candidate in nearest(name)]
    return f" Did you mean {' or '.join(names)}?" if names else ""
