"""The change of an object from which the example of an event is built: one that its source reads as this event.

It leads to the object's current state, or from it. Old values are those of a stored event of the type, or of the sample.
If the event means another state, the new values are those that the rule names, or those of the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from tms_webhooks.catalogue import EventType
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import compared
from tms_webhooks.sources.row_sets import database_of
from tms_webhooks.sources.rules import Change, Reopened

Values = Mapping[str, Any]


def likely_change(source: Source, values: Values, kind: EventType, *, stored: Values, now: datetime) -> Change:
    """Return a change of the object with these canonical values that its source reads as an event of the type.

    ``stored`` is the newest event of the type about the object, or empty. Without such a change, nothing changes in the
    result: an event that only a scan emits has an object that is open, with time left.
    """
    sample = kind.example()
    later = now - datetime.fromisoformat(sample["timestamp"])
    new, old = _canonical(kind, sample["data"], later), _canonical(kind, sample["previous"], later)
    named: dict[str, Any] = {}
    for rule in source.rules:
        if kind.name in rule.event_types:
            named |= {name: new.get(name) for name in rule.fields} | dict(rule.result(kind.name))
    of_deadline = _of_deadline(source, values, kind, new, now=now)

    def state(given: Values) -> Values:
        merged = {**values, **{name: value for name, value in given.items() if name in values or name in named}}
        return {**merged, **source.function_values(merged), **{name: given[name] for name in named if name in given}}

    def changes() -> Iterator[Change]:
        demanded = state({**of_deadline, **named})
        others = [name for name in source.own if name != "id" and not name.startswith("organization.")]
        pairs = [
            (state(_canonical(kind, stored.get("previous", {}))), values),
            (state(old), values),
            ({}, values),
            (values, {}),
            (values, demanded),
            ({}, demanded),
            *((state({name: {**new, **old}.get(name)}), values) for name in (*named, *others)),
        ]
        for before, after in pairs:
            yield compared(source, before, after, now=now, using=database_of(source))

    unchanged = state(of_deadline)
    return next(
        (one for one in changes() if kind.name in source.event_types_for(one)),
        Change(unchanged, unchanged, (), now, database_of(source)),
    )


def _of_deadline(source: Source, values: Values, kind: EventType, sample: Values, *, now: datetime) -> dict[str, Any]:
    """Return the values that an object needs for an event of its deadline: it is open, and its date is past or to come."""
    deadline = source.deadline
    reopens = any(isinstance(rule, Reopened) and rule.event == kind.name for rule in source.rules)
    if deadline is None or not (reopens or kind.name in (deadline.expiring, deadline.expired)):
        return {}
    closing = (*source.closed_when.filled, *(name for name, _member in source.closed_when.statuses))
    needed = {} if source.is_open(values) else {name: sample.get(name) for name in closing}
    due, of_sample = values.get(deadline.field), sample.get(deadline.field)
    if due is not None and of_sample is not None and (due > now) is not (of_sample > now):
        needed[deadline.field] = of_sample
    return needed


def _canonical(kind: EventType, nested: Values, later: timedelta = timedelta(0)) -> dict[str, Any]:
    """Return values of an event by their canonical names: statuses as numbers, and times by so much later."""
    found: dict[str, Any] = {}
    for field in kind.fields:
        value = value_at(nested, field.name, missing=found)
        if value is found:
            continue
        if value is not None and field.kind is FieldKind.STATUS:
            value = value["code"]
        elif value is not None and field.kind is FieldKind.DATETIME:
            value = datetime.fromisoformat(value) + later
        found[field.name] = value
    return found
