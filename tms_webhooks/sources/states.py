"""The last recorded state of an object, as text: written when its events are recorded, compared with when reconciling."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models.source_state import ObjectState
from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.changes import SAVE_TIMESTAMPS
from tms_webhooks.sources.mapping import OWNERS, MappedField
from tms_webhooks.sources.paths import field_at

# Values of other rows that are kept, too: they identify the recipients of a deletion, when the row no longer exists.
ORGANIZATIONS = ("organization.", "learner_organization.")


@cache
def own_names(source: Source) -> tuple[str, ...]:
    """Return the names of the values whose change is an event: those of the object's own row, without `SAVE_TIMESTAMPS`."""
    return tuple(name for name in source.own if name not in SAVE_TIMESTAMPS)


@cache
def list_names(source: Source) -> tuple[str, ...]:
    """Return the names of the lists in other tables whose change is a change of the object."""
    return tuple(name for name, mapped in source.mapped.items() if mapped.own_list is not None)


@cache
def names(source: Source) -> tuple[str, ...]:
    """Return the names of all values in a recorded state."""
    return (*own_names(source), *_related_names(source))


@cache
def _related_names(source: Source) -> tuple[str, ...]:
    others = [name for name in source.mapped if name.startswith(ORGANIZATIONS) or name in source.inputs]
    names = [*(name for name in others if name not in source.own), *list_names(source)]
    return tuple(dict.fromkeys(names))


def object_state(source: Source, key: Any, raw: Mapping[str, Any]) -> ObjectState:
    """Return the state to record for an object with these raw values."""
    return ObjectState(key_text(key), state_text(source, raw), _written(raw, _related_names(source)))


def state_text(source: Source, raw: Mapping[str, Any]) -> str:
    """Return the values of an object's own row as text. Equal values give equal text."""
    return _written(raw, own_names(source))


def leads_elsewhere(source: Source, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Return whether the values of other rows are those of other objects than before, or other organizations."""
    names = {*source.keys_behind.values(), *organization_names(source)}
    return before is not None and any(name in before and before[name] != after[name] for name in names)


@cache
def organization_names(source: Source) -> frozenset[str]:
    """Return the names of the values that say whose an object is."""
    names = (OWNER, LEARNER_ORGANIZATION.name)
    inputs = (one for name in names if name in source.computed for one in source.computed[name][1])
    return frozenset({*names, OWNERS, *inputs})


def recorded_raw(source: Source, recorded: ObjectState) -> dict[str, Any]:
    """Return the recorded values as raw values, as if read from the host's row."""
    written = _texts(recorded)
    return {
        name: _read(source.model, source.mapped[name], value)
        for name, value in written.items()
        if name in source.mapped
    }


def recorded_before(source: Source, recorded: ObjectState, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded values of an object that is ``raw`` now, as the "before" of a comparison.

    A value whose text is unchanged is taken from ``raw``, so that a loss of precision in the text is not a change.
    """
    before = recorded_raw(source, recorded)
    current, written = _texts(object_state(source, None, raw)), _texts(recorded)
    compared = {*own_names(source), *list_names(source), *organization_names(source)} & before.keys()
    return {
        name: raw[name] if current[name] == written[name] else before[name]
        for name in source.mapped
        if name in compared
    }


def _texts(recorded: ObjectState) -> dict[str, Any]:
    return {**json.loads(recorded.related or "{}"), **json.loads(recorded.state)}


def key_text(key: Any) -> str:
    """Return an object's key as text, for `key_value` to read."""
    return _as_json(key)


def key_value(source: Source, text: str) -> Any:
    """Return the key that `key_text` wrote."""
    return source.model._meta.pk.to_python(json.loads(text))


def _written(raw: Mapping[str, Any], value_names: Iterable[str]) -> str:
    values = {name: raw[name] for name in value_names if name in raw}
    return _as_json(values)


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        """Return a value that JSON can't represent as text that the model's field can read; null for one that can't be read."""
        if isinstance(o, PayloadError):
            return None
        try:
            return super().default(o)
        except (TypeError, ValueError):
            return str(o)


# One encoder for all rows: `json.dumps` with options creates one per call.
_as_json = _Encoder(separators=(",", ":"), ensure_ascii=False).encode


def _read(model: type[models.Model], mapped: MappedField, value: Any) -> Any:
    if value is None or mapped.lookup is None:
        return value
    if isinstance(mapped.lookup, RelatedList):
        return mapped.lookup.to_python(value)
    field = field_at(model, mapped.lookup)
    # A JSON field's value needs no conversion.
    return value if mapped.field.kind in (FieldKind.IDS, FieldKind.OBJECTS) else field.to_python(value)
