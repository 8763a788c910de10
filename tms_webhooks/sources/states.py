"""States of an object: what differs between two, and the last recorded one as text.

That is written when events of the object are recorded, and compared with when reconciling.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, models

from tms_webhooks.catalogue.values import instant
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models.source_state import ObjectState
from tms_webhooks.sources.base import LEARNER, OWNER, TIME_ZONE, Source
from tms_webhooks.sources.mapping import OWNERS, Values
from tms_webhooks.sources.paths import RelatedList, all_rows
from tms_webhooks.sources.rules import Change

# Fields that every save sets, even one that changes nothing else.
SAVE_TIMESTAMPS = frozenset({"updated_at"})
NOT_COMPARED = SAVE_TIMESTAMPS | {TIME_ZONE.name}
# Values of other rows that are kept, too: they identify the recipients of a deletion, when the row no longer exists.
OF_ORGANIZATIONS = ("organization.", "learner_organization.")

logger = logging.getLogger(__name__)


def diff(
    source: Source,
    *,
    before: Values | None,
    after: Values | None,
    now: datetime,
    using: str = DEFAULT_DB_ALIAS,
) -> Change:
    """Return the change between two raw snapshots of one object, in canonical values.

    ``before`` is None for a new object, ``after`` for a deleted one. So is a row that is no object of the source (see
    `Source.only`). Only values of the object's own row count as changed. A status value without a mapping is logged, and building the payload fails later; under DEBUG and in tests
    its `PayloadError` is raised here.
    """
    if source.keys_behind:
        before, after = with_values_behind_keys(source, {0: (before, after)}, using=using)[0]
    if before is not None and after is not None:
        # Values of other rows, with which the row's own are read, are as they were. The last event of an object that leaves
        # has all values.
        names = (TIME_ZONE.name, *source.inputs) if source.includes(after) else after
        before = {**{name: after[name] for name in names if name in after}, **before}
    new = source.canonical(after) if after is not None and source.includes(after) else {}
    old = source.canonical(before, others=new) if before is not None and source.includes(before) else {}
    for error in [one for one in {**old, **new}.values() if isinstance(one, PayloadError)]:
        if strict_payloads():
            raise error
        logger.error("An event of %r will lack a value: %s", source, error)
    return compared(source, old, new, now=now, using=using)


def compared(source: Source, old: Values, new: Values, *, now: datetime, using: str = DEFAULT_DB_ALIAS) -> Change:
    """Return the change between two states of one object in canonical values; one of them may be empty."""
    differing = set[str]()
    if old and new:
        differing = {name for name, value in old.items() if name not in new or new[name] != value} - NOT_COMPARED
    if OWNERS in differing and _owner_keys(old) != _owner_keys(new):
        differing.add(OWNER)
    changed: tuple[str, ...] = ()
    if differing:
        # An error of a function says nothing about its value: if one that it reads differs, this may differ, too.
        uncertain = () if differing.isdisjoint(source.inputs) else source.made
        changed = tuple(
            field.name
            for field in source.all_fields
            if field.name in differing
            and (field.name in uncertain or not _look_alike(old.get(field.name), new.get(field.name)))
        )
    return Change(before=old, after=new, changed=changed, now=now, using=using)


def _owner_keys(values: Values) -> list[Any]:
    owners = values[OWNERS] or ()
    return [owners] if isinstance(owners, PayloadError) else [one["id"] for one in owners]


def _look_alike(previous: Any, current: Any) -> bool:
    """Return whether two values are one error, or one moment in the milliseconds of a payload.

    Serializers of the host may cut microseconds off: an old version of an object that is saved again has fewer.
    """
    if isinstance(previous, datetime) and isinstance(current, datetime):
        return instant(previous) == instant(current)
    return isinstance(previous, PayloadError) and isinstance(current, PayloadError) and str(previous) == str(current)


def with_values_behind_keys(
    source: Source, states: Mapping[Any, tuple[Values | None, Values | None]], *, using: str
) -> dict[Any, tuple[Values | None, Values | None]]:
    """Return pairs of raw values before and after, by key, with the old values behind a foreign key (`Source.keys_behind`).

    The row itself has the key only. Where the key changed, the value is read from the object that it led to: one query per
    field. An old object that no longer exists leaves null.
    """
    result = dict(states)
    for name, key in source.keys_behind.items():
        old_keys = {
            one: before[key]
            for one, (before, after) in result.items()
            if before and after and key in before and name not in before and before[key] != after[key]
        }
        if not old_keys:
            continue
        lookup = source.mapped[name].lookup
        listed = lookup if isinstance(lookup, RelatedList) else None
        first, _, onward = (listed.base if listed else str(lookup)).partition("__")
        reference: Any = source.model._meta.get_field(first)
        target = reference.target_field.attname
        rows = all_rows(reference.related_model, using=using)
        rows = rows.filter(**{f"{target}__in": {*old_keys.values()} - {None}})
        column = RelatedList(listed.relation, listed.columns, base=onward) if listed else onward
        behind = dict(rows.values_list(target, column))
        for one, old_key in old_keys.items():
            before, after = result[one]
            result[one] = {**(before or {}), name: behind.get(old_key, [] if listed else None)}, after
    return result


@cache
def own_names(source: Source) -> tuple[str, ...]:
    """Return the names of the values whose change is an event: those of the object's own row, without `SAVE_TIMESTAMPS`."""
    return tuple(name for name in source.own if name not in SAVE_TIMESTAMPS)


