"""New objects that have no organization yet, and objects whose organization can't be read.

They are kept, and are new objects for their organization once it is known: its first event shows their state then.

The object may get its organization by a change of its own row, which is detected here. Or it gets it by a change of
another row on the path to the organization, which `reconcile.ownerless` detects.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import OwnerlessObject
from tms_webhooks.models.source_state import LONGEST_KEY
from tms_webhooks.sources import states
from tms_webhooks.sources.base import OWNER
from tms_webhooks.sources.mapping import OWNERS
from tms_webhooks.sources.paths import may_be_null

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change

logger = logging.getLogger(__name__)


def keep(source: Source, changes: Sequence[Change], *, using: str) -> None:
    """Keep new objects without an organization, and changed ones whose organization can't be read."""
    if not may_lack_owner(source):
        return
    lacking = [
        one
        for one in changes
        if one.after and not one.is_empty and not has_owner(one.after) and (one.created or _is_unreadable(one.after))
    ]
    if lacking:
        keys = [key for key in map(_key, lacking) if len(key) <= LONGEST_KEY]
        if len(keys) < len(lacking):
            logger.warning(
                "%r: objects with ids of more than %s characters can't wait for an organization.", source, LONGEST_KEY
            )
        OwnerlessObject.objects.add(source.name, keys, now=lacking[0].now, using=using)


def with_first_ones(source: Source, changes: Sequence[Change], *, using: str) -> list[Change]:
    """Return the changes, where an object that gets its first organization is new; forget that it was kept.

    Call it where a subscription matches: for other objects the query would be in vain.
    """
    owned = [one for one in changes if one.changed and has_owner(one.after)] if may_lack_owner(source) else []
    if not owned:
        return list(changes)
    kept = OwnerlessObject.objects.take(source.name, [_key(one) for one in owned], using=using)
    found = list(changes)
    for index, one in enumerate(changes):
        if one.changed and has_owner(one.after):
            # It enters if it is known to have had no organization.
            is_known_before = (OWNERS in one.before or OWNER in one.before) and not _is_unreadable(one.before)
            if _key(one) in kept or (is_known_before and not has_owner(one.before)):
                found[index] = replace(one, before={}, changed=())
    return found


def has_owner(values: Mapping[str, Any]) -> bool:
    """Return whether an object with these canonical values has an organization that can be read."""
    return bool(values.get(OWNERS) or values.get(OWNER) is not None) and not _is_unreadable(values)


def _is_unreadable(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get(OWNERS, values.get(OWNER)), PayloadError)


def _key(change: Change) -> str:
    return states.key_text(change.values.get("id"))


@cache
def may_lack_owner(source: Source) -> bool:
    """Return whether an object of the source may have no organization, as far as its model shows."""
    if "id" not in source.own:
        return False
    mapped = source.mapped.get(OWNER)
    if mapped is None or not isinstance(mapped.lookup, str):
        return True
    return may_be_null(source.model, mapped.lookup.replace("__", "."))
