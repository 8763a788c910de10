"""Sample values of fields, for event types and custom fields that are declared without a sample."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import status_value

# Values that the samples of all nouns share.
_BY_NAME: Mapping[str, Any] = {
    "external_id": "EXT-1001",
    "organization.id": 12,
    "organization.external_id": "ACME-EU",
    "organization.name": "Acme Europe",
    "user.id": 5012,
    "user.external_id": "E-20417",
    "user.first_name": "Alice",
    "user.last_name": "Larsen",
    "user.email": "alice.larsen@example.com",
    "course.id": 301,
    "course.external_id": "AZ-104",
    "course.name": "Azure Administrator",
}
_BY_KIND: Mapping[FieldKind, Any] = {
    FieldKind.ID: 1001,
    FieldKind.IDS: [1001, 1002],
    FieldKind.STRING: "Example",
    FieldKind.INTEGER: 3,
    FieldKind.NUMBER: 2.5,
    FieldKind.BOOLEAN: True,
    FieldKind.DATETIME: "2026-11-24T15:04:05.000Z",
    FieldKind.FINGERPRINT: "5d1f0c9ab27e4418",
    FieldKind.JSON: {"key": "value"},
}


def sample_value(field: Field) -> Any:
    """Return a value of the field's kind, valid by its schema."""
    if field.choices is not None:
        return status_value(next(iter(field.choices)))
    if field.items:
        return [sample_data(field.items)]
    return copy.deepcopy(_BY_NAME.get(field.name, _BY_KIND.get(field.kind)))


def sample_data(fields: Iterable[Field]) -> dict[str, Any]:
    """Return the ``data`` of a sample event with a value for each field, nested by the fields' dotted names."""
    data: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.name.split(".")
        target = data
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = sample_value(field)
    return data
