"""The filters of a subscription: each has a name and a list of accepted values, such as ``{"course": [301]}``.

Each but one is a comparison of a condition in other words: ``{"course": [301]}`` means ``{"data.course.id": [301]}``. First
occurrences need the database: see ``routing``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, FieldKind, status_name
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.condition import OneOf, comparable, hashable
from tms_webhooks.filters.paths import MOST_PROBLEMS, PartError, event_paths, patterns_of, quoted, shortened, suggested

# The values of a filter, and the characters of a value.
VALUES_LIMIT = 200
LONGEST_TEXT = 255
FIRST_OCCURRENCE = "first_occurrence"
"""The name of the filter that is true or false, not a list."""
ORGANIZATION = "organization"
ORGANIZATIONS = "organizations"
"""Where the values of an event have the organizations by which webhooks get it: a list of ids for each audience."""
STATUS_FROM = "status_from"
PATHS: Mapping[str, str] = {
    "course": "data.course.id",
    "class": "data.class.id",
    ORGANIZATION: "",
    STATUS_FROM: "previous.status.code",
    "status_to": "data.status.code",
    "completion_status": "data.completion_status.code",
    "actor_kind": "actor.kind",
}
"""The path in an event that each filter compares, by the names of all filters that are lists, in the order of display."""


def path_in(event_type: EventType, name: str) -> str:
    """Return the path that a filter compares in events of a type; empty for that of organizations."""
    return "data.id" if name == event_type.noun.name and name != ORGANIZATION else PATHS[name]


def has_field(event_type: EventType, name: str) -> bool:
    """Return whether events of this type have the field that a filter compares."""
    return name == ORGANIZATION or path_in(event_type, name) in event_paths(event_type)


def statuses_of(name: str, event_types: Sequence[EventType]) -> list[Any]:
    """Return the statuses that a filter can have for these event types; none for a filter of something else."""
    wanted = PATHS[name].partition(".")[2].removesuffix(".code")
    fields = [field for event_type in event_types for field in event_type.fields if field.name == wanted]
    return list(dict.fromkeys(member for field in fields for member in field.choices or ()))


def values_by_name(name: str, event_types: Sequence[EventType]) -> dict[str, Any]:
    """Return the values that a filter can have by their names in lower case: numbers of statuses; empty for ids."""
    if name == "actor_kind":
        return {kind.value: kind.value for kind in ActorKind}
    return {status_name(member).lower(): int(member) for member in statuses_of(name, event_types)}


def comparison(name: str, values: Sequence[Any], event_type: EventType, audience: str) -> OneOf:
    """Return the comparison that a filter with these values is, for events of a type and a webhook with an audience."""
    path = f"{ORGANIZATIONS}.{audience}" if name == ORGANIZATION else path_in(event_type, name)
    known = values_by_name(name, [event_type])
    kind = None if known else FieldKind.ID
    found = (known.get(value.lower(), value) if isinstance(value, str) else value for value in values)
    return OneOf(path, kind, tuple(hashable(comparable(kind, value) for value in found)))


def check(filters: Any, event_types: Sequence[EventType]) -> None:
    """Raise `ValidationError` if a subscription's filters are invalid for these event types: the first `PartError`s."""
    if not isinstance(filters, dict):
        raise ValidationError(_('Filters are an object of lists, such as {"course": [301]}; write one, or {}.'))
    found = (problem for name, value in filters.items() for problem in _problems(name, value, event_types))
    if problems := list(islice(found, MOST_PROBLEMS)):
        raise ValidationError(problems)


def _problems(name: str, values: Any, event_types: Sequence[EventType]) -> Iterator[PartError]:
    if name == FIRST_OCCURRENCE:
        if not isinstance(values, bool):
            yield PartError(_("%(name)s takes true or false.") % {"name": name}, [name])
        return
    if name not in PATHS:
        known = [*PATHS, FIRST_OCCURRENCE]
        suggestion = suggested(difflib.get_close_matches(str(name), known)) or f" {_('Use')} {', '.join(known)}."
        yield PartError(_("Unknown filter: %(name)s.") % {"name": shortened(name)} + suggestion, [name], code="unknown")
        return
    if not isinstance(values, list) or not 0 < len(values) <= VALUES_LIMIT:
        message = _("%(name)s: write a list of 1 to %(most)d values, or leave the filter out.")
        yield PartError(message % {"name": name, "most": VALUES_LIMIT}, [name])
        return
    lacking = [event_type for event_type in event_types if not has_field(event_type, name)]
    if lacking:
        having = patterns_of(event_type for event_type in catalogue.all_types() if has_field(event_type, name))
        words = {"name": name, "lacking": ", ".join(patterns_of(lacking)[:8]), "having": ", ".join(having)}
        yield PartError(
            _("%(name)s: not available for %(lacking)s. Events with this filter: %(having)s.") % words, [name]
        )
        return
    by_name = values_by_name(name, event_types)
    choices = [f"{int(one)} {status_name(one)}" for one in statuses_of(name, event_types)] or list(by_name)
    for index, value in enumerate(values):
        is_text = isinstance(value, str)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not by_name and not ((is_text or is_number) and len(str(value)) <= LONGEST_TEXT):
            problem = _("%(value)s is not an id; list values of data.id, such as 301.") % {"value": quoted(value)}
        elif by_name and not (
            (is_number and value in by_name.values())
            or (is_text and value.lower() in by_name)
            or (value is None and name == STATUS_FROM)
        ):
            words = {"value": quoted(value), "known": ", ".join(choices)}
            problem = _("unknown value %(value)s; choose from %(known)s.") % words
        else:
            continue
        yield PartError(f"{name}: {problem}", [name, index])
