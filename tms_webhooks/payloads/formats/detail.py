"""Reduce an event to the fields that a webhook's payload detail includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import Field
from tms_webhooks.choices import FieldPrivacy, PayloadDetail

# The privacy levels that each detail includes.
_KEPT: Mapping[str, frozenset[FieldPrivacy]] = {
    PayloadDetail.FULL: frozenset(FieldPrivacy),
    PayloadDetail.NO_PERSONAL: frozenset({FieldPrivacy.ID, FieldPrivacy.BASIC}),
    PayloadDetail.THIN: frozenset({FieldPrivacy.ID}),
}


def is_included(field: Field, detail: str) -> bool:
    """Return whether a payload with this detail includes the field; of a list of objects, any field of the objects."""
    if field.items:
        return any(is_included(item, detail) for item in field.items)
    return field.privacy in _KEPT[detail]


def reduced(event: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """Return an event with only the fields of this detail.

    Values that no field of the type describes are left out, because they may be personal.
    """
    fields = [field for field in catalogue.get(event["type"]).fields if is_included(field, detail)]
    names, tree = {field.name for field in fields}, _tree(fields, detail)
    return {
        **event,
        "data": _pick(event["data"], tree),
        "changed": [name for name in event["changed"] if name in names],
        "previous": _pick(event["previous"], tree),
    }


def linked(event: Mapping[str, Any], api_url: str) -> dict[str, Any]:
    """Return an event with a link to the full event in the API; unchanged if ``api_url`` is empty."""
    address = f"{api_url.rstrip('/')}/events/{event['id']}/"
    return {**event, "links": {"event": address}} if api_url else dict(event)


def _tree(fields: Iterable[Field], detail: str) -> dict[str, Any]:
    """Return the names of the included fields, nested; those of the objects in a list below it, and None below a value."""
    tree: dict[str, Any] = {}
    for field in fields:
        if is_included(field, detail):
            *parents, leaf = field.name.split(".")
            below = tree
            for parent in parents:
                below = below.setdefault(parent, {})
            below[leaf] = _tree(field.items, detail) if field.items else None
    return tree


def _pick(value: Any, tree: Mapping[str, Any] | None) -> Any:
    """Return the parts of a value that a tree names."""
    if isinstance(value, Mapping) and tree is not None:
        return {name: _pick(value[name], below) for name, below in tree.items() if name in value}
    return [_pick(one, tree) for one in value] if isinstance(value, list) and tree is not None else value
