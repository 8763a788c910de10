"""Parse a condition: from the JSON of a subscription to a tree, or to a list of errors."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks.catalogue import EventType, FieldKind
from tms_webhooks.catalogue.values import instant
from tms_webhooks.filters.condition import (
    COMPARISONS,
    AllOf,
    AnyOf,
    HasValue,
    InRange,
    Negation,
    Node,
    OneOf,
    comparable,
)
from tms_webhooks.filters.paths import (
    MOST_PROBLEMS,
    MOST_SEARCHES,
    EventPath,
    PartError,
    event_paths,
    having,
    nearest,
    patterns_of,
    quoted,
    shortened,
    suggested,
)

# The limits of a condition. `PARTS_LIMIT` counts comparisons and lists of conditions, `VALUES_LIMIT` the values in all lists.
PARTS_LIMIT = 50
VALUES_LIMIT = 1_000
DEEPEST = 5
LONGEST_TEXT = 255
DEEPEST_VALUE = 100
MOST_READ = 100_000
MOST_DIGITS = 30
LARGEST_NUMBER = 10**MOST_DIGITS
# The keys that combine conditions, and the one that asks whether there is a value.
JOINING = ("all", "any", "not")
EXISTS = "exists"
# The kinds of values that are numbers.
NUMBERS = (FieldKind.INTEGER, FieldKind.NUMBER)


def check(condition: Any, event_types: Sequence[EventType]) -> None:
    """Raise `ValidationError` if a condition can't be saved: `parse` refuses it, or it is larger than the limits."""
    _refuse_unreadable(condition)
    parse(condition, event_types, parts=PARTS_LIMIT, values=VALUES_LIMIT)


def parse(
    condition: Any, event_types: Sequence[EventType], *, parts: float = math.inf, values: float = math.inf
) -> Node:
    """Return the tree of a condition on events of these types, of at most this many parts and values in lists.

    The default is no limit, because a stored condition stays valid if the limits change. Raises `ValidationError` with
    one `PartError` per mistake, which names the path and the remedy, for the first `MOST_PROBLEMS`.
    """
    parser = _Parser(event_types, most_parts=parts, most_values=values)
    node = parser.parse(condition)
    if parser.problems:
        raise ValidationError(parser.problems)
    return node


def _refuse_unreadable(condition: Any) -> None:
    """Raise `ValidationError` for lists and objects in each other without end, and for numbers of too many digits.

    Python can neither compare, print nor store them.
    """
    rest, read = [(condition, 0)], 0
    # The same object may be in many places, so a small condition may be endless. The parser refuses it by its size.
    while rest and read < MOST_READ:
        (value, depth), read = rest.pop(), read + 1
        if depth > DEEPEST_VALUE:
            raise ValidationError(
                _("The condition has lists or objects more than %(most)d deep.") % {"most": DEEPEST_VALUE}
            )
        if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
            raise ValidationError(_("The condition has a number of more than %(most)d digits.") % {"most": MOST_DIGITS})
        children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        rest += [(child, depth + 1) for child in children]


