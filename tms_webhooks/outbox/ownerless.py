"""New objects that have no organization yet, and objects whose organization can't be read.

They are kept, and are new objects for their organization once it is known: its first event shows their state then.

The object may get its organization by a change of its own row, which is detected here, or by one of another row, on the
way to the organization, which `reconcile.ownerless` detects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import OwnerlessObject
from tms_webhooks.sources import states
from tms_webhooks.sources.base import OWNER
from tms_webhooks.sources.mapping import OWNERS, may_be_null

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change


def keep_or_enter(source: Source, changes: Sequence[Change], *, using: str) -> list[Change]:
    """Keep new objects without an organization; return the changes, where an object that gets its first one is new."""
    if not may_lack_owner(source):
        return list(changes)
    keys = [states.key_text(change.values.get("id")) for change in changes]
    lacking = [
        key
        for key, one in zip(keys, changes, strict=True)
        if (one.created and not has_owner(one.after)) or isinstance(one.after.get(OWNER), PayloadError)
    ]
    if lacking:
        OwnerlessObject.objects.add(source.name, lacking, now=changes[0].now, using=using)
    settled = [
        key for key, one in zip(keys, changes, strict=True) if one.deleted or (one.changed and has_owner(one.after))
    ]
    kept = OwnerlessObject.objects.take(source.name, settled, using=using) if settled else set()
    return [
        replace(one, before={}, changed=()) if one.changed and _enters(one, is_kept=key in kept) else one
        for key, one in zip(keys, changes, strict=True)
    ]


def has_owner(values: Mapping[str, Any]) -> bool:
    """Return whether an object with these canonical values has an organization that can be read."""
    if OWNERS in values:
        return bool(values[OWNERS])
    owner = values.get(OWNER)
    return owner is not None and not isinstance(owner, PayloadError)


@cache
def may_lack_owner(source: Source) -> bool:
    """Return whether an object of the source may have no organization, as far as its model shows."""
    if "id" not in source.own:
        return False
    mapped = source.mapped.get(OWNER)
    if mapped is None or not isinstance(mapped.lookup, str):
        return True
    return may_be_null(source.model, mapped.lookup.replace("__", "."))


def _enters(change: Change, *, is_kept: bool) -> bool:
    """Return whether an object has an organization now, and is known to have had none."""
    known_before = OWNERS in change.before or OWNER in change.before
    return has_owner(change.after) and (is_kept or (known_before and not has_owner(change.before)))
