"""An object's values as text: what is remembered of what was told of it, to compare with later."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

from django.db import models

from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models.source_state import ObjectState
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import STAMPS
from tms_webhooks.sources.mapping import MappedField
from tms_webhooks.sources.related_keys import RelatedKeys

# Not of the object's own row, but who is told depends on them when the row is gone.
OWNERS = ("organization.", "learner_organization.")


@cache
def own_names(source: Source) -> tuple[str, ...]:
    """Return the names of the values whose change is told: those of the object's own row, without its time stamps."""
    return tuple(name for name in source.own if name not in STAMPS)


@cache
def list_names(source: Source) -> tuple[str, ...]:
    """Return the names of the lists of ids that stand behind many-to-many fields."""
    return tuple(name for name, mapped in source.mapped.items() if isinstance(mapped.lookup, RelatedKeys))


@cache
def names(source: Source) -> tuple[str, ...]:
    """Return the names of all that is remembered of an object."""
    return (*own_names(source), *_related_names(source))


@cache
def _related_names(source: Source) -> tuple[str, ...]:
    owners = (name for name in source.mapped if name.startswith(OWNERS) and name not in source.own)
    return (*owners, *list_names(source))


def line_of(source: Source, key: Any, raw: Mapping[str, Any]) -> ObjectState:
    """Return what is to be remembered of an object with these values."""
    return ObjectState(key_text(key), state_text(source, raw), _written(raw, _related_names(source)))


def state_text(source: Source, raw: Mapping[str, Any]) -> str:
    """Return the values of an object's own row as text: the same text for the same values."""
    return _written(raw, own_names(source))


def recorded_raw(source: Source, line: ObjectState) -> dict[str, Any]:
    """Return the values that were remembered, as the host's row would have them."""
    written = {**json.loads(line.related or "{}"), **json.loads(line.state)}
    return {
        name: _read(source.model, source.mapped[name], value)
        for name, value in written.items()
        if name in source.mapped
    }


def recorded_before(source: Source, line: ObjectState, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was told of an object that is ``raw`` now, for a comparison.

    What is the same as text is the same value, so that nothing differs by the way it was written down.
    """
    told, now = recorded_raw(source, line), line_of(source, None, raw)
    current = {**json.loads(now.related), **json.loads(now.state)}
    written = {**json.loads(line.related or "{}"), **json.loads(line.state)}
    compared = {*own_names(source), *list_names(source)} & told.keys()
    return {
        name: raw[name] if current[name] == written[name] else told[name] for name in source.mapped if name in compared
    }


def key_text(key: Any) -> str:
    """Return an object's key as text that `key_value` reads."""
    return _as_json(key)


def key_value(source: Source, text: str) -> Any:
    """Return the key that `key_text` wrote."""
    parts = source.model._meta.pk_fields
    written = json.loads(text)
    if len(parts) == 1:
        return parts[0].to_python(written)
    return tuple(part.to_python(value) for part, value in zip(parts, written, strict=True))


def _written(raw: Mapping[str, Any], wanted: Iterable[str]) -> str:
    values = {name: raw[name] for name in wanted if name in raw}
    return _as_json(values)


def _plain(value: Any) -> Any:
    """Return what JSON has no word for as text that the model's field reads."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    # The trouble with a value is no value: what can't be read is not compared.
    return None if isinstance(value, PayloadError) else str(value)


# Made once: `json.dumps` would make one for each row.
_as_json = json.JSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=False).encode


def _read(model: type[models.Model], mapped: MappedField, value: Any) -> Any:
    if value is None or mapped.lookup is None:
        return value
    if isinstance(mapped.lookup, RelatedKeys):
        target = mapped.lookup.relation.remote_field.model._meta.pk
        return [target.to_python(one) for one in value]
    field = _field_at(model, mapped.lookup)
    # JSON is as it was.
    return value if mapped.field.kind is FieldKind.IDS else field.to_python(value)


def _field_at(model: Any, lookup: str) -> Any:
    field: Any = None
    for part in lookup.split("__"):
        field = model._meta.pk if part == "pk" else model._meta.get_field(part)
        model = field.related_model
    return field
