"""The filters of a subscription: ready-made questions, each a list of what is wanted."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, FieldKind, status_name
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.paths import paths_of, patterns_of, shortened, suggested

MOST_VALUES = 200
LONGEST_TEXT = 255
FIRST_OCCURRENCE = "first_occurrence"


@dataclass(frozen=True, slots=True)
class FilterInput:
    """An event as filters see it: its whole body, and the organizations by which it comes to the webhook."""

    body: Mapping[str, Any]
    noun: str
    organizations: frozenset[str]


class Criterion(ABC):
    """One key of ``Subscription.filters``."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def is_met(self, wanted: Sequence[Any], occasion: FilterInput) -> bool:
        """Return whether an event is one of those that are wanted."""

    def has(self, event_type: EventType) -> bool:
        """Return whether events of this type have what the filter looks at."""
        return True

    def problems(self, wanted: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[str]:
        """Yield what is wrong with single values."""
        for value in wanted:
            if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > LONGEST_TEXT:
                yield _('%(value)s is no id; list ids, such as 301 or "AZ-104".') % {"value": shortened(value)}


class ById(Criterion):
    """The id of something that the event refers to, or of its subject where that is such a thing itself."""

    def is_met(self, wanted: Sequence[Any], occasion: FilterInput) -> bool:
        found = value_at(occasion.body, self._path(occasion.noun))
        return found is not None and str(found) in map(str, wanted)

    def has(self, event_type: EventType) -> bool:
        return self._path(event_type.noun.name) in paths_of(event_type)

    def _path(self, noun: str) -> str:
        return "data.id" if noun == self.name else f"data.{self.name}.id"


class ByOrganization(Criterion):
    """The organization by which the event comes to the webhook: the owner, the learner's, or either."""

    def is_met(self, wanted: Sequence[Any], occasion: FilterInput) -> bool:
        return not occasion.organizations.isdisjoint(map(str, wanted))


class ByActor(Criterion):
    """Who or what caused it."""

    def is_met(self, wanted: Sequence[Any], occasion: FilterInput) -> bool:
        return value_at(occasion.body, "actor.kind") in wanted

    def problems(self, wanted: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[str]:
        known = [kind.value for kind in ActorKind]
        for value in wanted:
            if value not in known:
                yield _no_such(value, known)


class ByStatus(Criterion):
    """A status, by its number or its name: the one that is now, or the one that was before a change of it."""

    def __init__(self, name: str, field: str, *, root: str = "data") -> None:
        super().__init__(name)
        self.field = field
        self.root = root

    def is_met(self, wanted: Sequence[Any], occasion: FilterInput) -> bool:
        if self.root == "previous" and self.field not in (value_at(occasion.body, "changed") or ()):
            return None in wanted
        found = value_at(occasion.body, f"{self.root}.{self.field}")
        if not isinstance(found, Mapping):
            return None in wanted
        return found.get("code") in wanted or str(found.get("name")).lower() in map(_lower, wanted)

    def has(self, event_type: EventType) -> bool:
        place = paths_of(event_type).get(f"data.{self.field}")
        return place is not None and place.kind is FieldKind.STATUS

    def problems(self, wanted: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[str]:
        members = {
            member: status_name(member)
            for event_type in event_types
            for field in event_type.fields
            if field.name == self.field and field.choices is not None
            for member in field.choices
        }
        codes, names = [int(member) for member in members], [name.lower() for name in members.values()]
        shown = [f"{int(member)} {name}" for member, name in members.items()]
        for value in wanted:
            is_known = value in codes if isinstance(value, int) else _lower(value) in names
            if isinstance(value, bool) or not (is_known or (value is None and self.root == "previous")):
                yield _no_such(value, shown)


CRITERIA: Mapping[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        ById("course"),
        ById("class"),
        ByOrganization("organization"),
        ByStatus("status_from", "status", root="previous"),
        ByStatus("status_to", "status"),
        ByStatus("completion_status", "completion_status"),
        ByActor("actor_kind"),
    )
}
"""Every filter that is a list, by its key, in the order in which they are told."""


def check(filters: Any, event_types: Sequence[EventType]) -> None:
    """Raise `ValidationError` with what is wrong with a subscription's filters for these event types."""
    if not isinstance(filters, dict):
        raise ValidationError(_('Filters are an object of lists, such as {"course": [301]}; write one, or {}.'))
    problems = [message for name, value in filters.items() for message in _problems(name, value, event_types)]
    if problems:
        raise ValidationError(problems)


def _problems(name: str, wanted: Any, event_types: Sequence[EventType]) -> Iterator[str]:
    if name == FIRST_OCCURRENCE:
        if not isinstance(wanted, bool):
            yield _("%(name)s takes true or false.") % {"name": name}
        return
    if name not in CRITERIA:
        known = [*CRITERIA, FIRST_OCCURRENCE]
        suggestion = suggested(difflib.get_close_matches(str(name), known)) or f" {_('Use')} {', '.join(known)}."
        yield _("There is no filter %(name)s.") % {"name": shortened(name)} + suggestion
        return
    criterion = CRITERIA[name]
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MOST_VALUES:
        yield _("%(name)s: write a list of 1 to %(most)d values, or leave the filter out.") % {
            "name": name,
            "most": MOST_VALUES,
        }
        return
    lacking = [event_type for event_type in event_types if not criterion.has(event_type)]
    if lacking:
        yield _lacking(criterion, lacking)
        return
    yield from (f"{name}: {problem}" for problem in criterion.problems(wanted, event_types))


def _lacking(criterion: Criterion, lacking: Sequence[EventType]) -> str:
    having = patterns_having(criterion)
    return _("%(name)s: there is none in %(lacking)s. Events that have one: %(having)s.") % {
        "name": criterion.name,
        "lacking": ", ".join(patterns_of(lacking)[:8]),
        "having": ", ".join(having),
    }


def patterns_having(criterion: Criterion) -> list[str]:
    """Return what to subscribe to where this filter is to be used."""
    return patterns_of(event_type for event_type in catalogue.all_types() if criterion.has(event_type))


def _no_such(value: Any, known: Sequence[str]) -> str:
    return _("there is no %(value)s; choose from %(known)s.") % {"value": shortened(value), "known": ", ".join(known)}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
