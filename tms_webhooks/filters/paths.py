"""What filters and conditions can look at in an event, and what stands there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue import EventType, Field, FieldKind, status_name
from tms_webhooks.choices import ActorKind

ROOTS = ("data", "previous")
CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class EventPath:
    """One place in an event: its path, the kind of its values, and all of them where they are a closed list.

    ``whole`` marks a status as such, which is compared by its parts.
    """

    path: str
    kind: FieldKind
    allowed: tuple[Any, ...] = ()
    whole: bool = False


ACTOR = (
    EventPath("actor.kind", FieldKind.STRING, tuple(kind.value for kind in ActorKind)),
    EventPath("actor.id", FieldKind.ID),
)


@cache
def paths_of(event_type: EventType) -> Mapping[str, EventPath]:
    """Return every place of an event type by its path."""
    found = [place for root in ROOTS for field in event_type.fields for place in _of_field(root, field)]
    names = tuple(field.name for field in event_type.fields)
    return {place.path: place for place in (*found, EventPath(CHANGED, FieldKind.IDS, names), *ACTOR)}


def _of_field(root: str, field: Field) -> Iterable[EventPath]:
    path = f"{root}.{field.name}"
    if field.choices is None:
        yield EventPath(path, field.kind)
        return
    yield EventPath(path, field.kind, whole=True)
    yield EventPath(f"{path}.code", FieldKind.INTEGER, tuple(int(member.value) for member in field.choices))
    yield EventPath(f"{path}.name", FieldKind.STRING, tuple(status_name(member) for member in field.choices))


def nearest(path: str, event_types: Sequence[EventType]) -> list[str]:
    """Return up to three paths of these event types that look like this one, the best first."""
    known = dict.fromkeys(found for event_type in event_types for found in paths_of(event_type))
    # Most often it is the root that was left out.
    rooted = [f"data.{path}"] if f"data.{path}" in known else []
    return list(dict.fromkeys([*rooted, *difflib.get_close_matches(path, known)]))[:3]


def having(path: str) -> list[str]:
    """Return what to subscribe to for events that have this place: patterns where all of a noun have it."""
    return patterns_of(event_type for event_type in catalogue.all_types() if path in paths_of(event_type))


def patterns_of(event_types: Iterable[EventType]) -> list[str]:
    """Return these event types as few patterns: ``class.*`` for all that there are of a noun."""
    names = [event_type.name for event_type in event_types]
    found: dict[str, None] = {}
    for name in names:
        pattern = f"{name.rpartition('.')[0]}.*"
        found[pattern if set(event_names.matching(pattern)) <= {*names} else name] = None
    return list(found)


def shortened(value: Any) -> str:
    """Return what somebody wrote, as far as a message quotes it."""
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def suggested(candidates: Sequence[str]) -> str:
    """Return the question with a blank before it, or nothing where there are no candidates: for the people at a form."""
    quoted = [f'"{candidate}"' for candidate in candidates]
    return _(" Did you mean %(names)s?") % {"names": _(" or ").join(quoted)} if quoted else ""
