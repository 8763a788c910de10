"""The filters of a subscription: each has a name and a list of accepted values, such as ``{"course": [301]}``."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, FieldKind, status_name
from tms_webhooks.choices import ActorKind
from tms_webhooks.filters.condition import EventValues, hashable
from tms_webhooks.filters.paths import MOST_PROBLEMS, PartError, event_paths, patterns_of, quoted, shortened, suggested

# The values of a filter, and the characters of a value.
VALUES_LIMIT = 200
LONGEST_TEXT = 255
# The name of the filter that is true or false, not a list. It needs the database: see `routing.filtered`.
FIRST_OCCURRENCE = "first_occurrence"


@dataclass(frozen=True, slots=True)
class FilterInput:
    """An event as input of filters.

    - ``body``: the values in the whole event
    - ``noun``: the noun of its subject
    - ``organizations``: keys of the organizations, as text, by which the webhook receives the event
    """

    body: EventValues
    noun: str
    organizations: frozenset[str]


class Criterion(ABC):
    """One filter: a key of ``Subscription.filters``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def accepted(self, values: Iterable[Any]) -> AbstractSet[Any]:
        """Return the values of a subscription as the set that `is_met` takes: by default ids, as text."""
        return frozenset(map(str, values))

    @abstractmethod
    def is_met(self, accepted: AbstractSet[Any], event: FilterInput) -> bool:
        """Return whether an event has one of the ``accepted`` values."""

    def has(self, event_type: EventType) -> bool:
        """Return whether events of this type have the field that the filter reads."""
        return True

    def problems(self, values: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[tuple[int, str]]:
        """Yield the index and an error message for each invalid value."""
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > LONGEST_TEXT:
                yield (
                    index,
                    _("%(value)s is not an id; list values of data.id, such as 301.") % {"value": quoted(value)},
                )


class ById(Criterion):
    """The id of an object that the event refers to, or of its subject if that is such an object."""

    def is_met(self, accepted: AbstractSet[Any], event: FilterInput) -> bool:
        found = event.body.at(self._path(event.noun))
        return found is not None and str(found) in accepted

    def has(self, event_type: EventType) -> bool:
        return self._path(event_type.noun.name) in event_paths(event_type)

    def _path(self, noun: str) -> str:
        return "data.id" if noun == self.name else f"data.{self.name}.id"


class ByOrganization(Criterion):
    """The organization by which the webhook receives the event: the owner, the learner's, or either."""

    def is_met(self, accepted: AbstractSet[Any], event: FilterInput) -> bool:
        return not event.organizations.isdisjoint(accepted)


class ByActor(Criterion):
    """The kind of actor that caused the event."""

    def accepted(self, values: Iterable[Any]) -> AbstractSet[Any]:
        """Return the kinds as a set."""
        return hashable(values)

    def is_met(self, accepted: AbstractSet[Any], event: FilterInput) -> bool:
        found = event.body.at("actor.kind")
        return isinstance(found, str) and found in accepted

    def problems(self, values: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[tuple[int, str]]:
        known = [kind.value for kind in ActorKind]
        for index, value in enumerate(values):
            if value not in known:
                yield index, _no_such(value, known)


class ByStatus(Criterion):
    """A status, by its number or name: the current one, or with the root "previous" the one before its change."""

    def __init__(self, name: str, field: str, *, root: str = "data") -> None:
        super().__init__(name)
        self.field = field
        self.root = root

    def accepted(self, values: Iterable[Any]) -> AbstractSet[Any]:
        """Return the numbers and the names, in lower case, as a set."""
        return hashable(map(_lower, values))

    def is_met(self, accepted: AbstractSet[Any], event: FilterInput) -> bool:
        if self.root == "previous" and self.field not in (event.body.at("changed") or ()):
            return None in accepted
        found = event.body.at(f"{self.root}.{self.field}")
        if not isinstance(found, Mapping):
            return None in accepted
        return not accepted.isdisjoint(hashable([found.get("code"), str(found.get("name")).lower()]))

    def has(self, event_type: EventType) -> bool:
        path = event_paths(event_type).get(f"data.{self.field}")
        return path is not None and path.kind is FieldKind.STATUS

    def problems(self, values: Sequence[Any], event_types: Sequence[EventType]) -> Iterator[tuple[int, str]]:
        members = {
            member: status_name(member)
            for event_type in event_types
            for field in event_type.fields
            if field.name == self.field and field.choices is not None
            for member in field.choices
        }
        codes, names = [int(member) for member in members], [name.lower() for name in members.values()]
        shown = [f"{int(member)} {name}" for member, name in members.items()]
        for index, value in enumerate(values):
            is_known = value in codes if isinstance(value, int) else _lower(value) in names
            if isinstance(value, bool) or not (is_known or (value is None and self.root == "previous")):
                yield index, _no_such(value, shown)


# Every filter that is a list, by its name, in the order of display.
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
    if name not in CRITERIA:
        known = [*CRITERIA, FIRST_OCCURRENCE]
        suggestion = suggested(difflib.get_close_matches(str(name), known)) or f" {_('Use')} {', '.join(known)}."
        yield PartError(_("Unknown filter: %(name)s.") % {"name": shortened(name)} + suggestion, [name], code="unknown")
        return
    criterion = CRITERIA[name]
    if not isinstance(values, list) or not 0 < len(values) <= VALUES_LIMIT:
        message = _("%(name)s: write a list of 1 to %(most)d values, or leave the filter out.")
        yield PartError(message % {"name": name, "most": VALUES_LIMIT}, [name])
        return
    lacking = [event_type for event_type in event_types if not criterion.has(event_type)]
    if lacking:
        having = patterns_of(event_type for event_type in catalogue.all_types() if criterion.has(event_type))
        words = {"name": name, "lacking": ", ".join(patterns_of(lacking)[:8]), "having": ", ".join(having)}
        yield PartError(
            _("%(name)s: not available for %(lacking)s. Events with this filter: %(having)s.") % words, [name]
        )
        return
    for index, problem in criterion.problems(values, event_types):
        yield PartError(f"{name}: {problem}", [name, index])


def _no_such(value: Any, known: Sequence[str]) -> str:
    return _("unknown value %(value)s; choose from %(known)s.") % {"value": quoted(value), "known": ", ".join(known)}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
