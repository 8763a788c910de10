"""Builds the part of an event's body that comes from the host's object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.payloads.fields import nest, to_json

if TYPE_CHECKING:
    from tms_webhooks.sources.rules import Change


def build(
    change: Change, event_type: EventType, *, extra: Mapping[str, Any] | None = None, forgetting: bool = False
) -> dict[str, Any]:
    """Return ``data``, ``changed`` and ``previous`` of one event, by these names.

    ``extra`` holds values that only this event type has; ``forgetting`` leaves out old values that are personal. Fields
    that the host lacks are null, and so is an old status without a mapping. Raises `PayloadError` for a value that can't be sent.
    """
    values = {**change.values, **(extra or {})}
    for value in values.values():
        if isinstance(value, PayloadError):
            raise value
    fields = {field.name: field for field in event_type.fields}
    data = {name: to_json(field, values.get(name)) for name, field in fields.items()}
    changed = [name for name in change.changed if name in fields]
    kept = [name for name in changed if not (forgetting and fields[name].privacy is FieldPrivacy.PERSONAL)]
    previous = {name: to_json(fields[name], _known(change.before.get(name))) for name in kept}
    return {"data": nest(data), "changed": changed, "previous": nest(previous)}


def _known(value: Any) -> Any:
    return None if isinstance(value, PayloadError) else value


def organization_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ids of the organization that the event belongs to, for the envelope."""
    key = values.get("organization.id")
    external = values.get("organization.external_id")
    return {
        "id": key if isinstance(key, int) or key is None else str(key),
        "external_id": None if external is None else str(external),
    }
