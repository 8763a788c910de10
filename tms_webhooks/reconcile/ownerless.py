"""Objects that had no organization when they changed: checks whether they have one by now, and records their first event."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Set
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.capture.saves import atomic, has_outbox
from tms_webhooks.models import OwnerlessObject
from tms_webhooks.outbox.owners import has_owner
from tms_webhooks.outbox.record import record_changes
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.snapshots import locked, read_rows

REPORT_AFTER = timedelta(days=1)
"""Time after which an object that still has no organization is reported in the log, once."""
FORGET_AFTER = timedelta(days=30)
"""Time after which an object that still has no organization is not checked any more."""
BATCH = 500
"""Objects that one call checks."""

logger = logging.getLogger(__name__)


def settle(now: datetime) -> int:
    """Check the objects that were checked longest ago; return the number of those that have an organization by now.

    An error in one source is logged, and does not stop the others. Objects of sources that are not registered are left
    alone until they are so old that they are forgotten.
    """
    sources = {source.name: source for source in all_sources()}
    settled = 0
    for using in filter(has_outbox, {database_of(source) for source in sources.values()}):
        kept = OwnerlessObject.objects.using(using)
        rows = list(kept.filter(source__in=list(sources)).order_by("checked_at", "pk")[:BATCH])
        for name in {row.source for row in rows}:
            try:
                settled += _settle(sources[name], {row.key for row in rows if row.source == name}, now=now, using=using)
            except (OperationalError, InterfaceError):
                # These end the sweep; the next one repeats it.
                raise
            except Exception:
                logger.exception("The objects of %r without an organization could not be checked.", sources[name])
        # Also where that failed: the objects of other sources come first in the next run.
        kept.filter(pk__in=[row.pk for row in rows]).update(checked_at=now)
        kept.filter(since__lte=now - FORGET_AFTER).delete()
    return settled


def _settle(source: Source, keys: Set[str], *, now: datetime, using: str) -> int:
    with atomic(using), transaction.atomic(using=using):
        found = {key: diff(source, before=None, after=raw, now=now, using=using) for key, raw in _read(source, keys)}
        owned = [key for key, change in found.items() if has_owner(change.after)]
        OwnerlessObject.objects.take(source.name, [*owned, *(keys - found.keys())], using=using)
        record_changes(source, [found[key] for key in owned], using=using)
    waiting = OwnerlessObject.objects.using(using).filter(source=source.name, key__in=found.keys() - set(owned))
    if late := waiting.filter(since__lte=now - REPORT_AFTER, reported=False).update(reported=True):
        logger.warning(
            "%s: objects without an organization for a day: %s. No webhook gets their events. Set their organization, or "
            "leave them out with `only`.",
            source.model._meta.label,
            late,
        )
    return len(owned)


def _read(source: Source, keys: Collection[str]) -> list[tuple[str, dict[str, object]]]:
    """Lock and read the objects with these ids; return their raw values by the ids."""
    column = str(source.own["id"].lookup)
    rows = rows_of(source).filter(**{f"{column}__in": [json.loads(key) for key in keys]})
    read_rows(source, locked(rows.order_by("pk")), names=("id",))
    return [(states.key_text(raw["id"]), raw) for _key, raw in read_rows(source, rows)]
