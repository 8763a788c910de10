"""What differs between two states of an object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Change

# Set by every save, also by one that changes nothing.
STAMPS = frozenset({"updated_at"})


def diff(
    source: Source, *, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, now: datetime
) -> Change:
    """Compare two raw snapshots of one object in canonical values.

    ``before`` is None for a new object, ``after`` for a deleted one; only values of the object's own row count as
    changed. Raises `PayloadError` for a status value without a mapping.
    """
    old = source.canonical(before) if before is not None else {}
    new = source.canonical(after) if after is not None else {}
    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        changed = tuple(name for name in _comparable(source, old) if old.get(name) != new.get(name))
    return Change(before=old, after=new, changed=changed, now=now)


def _comparable(source: Source, old: Mapping[str, Any]) -> list[str]:
    """Return the names that both snapshots have: the object's own, and what derives from them, in the noun's order."""
    return [field.name for field in source.all_fields if field.name in old and field.name not in STAMPS]
