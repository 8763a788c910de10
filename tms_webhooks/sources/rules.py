"""Which change of an object means which event: small values that are asked one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.db import DEFAULT_DB_ALIAS


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object, in canonical names and values; a status is its number.

    ``before`` is empty for a new object, ``after`` for a deleted one. ``changed`` holds the canonical names of the
    object's own values that differ, in the order of the noun's fields. ``using`` is the database that it happened in.
    A value that can't be read or translated is the `PayloadError` that says why.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    changed: tuple[str, ...]
    now: datetime
    using: str = DEFAULT_DB_ALIAS

    @property
    def created(self) -> bool:
        """Whether the object is new."""
        return not self.before

    @property
    def deleted(self) -> bool:
        """Whether the object is going."""
        return not self.after

    @property
    def values(self) -> Mapping[str, Any]:
        """The object as it is now; the last that was known of a deleted one."""
        return self.after or self.before


class Rule(ABC):
    """One reading of a change. ``event_types`` are all that it may name; ``read`` names the one that happened."""

    reads_deletions: ClassVar[bool] = True
    """Whether the end of an object can mean anything to the rule; False saves the queries that would ask."""

    @property
    @abstractmethod
    def event_types(self) -> tuple[str, ...]:
        """Return every event type that this rule can name."""

    @abstractmethod
    def read(self, change: Change) -> str | None:
        """Return the event type that ``change`` means, or None."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the canonical fields that the rule looks at; the host has to have them."""
        return ()

    def needs(self, event_type: str) -> tuple[str, ...]:
        """Return the canonical fields without which the rule never names ``event_type``: the checks tell of their lack."""
        return self.fields


class _OfOneEvent(Rule):
    """A rule that names one event."""

    event: str

    @property
    def event_types(self) -> tuple[str, ...]:
        return (self.event,)


class _OfOneField(_OfOneEvent):
    """A rule that looks at one field. ``optional`` says that most hosts lack it, and no check needs to tell."""

    reads_deletions = False

    field: str
    optional: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def needs(self, event_type: str) -> tuple[str, ...]:
        return () if self.optional else self.fields


@dataclass(frozen=True)
class Created(_OfOneEvent):
    """A new object is the event."""

    reads_deletions = False

    event: str

    def read(self, change: Change) -> str | None:
        return self.event if change.created else None


@dataclass(frozen=True)
class Deleted(_OfOneEvent):
    """The object's end is the event."""

    event: str

    def read(self, change: Change) -> str | None:
        return self.event if change.deleted else None


@dataclass(frozen=True)
class Changed(_OfOneEvent):
    """Any of the object's own values changed, and none of ``unless``, which have a more telling event of their own."""

    reads_deletions = False

    event: str
    unless: frozenset[str] = frozenset()

    def read(self, change: Change) -> str | None:
        if change.created or change.deleted or not change.changed or self.unless & set(change.changed):
            return None
        return self.event


@dataclass(frozen=True)
class Filled(_OfOneField):
    """An empty field gets a value: ``started_at`` is set when a learner starts."""

    field: str
    event: str
    optional: bool = False

    def read(self, change: Change) -> str | None:
        if change.deleted or change.after.get(self.field) is None:
            return None
        was_empty = change.created or (self.field in change.before and change.before[self.field] is None)
        return self.event if was_empty else None


@dataclass(frozen=True)
class Moved(_OfOneField):
    """A field of an object that was there gets another value; emptied it has none."""

    field: str
    event: str
    optional: bool = False

    def read(self, change: Change) -> str | None:
        if change.created or change.deleted or self.field not in change.changed:
            return None
        return None if change.after.get(self.field) is None else self.event


@dataclass(frozen=True)
class Passed(_OfOneField):
    """A date is moved from the future into the past. (That time itself passes it is found by a scan.)"""

    field: str
    event: str

    def read(self, change: Change) -> str | None:
        if change.deleted or self.field not in change.changed:
            return None
        before, after = change.before.get(self.field), change.after.get(self.field)
        past = after is not None and after <= change.now
        return self.event if past and (before is None or before > change.now) else None


@dataclass(frozen=True)
class Entered(Rule):
    """A status is entered: by a change, or by an object that is born with it."""

    reads_deletions = False

    field: str
    events: Mapping[int, str]

    @property
    def event_types(self) -> tuple[str, ...]:
        return tuple(self.events.values())

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def read(self, change: Change) -> str | None:
        if change.deleted or not (change.created or self.field in change.changed):
            return None
        return self.events.get(change.after.get(self.field))  # type: ignore[arg-type]


def event_types_of(rules: Iterable[Rule]) -> list[str]:
    """Return every event type that these rules can name, once each, in their order."""
    return list(dict.fromkeys(event_type for rule in rules for event_type in rule.event_types))
