"""Which objects are not as they were told: read in batches, by key, without a lock.

What is found here may have changed by the time that somebody looks again, under a lock; see `telling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tms_webhooks.models import ToldState
from tms_webhooks.models.told_state import Line
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.row_sets import at_keys, database_of, rows_of
from tms_webhooks.sources.snapshots import read_rows


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch was read up to (None: to the end), of how many objects, and the keys of those not as they were told."""

    end: str | None
    seen: int
    suspects: list[Any]


def of_rows(source: Source, after: str, *, limit: int) -> Batch:
    """Compare the next rows of the host with what was told of them."""
    using = database_of(source)
    rows = rows_of(source).order_by("pk")
    if after:
        rows = rows.filter(pk__gt=states.key_value(source, after))
    found = read_rows(source, rows[:limit], names=states.names(source))
    known = ToldState.objects.of(source.name, [states.key_text(key) for key, _raw in found], using=using)
    lines = ((key, states.line_of(source, key, raw)) for key, raw in found)
    suspects = [key for key, line in lines if known.get(line.key) != line]
    end = states.key_text(found[-1][0]) if len(found) == limit else None
    return Batch(end, len(found), suspects)


def of_states(source: Source, after: str, *, limit: int) -> Batch:
    """Look whether the next objects that were told of are still there."""
    using = database_of(source)
    told = ToldState.objects.after(source.name, after, limit=limit, using=using)
    gone = missing(source, told, using=using)
    return Batch(max(told) if len(told) == limit else None, len(told), gone)


def missing(source: Source, told: Mapping[str, Line], *, using: str) -> list[Any]:
    """Return the keys of those objects that have no row any more."""
    keys = [states.key_value(source, text) for text in told]
    there = set(at_keys(source.model, keys, using=using).values_list("pk", flat=True)) if keys else set()
    return [key for key in keys if key not in there]
