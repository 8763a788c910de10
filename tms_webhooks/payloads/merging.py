"""Merge updates of one object into one event, for webhooks with a quiet period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tms_webhooks.catalogue import registry
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.payloads.envelope import from_text, to_text

_MISSING = object()


def can_be_merged(body: str) -> bool:
    """Return whether the body of an event names changed fields. An event for an organization that an object left can't be
    merged: its thin form must not get the values of another event.
    """
    event = from_text(body) if body else {}
    return bool(event.get("changed")) and not event.get("left")


def merge(bodies: Sequence[str]) -> str | None:
    """Return one body for these events of one type and object, the oldest first; None if no field is left changed.

    The result is the newest event with the changes of all:

    - ``changed`` names the fields of all events, in the order of the type's fields;
    - ``previous`` has the oldest old value of each;
    - a field that has its oldest value again is in neither.
    """
    events = [from_text(body) for body in bodies]
    newest = events[-1]
    oldest: dict[str, Any] = {}
    for event in events:
        for name in event["changed"]:
            oldest.setdefault(name, value_at(event["previous"], name, _MISSING))
    changed = [
        name
        for name in _in_field_order(newest["type"], oldest)
        if oldest[name] is _MISSING or oldest[name] != value_at(newest["data"], name, _MISSING)
    ]
    if not changed:
        return None
    known = {name: oldest[name] for name in changed if oldest[name] is not _MISSING}
    return to_text({**newest, "changed": changed, "previous": _nested(known)})


def _in_field_order(event_type: str, names: Iterable[str]) -> list[str]:
    """Return the names in the order of the type's fields, then those that are no field of it."""
    known = registry.expand(event_type)
    order = {field.name: number for number, field in enumerate(known[0].fields)} if known else {}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *parents, leaf = name.split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return nested
