"""Compare two states of an object: the result is the `Change` that a source turns into events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from django.db import DEFAULT_DB_ALIAS, models

from tms_webhooks.catalogue.values import instant
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.base import OWNER, TIME_ZONE, Source
from tms_webhooks.sources.mapping import OWNERS
from tms_webhooks.sources.rules import Change

# Fields that every save sets, even one that changes nothing else.
SAVE_TIMESTAMPS = frozenset({"updated_at"})
NOT_COMPARED = SAVE_TIMESTAMPS | {TIME_ZONE.name}

Values: TypeAlias = Mapping[str, Any]

logger = logging.getLogger(__name__)


def diff(
    source: Source,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
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
    values = {**old, **new}.values()
    # Most rows have no error: this finds out faster than a loop.
    for error in values if PayloadError in set(map(type, values)) else ():
        if isinstance(error, PayloadError):
            if strict_payloads():
                raise error
            logger.error("An event of %r will lack a value: %s", source, error)
    return compared(source, old, new, now=now, using=using)


def compared(
    source: Source, old: Mapping[str, Any], new: Mapping[str, Any], *, now: datetime, using: str = DEFAULT_DB_ALIAS
) -> Change:
    """Return the change between two states of one object in canonical values; one of them may be empty."""
    changed: tuple[str, ...] = ()
    if old and new:
        differing = {name for name, value in old.items() if name not in new or new[name] != value} - NOT_COMPARED
        if OWNERS in differing and _owner_keys(old) != _owner_keys(new):
            differing |= {OWNER}
        # An error of a function says nothing about its value: if one that it reads differs, this may differ, too.
        uncertain = () if differing.isdisjoint(source.inputs) else source.made
        changed = tuple(
            field.name
            for field in (source.all_fields if differing else ())
            if field.name in differing
            and (field.name in uncertain or not _look_alike(old.get(field.name), new.get(field.name)))
        )
    return Change(before=old, after=new, changed=changed, now=now, using=using)


def _owner_keys(values: Mapping[str, Any]) -> list[Any]:
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
        rows: models.QuerySet[Any] = models.QuerySet(reference.related_model, using=using)
        rows = rows.filter(**{f"{target}__in": {*old_keys.values()} - {None}})
        behind = dict(rows.values_list(target, listed.moved(onward) if listed else onward))
        for one, old_key in old_keys.items():
            before, after = result[one]
            result[one] = {**(before or {}), name: behind.get(old_key, [] if listed else None)}, after
    return result
