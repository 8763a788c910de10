"""What differs between two states of an object."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Change

# Set by every save, also by one that changes nothing.
STAMPS = frozenset({"updated_at"})

logger = logging.getLogger(__name__)


def diff(
    source: Source,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
    using: str = DEFAULT_DB_ALIAS,
) -> Change:
    """Compare two raw snapshots of one object in canonical values.

    ``before`` is None for a new object, ``after`` for a deleted one; only values of the object's own row count as
    changed. A status value without a mapping is logged and left to the payload to fail on; under DEBUG and in tests
    its `PayloadError` is raised.
    """
    old = source.canonical(before) if before is not None else {}
    new = source.canonical(after) if after is not None else {}
    _complain(source, {**old, **new})
    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        pairs = ((name, old[name], new.get(name)) for name in _comparable(source, old))
        changed = tuple(name for name, was, became in pairs if was != became and not _are_one_error(was, became))
    return Change(before=old, after=new, changed=changed, now=now, using=using)


def _comparable(source: Source, old: Mapping[str, Any]) -> list[str]:
    """Return the names that both snapshots have: the object's own, and what derives from them, in the noun's order."""
    return [field.name for field in source.all_fields if field.name in old and field.name not in STAMPS]


def _are_one_error(was: Any, became: Any) -> bool:
    return isinstance(was, PayloadError) and isinstance(became, PayloadError) and str(was) == str(became)


def _complain(source: Source, values: Mapping[str, Any]) -> None:
    for error in values.values():
        if isinstance(error, PayloadError):
            if strict_payloads():
                raise error
            logger.error("An event of %r will lack a value: %s", source, error)
