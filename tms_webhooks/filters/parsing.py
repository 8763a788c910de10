"""From the JSON that people write to a condition, or to what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks.catalogue import EventType, FieldKind
from tms_webhooks.catalogue.values import instant
from tms_webhooks.filters.condition import COMPARISONS, AllOf, AnyOf, Exists, InRange, Negation, Node, OneOf, comparable
from tms_webhooks.filters.paths import EventPath, having, nearest, paths_of, patterns_of, shortened, suggested

DEEPEST = 5
MOST_PARTS = 50
MOST_VALUES = 100
LONGEST_TEXT = 255
JOINING = ("all", "any", "not")
EXISTS = "exists"
NUMBERS = (FieldKind.INTEGER, FieldKind.NUMBER)

Problems = list[ValidationError]


def parse(condition: Any, event_types: Sequence[EventType]) -> Node:
    """Return the tree of a condition on events of these types.

    Raises `ValidationError` with one error for each thing that is wrong: where it stands, and the remedy.
    """
    reader = _Reader(event_types)
    node = reader.read(condition, depth=0)
    if reader.problems:
        raise ValidationError(reader.problems)
    return node


class _Reader:
    """Reads one condition, and collects what is wrong with it."""

    def __init__(self, event_types: Sequence[EventType]) -> None:
        self.event_types = event_types
        self.problems: Problems = []
        self.parts = 0

    def read(self, condition: Any, *, depth: int) -> Node:
        """Return a part of the tree. Where there are problems it is worth nothing."""
        # A join of nothings is large, too.
        self.parts += len(condition) if condition and isinstance(condition, Mapping) else 1
        if self.parts > MOST_PARTS:
            # There is no reading on: what is too large may be larger than anybody has time for.
            raise ValidationError(_("There are more than %(most)d parts; ask for fewer.") % {"most": MOST_PARTS})
        if not isinstance(condition, Mapping) or not condition:
            return self._refuse(_('Write an object with at least one path, such as {"data.grade": {"gte": 50}}.'))
        if depth > DEEPEST:
            return self._refuse(_("all, any and not are nested more than %(most)d deep.") % {"most": DEEPEST})
        parts = tuple(self._part(name, value, depth=depth) for name, value in condition.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _part(self, name: Any, value: Any, *, depth: int) -> Node:
        if name == "not":
            return Negation(self.read(value, depth=depth + 1))
        if name in JOINING:
            if not isinstance(value, list) or not value:
                return self._refuse(_("%(name)s: write a list of conditions.") % {"name": name})
            parts = tuple(self.read(one, depth=depth + 1) for one in value)
            return AllOf(parts) if name == "all" else AnyOf(parts)
        place = self._place(name)
        return self._comparison(place, value) if place is not None else AllOf(())

    def _place(self, path: Any) -> EventPath | None:
        known = [paths_of(event_type) for event_type in self.event_types]
        place = next((places[path] for places in known if path in places), None)
        if place is None:
            self._refuse(self._unknown(str(path)))
        elif place.whole:
            self._refuse(_("%(path)s is a status; compare %(path)s.code or %(path)s.name.") % {"path": path})
        elif not all(path in places for places in known):
            lacking = [one for one, places in zip(self.event_types, known, strict=True) if path not in places]
            self._refuse(
                _("%(path)s: there is none in %(lacking)s. Subscribe to events that have one: %(having)s.")
                % {"path": path, "lacking": _some(patterns_of(lacking)), "having": _some(having(path))}
            )
        else:
            return place
        return None

    def _unknown(self, path: str) -> str:
        names = nearest(path, self.event_types)
        elsewhere = having(path)
        if elsewhere:
            return _("%(path)s: these events have none. Events that have one: %(having)s.") % {
                "path": shortened(path),
                "having": _some(elsewhere),
            }
        message = _("%(path)s is no place in these events.") % {"path": shortened(path)}
        return message + (suggested(names) or _(" Paths begin with data, previous, changed or actor."))

    def _comparison(self, place: EventPath, value: Any) -> Node:
        if isinstance(value, Mapping):
            return self._operators(place, value)
        values = value if isinstance(value, list) else [value]
        if not values:
            return self._refuse(_("%(path)s: the list is empty; no event can match.") % {"path": place.path})
        if len(values) > MOST_VALUES:
            message = _("%(path)s: %(count)d values; give at most %(most)d.")
            return self._refuse(message % {"path": place.path, "count": len(values), "most": MOST_VALUES})
        return OneOf(place.path, place.kind, tuple(self._value(place, one) for one in values))

    def _operators(self, place: EventPath, value: Mapping[Any, Any]) -> Node:
        unknown = [name for name in value if name not in COMPARISONS and name != EXISTS]
        if unknown or not value:
            return self._refuse(
                _("%(path)s: %(names)s is no comparison. Use %(known)s.")
                % {
                    "path": place.path,
                    "names": shortened(", ".join(map(str, unknown)) or "{}"),
                    "known": ", ".join([*COMPARISONS, EXISTS]),
                }
            )
        parts: list[Node] = []
        if EXISTS in value:
            if not isinstance(value[EXISTS], bool):
                self._refuse(_("%(path)s: exists takes true or false.") % {"path": place.path})
            parts.append(Exists(place.path, value[EXISTS]))
        bounds = tuple((name, self._bound(place, one)) for name, one in value.items() if name in COMPARISONS)
        if bounds:
            parts.append(InRange(place.path, place.kind, bounds))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _bound(self, place: EventPath, value: Any) -> Any:
        if place.kind not in (*NUMBERS, FieldKind.DATETIME):
            self._refuse(
                _("%(path)s can't be compared by more and less; list the values that are wanted.")
                % {"path": place.path}
            )
        elif value is None:
            self._refuse(_('%(path)s: null is no bound; write {"exists": false}.') % {"path": place.path})
        else:
            return self._value(place, value)
        return None

    def _value(self, place: EventPath, value: Any) -> Any:
        """Return a value as it is compared; refuse one that can't stand there."""
        if value is None:
            return None
        if place.kind is FieldKind.DATETIME:
            return self._moment(place, value)
        if not _is_of_kind(place.kind, value):
            self._refuse(_wrong_kind(place, value))
        elif place.allowed and value not in place.allowed:
            self._refuse(
                _("%(path)s: there is no %(value)s. Choose from %(allowed)s.")
                % {"path": place.path, "value": shortened(value), "allowed": _some(list(map(str, place.allowed)), 20)}
            )
        return comparable(place.kind, value)

    def _moment(self, place: EventPath, value: Any) -> Any:
        try:
            return instant(datetime.fromisoformat(value))
        except (TypeError, ValueError, OverflowError):
            self._refuse(_wrong_kind(place, value))
            return None

    def _refuse(self, message: str) -> Node:
        self.problems.append(ValidationError(message, code="condition"))
        return AllOf(())


def _is_of_kind(kind: FieldKind, value: Any) -> bool:
    if isinstance(value, bool) or kind is FieldKind.BOOLEAN:
        return isinstance(value, bool) and kind is FieldKind.BOOLEAN
    if kind in NUMBERS:
        return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, int) and kind is not FieldKind.STRING


def _wrong_kind(place: EventPath, value: Any) -> str:
    right = {
        FieldKind.DATETIME: _('a date or a time, such as "2026-12-01" or "2026-12-01T08:00:00Z"'),
        FieldKind.BOOLEAN: _("true or false"),
        FieldKind.INTEGER: _("a number"),
        FieldKind.NUMBER: _("a number"),
        FieldKind.ID: _('an id, such as 301 or "AZ-104"'),
        FieldKind.IDS: _("a name") if place.allowed else _("an id, such as 301"),
    }
    text = _("text of at most %(most)d characters") % {"most": LONGEST_TEXT}
    return _("%(path)s: %(value)s can't stand there; write %(right)s.") % {
        "path": place.path,
        "value": shortened(value),
        "right": right.get(place.kind, text),
    }


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
