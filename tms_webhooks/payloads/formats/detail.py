"""Reduce an event to the fields that a webhook's payload detail includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import Field
from tms_webhooks.catalogue.versions import fields_at
from tms_webhooks.choices import FieldPrivacy, PayloadDetail

# The privacy levels that each detail includes.
_KEPT: Mapping[str, frozenset[FieldPrivacy]] = {
    PayloadDetail.FULL: frozenset(FieldPrivacy),
    PayloadDetail.NO_PERSONAL: frozenset({FieldPrivacy.ID, FieldPrivacy.BASIC}),
    PayloadDetail.THIN: frozenset({FieldPrivacy.ID}),
}


def fields_of(event: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the fields of an event's type in the event's version."""
    return fields_at(catalogue.get(event["type"]), event["version"])


def is_included(field: Field, detail: str) -> bool:
    """Return whether a payload with this detail includes the field; of a list of objects, any field of the objects."""
    if field.items:
        return any(is_included(item, detail) for item in field.items)
    return field.privacy in _KEPT[detail]


def reduced(event: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """Return an event with only the fields of this detail.

    Values that no field of the type describes are left out, because they may be personal.
    """
    fields = [field for field in fields_of(event) if is_included(field, detail)]
    names = {field.name for field in fields}
    return {
        **event,
        "data": _pick(event["data"], fields, detail),
        "changed": [name for name in event["changed"] if name in names],
        "previous": _pick(event["previous"], fields, detail),
    }


def linked(event: Mapping[str, Any], api_url: str) -> dict[str, Any]:
    """Return an event with a link to the full event in the API; unchanged if ``api_url`` is empty."""
    address = f"{api_url.rstrip('/')}/events/{event['id']}/"
    return {**event, "links": {"event": address}} if api_url else dict(event)


def _pick(nested: Mapping[str, Any], fields: Iterable[Field], detail: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for field in fields:
        _copy(nested, kept, field.name, field, detail)
    return kept


def _copy(source: Mapping[str, Any], target: dict[str, Any], name: str, field: Field, detail: str) -> None:
    first, _, rest = name.partition(".")
    if first not in source:
        return
    value = source[first]
    if not rest and field.items and value is not None:
        items = [item for item in field.items if is_included(item, detail)]
        target[first] = [_pick(item, items, detail) for item in value]
    elif not rest:
        target[first] = value
    elif isinstance(value, Mapping):
        _copy(value, target.setdefault(first, {}), rest, field, detail)
    elif value is None:
        target.setdefault(first, None)
