"""Changes of an object, and the rules by which they mean events. A source lists its rules; each is tried on each change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django.db import DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one object, in canonical names and values; a status is its number.

    - ``before`` and ``after``: the values; ``before`` is empty for a new object, ``after`` for a deleted one
    - ``changed``: canonical names of the object's own values that differ, in the order of the noun's fields
    - ``using``: the alias of the database

    A value that can't be read or translated is a `PayloadError` with the reason. ``created`` and ``deleted`` say whether
    the object is new or deleted, ``is_empty`` whether nothing changes. ``values`` are the object's values now, or the last
    ones of a deleted object.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    changed: tuple[str, ...]
    now: datetime
    using: str = DEFAULT_DB_ALIAS
    created: bool = field(init=False)
    deleted: bool = field(init=False)
    is_empty: bool = field(init=False)
    values: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        is_one = bool(self.before) is not bool(self.after)
        derived = {
            "created": is_one and bool(self.after),
            "deleted": is_one and bool(self.before),
            "is_empty": not (is_one or self.changed),
            "values": self.after or self.before,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


@dataclass(slots=True)
class PlannedEvent:
    """An event that a source makes of a change.

    - ``event_type``: the name of its type
    - ``once``: a key; of several events with the same key only the first is recorded. An update with a key is not folded
      into an earlier event of its transaction, and no later update is folded into it
    - ``repeated``: whether the event is recorded even if its key was recorded before; the key then only keeps others
      from being recorded after it
    - ``deadline``: the date that the ``once`` key contains, if any; some time after it the key is pruned
    - ``subject_id``: the id of the event's subject, if that is not the changed object
    - ``subscription_id``: the key of the only subscription that the event is for, if any
    - ``extra``: canonical values to add to those of the object, such as those of ``details``
    - ``omit_personal``: whether to leave personal fields out of the event's old values
    """

    event_type: str
    _: KW_ONLY
    once: str = ""
    repeated: bool = False
    deadline: datetime | None = None
    subject_id: str = ""
    subscription_id: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    omit_personal: bool = False


class Rule(ABC):
    """One rule: ``read`` returns the event type that a change means; ``event_types`` lists all that it may return."""

    reads_deletions: ClassVar[bool] = True
    """Whether the rule can return an event type for a deletion. False saves queries when an object is deleted."""
    is_fallback: ClassVar[bool] = False
    """Whether the rule is tried only where no other rule, and no earlier fallback, returns an event type."""

    @property
    @abstractmethod
    def event_types(self) -> tuple[str, ...]:
        """Every event type that `read` can return."""

    @abstractmethod
    def read(self, change: Change) -> str | None:
        """Return the event type that ``change`` means, or None."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The canonical fields that the rule reads. The host's model must have them."""
        return ()

    def needs(self, event_type: str) -> tuple[str, ...]:
        """Return the canonical fields without which `read` never returns ``event_type``. The checks report missing ones."""
        return self.fields

    def result(self, event_type: str) -> Mapping[str, Any]:
        """Return the values that the rule demands of an object after the change, if it names any."""
        return {}


class _OfOneEvent(Rule):
    """A rule with one event type."""

    event: str

    @property
    def event_types(self) -> tuple[str, ...]:
        return (self.event,)


@dataclass(frozen=True)
class _OfOneField(_OfOneEvent):
    """A rule that reads one field. ``optional``: most hosts lack the field, so the checks don't report it missing."""

    reads_deletions = False

    field: str
    event: str
    optional: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def needs(self, event_type: str) -> tuple[str, ...]:
        return () if self.optional else self.fields


@dataclass(frozen=True)
class _OfObject(_OfOneEvent):
    """A rule that reads whether an object is new or changes."""

    reads_deletions = False

    event: str


class Created(_OfObject):
    """An object is created."""

    def read(self, change: Change) -> str | None:
        return self.event if change.created else None


@dataclass(frozen=True)
class Deleted(_OfOneEvent):
    """An object is deleted."""

    event: str

    def read(self, change: Change) -> str | None:
        return self.event if change.deleted else None


class AnyChange(_OfObject):
    """Any of the object's own values changes, also where another rule emits an event for the same change."""

    def read(self, change: Change) -> str | None:
        return self.event if change.changed else None


@dataclass(frozen=True)
class AnyOtherChange(_OfObject):
    """Any of the object's own values changes, and no other rule of the source emits an event for the change.

    With ``field``, this field of an existing object gets another value; clearing it is not an event. Of several such
    rules the first that applies emits its event.
    """

    is_fallback = True

    field: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,) if self.field else ()

    def needs(self, event_type: str) -> tuple[str, ...]:
        """Return no field: most hosts lack the one that the rule reads."""
        return ()

    def read(self, change: Change) -> str | None:
        if self.field and (self.field not in change.changed or change.after.get(self.field) is None):
            return None
        return self.event if change.changed else None


class Filled(_OfOneField):
    """An empty field gets a value, or an object is created with it: ``started_at`` is set when a learner starts."""

    def read(self, change: Change) -> str | None:
        if change.deleted or change.after.get(self.field) is None:
            return None
        was_empty = change.created or (self.field in change.before and change.before[self.field] is None)
        return self.event if was_empty else None


class Cleared(_OfOneField):
    """A field of an existing object loses its value: ``redeemed_at`` is cleared when a voucher is returned."""

    def result(self, event_type: str) -> Mapping[str, Any]:
        return {self.field: None}

    def read(self, change: Change) -> str | None:
        is_cleared = self.field in change.changed and change.after.get(self.field) is None
        return self.event if is_cleared else None


class Reopened(AnyChange):
    """An object that was closed or past its deadline is open again, with time left.

    The source decides by its ``closed_when`` and ``deadline``, in `Source.is_reopened`: the rule itself only reads
    whether an existing object changes.
    """


class FieldChanged(_OfOneField):
    """A field of an existing object gets another value. Clearing the field is not an event."""

    def read(self, change: Change) -> str | None:
        if change.created or change.deleted or self.field not in change.changed:
            return None
        return None if change.after.get(self.field) is None else self.event


class DatePassed(_OfOneField):
    """A date is moved from the future into the past. (A scan detects dates that pass by themselves.)"""

    def read(self, change: Change) -> str | None:
        if change.deleted or self.field not in change.changed:
            return None
        before, after = change.before.get(self.field), change.after.get(self.field)
        past = after is not None and after <= change.now
        return self.event if past and (before is None or before > change.now) else None


@dataclass(frozen=True)
class Entered(Rule):
    """A status is entered, by a change or, with ``on_creation``, by an object that is created with it."""

    reads_deletions = False

    field: str
    events: Mapping[int, str]
    on_creation: bool = True

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self.events.values())

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def result(self, event_type: str) -> Mapping[str, Any]:
        return {self.field: next(value for value, name in self.events.items() if name == event_type)}

    def read(self, change: Change) -> str | None:
        is_entered = self.field in change.changed or (change.created and self.on_creation)
        if change.deleted or not is_entered:
            return None
        return self.events.get(change.after.get(self.field))  # type: ignore[arg-type]


def event_types_of(rules: Iterable[Rule]) -> list[str]:
    """Return every event type that these rules can return, once each, in the order of the rules."""
    return list(dict.fromkeys(event_type for rule in rules for event_type in rule.event_types))