class _Parser:
    """Parse one condition, and collect its errors."""

    def __init__(self, event_types: Sequence[EventType], *, most_parts: float, most_values: float) -> None:
        self.event_types = event_types
        self.paths = [event_paths(event_type) for event_type in event_types]
        self.most_parts, self.most_values = most_parts, most_values
        self.problems: list[PartError] = []
        # Where the parser is: the names and indexes that lead there.
        self.at: list[str | int] = []
        self.parts = 0
        self.values = 0

    def parse(self, condition: Any, depth: int = 0) -> Node:
        """Return the tree of a condition. It is meaningless if ``problems`` is not empty afterwards."""
        # An empty condition counts as a part: many of them are a large condition, too.
        self.parts += len(condition) if condition and isinstance(condition, Mapping) else 1
        if self.parts > self.most_parts:
            # Stop here: the rest may take too long to parse.
            message = _("The condition has more than %(limit)d parts, the limit. Use several subscriptions.")
            raise PartError(message % {"limit": self.most_parts}, self.at, code="condition")
        if not isinstance(condition, Mapping) or not condition:
            return self._refuse(_('Write an object with at least one path, such as {"data.grade": {"gte": 50}}.'))
        if depth > DEEPEST:
            return self._refuse(_("all, any and not are nested more than %(most)d deep."), most=DEEPEST)
        parts = tuple(self._inside(str(name), self._part, name, value, depth) for name, value in condition.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _inside(self, step: str | int, parse: Callable[..., Any], *args: Any) -> Any:
        """Return the result of ``parse`` for a member or an item of the part that is being parsed."""
        self.at.append(step)
        result = parse(*args)
        self.at.pop()
        return result

    def _part(self, name: Any, value: Any, depth: int) -> Node:
        if name == "not":
            return Negation(self.parse(value, depth + 1))
        if name in JOINING:
            if not isinstance(value, list) or not value:
                return self._refuse(_("%(name)s: write a list of conditions."), name=name)
            parts = tuple(self._inside(index, self.parse, one, depth + 1) for index, one in enumerate(value))
            return AllOf(parts) if name == "all" else AnyOf(parts)
        path = self._path(name)
        return self._comparison(path, value) if path is not None else AllOf(())

    def _path(self, name: Any) -> EventPath | None:
        found = [paths.get(name) for paths in self.paths]
        path = next(filter(None, found), None)
        if path is not None and path.is_status:
            self._refuse(_("%(path)s is a status; compare %(path)s.code or %(path)s.name."), path=name)
        elif None not in found:
            return path
        elif others := having(name):
            lacking = [event_type for event_type, one in zip(self.event_types, found, strict=True) if one is None]
            self._refuse(
                _("%(path)s: not a field of %(lacking)s. Subscribe to events with this field: %(having)s."),
                path=name,
                lacking=_some(patterns_of(lacking)),
                having=_some(others),
            )
        else:
            names = nearest(str(name), self.event_types) if self._may_search else []
            remedy = suggested(names) or _(" Paths begin with data, details, previous, changed or actor.")
            self._refuse(_("%(path)s is not a field of these events.") % {"path": shortened(name)} + remedy)
        return None

    def _comparison(self, path: EventPath, value: Any) -> Node:
        if isinstance(value, Mapping):
            return self._operators(path, value)
        if path.kind is FieldKind.JSON:
            return self._refuse(
                _('%(path)s is a JSON value; ask only whether it exists: {"exists": true}.'), path=path.path
            )
        values = value if isinstance(value, list) else [value]
        if not values:
            return self._refuse(_("%(path)s: the list is empty; no event can match."), path=path.path)
        self.values += len(values)
        if self.values > self.most_values:
            message = _("The condition has more than %(limit)d values, the limit. Use several subscriptions.")
            raise PartError(message % {"limit": self.most_values}, self.at, code="condition")
        if not isinstance(value, list):
            return OneOf(path.path, path.kind, (self._value(path, value),))
        found = tuple(self._inside(index, self._value, path, one) for index, one in enumerate(value))
        return OneOf(path.path, path.kind, found)

    def _operators(self, path: EventPath, value: Mapping[Any, Any]) -> Node:
        known = [*COMPARISONS, EXISTS]
        unknown = [name for name in value or ["{}"] if name not in known]
        for name in unknown:
            message = _("%(path)s: unknown comparison %(names)s. Use %(known)s, or list the accepted values.")
            words = {"path": path.path, "names": shortened(str(name)), "known": ", ".join(known)}
            self._inside(str(name), self._refuse, message % words)
        if unknown:
            return AllOf(())
        parts: list[Node] = []
        if EXISTS in value:
            if not isinstance(value[EXISTS], bool):
                self._inside(EXISTS, self._refuse, _("%(path)s: exists takes true or false.") % {"path": path.path})
            parts.append(HasValue(path.path, value[EXISTS]))
        bounds = tuple(
            (name, self._inside(name, self._bound, path, one)) for name, one in value.items() if name in COMPARISONS
        )
        if bounds:
            parts.append(InRange(path.path, path.kind, bounds))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _bound(self, path: EventPath, value: Any) -> Any:
        if path.kind not in (*NUMBERS, FieldKind.DATETIME):
            self._refuse(_("%(path)s is not a number or a time; list the accepted values."), path=path.path)
        elif value is None:
            self._refuse(_('%(path)s: null is not a bound; write {"exists": false}.'), path=path.path)
        else:
            return self._value(path, value)
        return None

    def _value(self, path: EventPath, value: Any) -> Any:
        """Return a value for a comparison; report one that is not allowed at the path."""
        if value is None:
            return None
        if path.kind is FieldKind.DATETIME:
            try:
                return instant(datetime.fromisoformat(value))
            except (TypeError, ValueError, OverflowError):
                return self._refuse(_wrong_kind(path, value))
        if not _is_of_kind(path.kind, value):
            self._refuse(_wrong_kind(path, value))
        elif path.allowed and value not in path.allowed:
            allowed = list(map(str, path.allowed))
            message = _("%(path)s: unknown value %(value)s. Choose from %(allowed)s.")
            self._refuse(
                message % {"path": path.path, "value": quoted(value), "allowed": _some(allowed, 20)}
                + suggested(difflib.get_close_matches(shortened(value), allowed) if self._may_search else [])
            )
        return comparable(path.kind, value)

    @property
    def _may_search(self) -> bool:
        return len(self.problems) < MOST_SEARCHES

    def _refuse(self, message: str, **values: object) -> Node:
        """Record a problem with the part that is being parsed, and return a node in its place."""
        self.problems.append(PartError(message % values if values else message, self.at, code="condition"))
        if len(self.problems) == MOST_PROBLEMS:
            raise ValidationError(self.problems)
        return AllOf(())


def _is_of_kind(kind: FieldKind, value: Any) -> bool:
    if isinstance(value, bool) or kind is FieldKind.BOOLEAN:
        return isinstance(value, bool) and kind is FieldKind.BOOLEAN
    if kind in NUMBERS:
        return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, int) and kind is not FieldKind.STRING


def _wrong_kind(path: EventPath, value: Any) -> str:
    right = {
        FieldKind.DATETIME: _('a date or a time, such as "2026-12-01" or "2026-12-01T08:00:00Z"'),
        FieldKind.BOOLEAN: _("true or false"),
        FieldKind.INTEGER: _("a number"),
        FieldKind.NUMBER: _("a number"),
        FieldKind.ID: _('an id, such as 301 or "AZ-104"'),
        FieldKind.IDS: _("a name") if path.allowed else _("an id, such as 301"),
    }
    text = _("text of at most %(most)d characters") % {"most": LONGEST_TEXT}
    return _("%(path)s: %(value)s is not allowed; write %(right)s.") % {
        "path": path.path,
        "value": quoted(value),
        "right": right.get(path.kind, text),
    }


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
