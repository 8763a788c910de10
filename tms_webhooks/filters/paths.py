"""The paths in an event that filters and conditions can read, and the kinds of values at them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue import EventType, Field, FieldKind, custom, status_name
from tms_webhooks.choices import ActorKind
from tms_webhooks.validators import literal, shorten

# The list of changed fields in an event.
CHANGED = "changed"
# Problems of filters or of a condition that are reported together. For the first ones, similar names are searched: that
# takes a thousand times as long as to parse a part.
MOST_PROBLEMS = 10
MOST_SEARCHES = 2


class PartError(ValidationError):
    """An error in one part of filters or of a condition. ``at`` leads to the part: names of members and indexes of items."""

    def __init__(self, message: str, at: Iterable[str | int], *, code: str = "invalid") -> None:
        super().__init__(message, code=code)
        self.at = tuple(at)


class EventPath(NamedTuple):
    """One path in an event.

    - ``kind``: the kind of the values at the path
    - ``allowed``: all possible values, if they are a closed list
    - ``is_status``: whether the value is a status object, which can only be compared by its code or name
    """

    path: str
    kind: FieldKind
    allowed: tuple[Any, ...] = ()
    is_status: bool = False


# The paths of the actor, which every event has.
ACTOR = (
    EventPath("actor.kind", FieldKind.STRING, tuple(kind.value for kind in ActorKind)),
    EventPath("actor.id", FieldKind.ID),
)


@custom.cached
def event_paths(event_type: EventType) -> Mapping[str, EventPath]:
    """Return all paths of an event type, by their text."""
    fields = [
        path
        for field in event_type.all_fields
        for root in (event_type.root_of(field), "previous")
        for path in _of_field(root, field)
    ]
    changed = EventPath(CHANGED, FieldKind.IDS, tuple(field.name for field in event_type.all_fields))
    return {path.path: path for path in (*fields, changed, *ACTOR)}


def _of_field(root: str, field: Field) -> Iterable[EventPath]:
    path = f"{root}.{field.name}"
    if field.kind is FieldKind.OBJECTS:
        # Filters read the list of ids next to it.
        return
    if field.choices is None:
        yield EventPath(path, field.kind)
        return
    yield EventPath(path, field.kind, is_status=True)
    yield EventPath(f"{path}.code", FieldKind.INTEGER, tuple(int(member.value) for member in field.choices))
    yield EventPath(f"{path}.name", FieldKind.STRING, tuple(status_name(member) for member in field.choices))


def nearest(path: str, event_types: Sequence[EventType]) -> list[str]:
    """Return up to three similar paths of these event types, the most similar first."""
    known = dict.fromkeys(found for event_type in event_types for found in event_paths(event_type))
    # The most frequent mistake is to leave out the root.
    rooted = {f"data.{path}"} & known.keys()
    return list(dict.fromkeys([*rooted, *difflib.get_close_matches(path, known)]))[:3]


def having(path: str) -> list[str]:
    """Return the patterns of all event types that have this path."""
    return patterns_of(event_type for event_type in catalogue.all_types() if path in event_paths(event_type))


def patterns_of(event_types: Iterable[EventType]) -> list[str]:
    """Return the shortest list of patterns for these event types: ``class.*`` if all types of the noun are among them.

    Types that are not offered are left out: no pattern of a subscription includes them.
    """
    names = [event_type.name for event_type in event_types if event_type.offered]
    patterns: dict[str, None] = {}
    for name in names:
        pattern = f"{name.rpartition('.')[0]}.*"
        patterns[pattern if set(event_names.matching(pattern)) <= {*names} else name] = None
    return list(patterns)


def shortened(value: Any) -> str:
    """Return a user's input as JSON, text without quotes, shortened to at most 60 characters for an error message."""
    text = value if isinstance(value, str) else literal(value)
    return shorten(text)


def quoted(value: Any) -> str:
    """Return the same as `shortened`, with quotes around text: "20" is not 20."""
    return f'"{shortened(value)}"' if isinstance(value, str) else shortened(value)


def suggested(candidates: Sequence[str]) -> str:
    """Return " Did you mean …?" with a leading space, or an empty text without candidates."""
    names = [f'"{candidate}"' for candidate in candidates]
    return _(" Did you mean %(names)s?") % {"names": _(" or ").join(names)} if names else ""