@cache
def lists_of(source: Source) -> Mapping[str, RelatedList]:
    """Return the lists in other tables whose change is a change of the object, by their canonical names."""
    return {name: one for name, mapped in source.mapped.items() if (one := mapped.own_list) is not None}


@cache
def names(source: Source) -> tuple[str, ...]:
    """Return the names of all values in a recorded state."""
    return (*own_names(source), *_related_names(source))


@cache
def _related_names(source: Source) -> tuple[str, ...]:
    names = [
        name
        for name in source.mapped
        if name not in source.own and (name.startswith(OF_ORGANIZATIONS) or name in source.inputs)
    ]
    return tuple(dict.fromkeys([*names, *lists_of(source)]))


def object_state(source: Source, key: Any, raw: Values) -> ObjectState:
    """Return the state to record for an object with these raw values."""
    return ObjectState(key_text(key), state_text(source, raw), _written(raw, _related_names(source)))


def state_text(source: Source, raw: Values) -> str:
    """Return the values of an object's own row as text. Equal values give equal text."""
    return _written(raw, own_names(source))


def leads_elsewhere(source: Source, before: Values | None, after: Values) -> bool:
    """Return whether the values of other rows are those of other objects than before, or other organizations."""
    names = {*source.keys_behind.values(), *organization_names(source)}
    return before is not None and any(name in before and before[name] != after[name] for name in names)


@cache
def organization_names(source: Source) -> frozenset[str]:
    """Return the names of the values that say whose an object is."""
    names = (OWNER, LEARNER)
    inputs = (one for name in names if name in source.computed for one in source.computed[name][1])
    return frozenset({*names, OWNERS, *inputs})


def key_text(key: Any) -> str:
    """Return an object's key as text, for `key_value` to read."""
    return _as_json(key)


def key_value(source: Source, text: str) -> Any:
    """Return the key that `key_text` wrote."""
    return source.model._meta.pk.to_python(json.loads(text))


def rows_after(source: Source, rows: models.QuerySet[Any], key: str) -> models.QuerySet[Any]:
    """Return the rows after the one with this key as text, in the order of keys; all of them if it is empty."""
    rows = rows.order_by("pk")
    return rows.filter(pk__gt=key_value(source, key)) if key else rows


def _written(raw: Values, value_names: Iterable[str]) -> str:
    return _as_json({name: raw[name] for name in value_names if name in raw})


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
