"""Records learners who complete a learning path because the path was edited, after the edit's commit.

Not before: to replace a course, Django removes the old one first, which may complete the path for a moment.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.utils import timezone

from tms_webhooks.batches import Stop, never
from tms_webhooks.capture.captured_rows import chunks
from tms_webhooks.capture.transactions import atomic, has_outbox
from tms_webhooks.models import EditedPath, Occurrence
from tms_webhooks.outbox.record import LogSourceErrors, record_planned
from tms_webhooks.outbox.subscribed import (
    matching_types_by_organizations,
    organizations_of,
    types_with_subscribers,
)
from tms_webhooks.sources import states
from tms_webhooks.sources.querysets import CHUNK
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import at_keys, database_of
from tms_webhooks.sources.rules import Change, PlannedEvent
from tms_webhooks.sources.snapshots import read_rows
from tms_webhooks.sources.tms import ComputedLearningPathSource
from tms_webhooks.sources.tms.learning_path import COMPLETED

# The key of the object that the path's last course completed, and the event.
Completion = tuple[Any, PlannedEvent]

# The process that edits a path records its completions right after the commit; after this time the sweep does it.
OVERDUE_AFTER = timedelta(minutes=1)
# An edit that fails for this long is a mistake of the host, which the log has reported with each sweep.
GIVE_UP_AFTER = timedelta(days=1)

logger = logging.getLogger(__name__)


def relation_of(source: ComputedLearningPathSource) -> models.ManyToManyField[Any, Any] | None:
    """Return the field from a path to its courses; None where it is no many-to-many field, which a check reports."""
    try:
        field = apps.get_model(source.path_model)._meta.get_field(source.path_courses)
    except Exception:
        return None
    return field if isinstance(field, models.ManyToManyField) else None


def record_after_commit(source: ComputedLearningPathSource, path_keys: Sequence[Any], *, using: str) -> None:
    """Record the completions of edited paths once the transaction commits; if the process dies, the sweep does it."""
    if not (path_keys and has_outbox(using)) or not types_with_subscribers([COMPLETED], using=using):
        return
    now = timezone.now()
    edits = [EditedPath(source=source.name, key=states.key_text(key), edited_at=now) for key in path_keys]
    EditedPath.objects.using(using).bulk_create(edits)
    for path_key in path_keys:
        # No partial: Django logs the name of a callback that fails, and partials have none.
        def record(path_key: Any = path_key) -> None:
            record_completions(source, path_key, using=using)

        transaction.on_commit(record, using=using, robust=True)


def record_completions(source: ComputedLearningPathSource, path_key: Any, *, using: str) -> None:
    """Record the completion of a path, as it is now, by learners whose completion was never recorded."""
    edits = EditedPath.objects.using(using).filter(source=source.name, key=states.key_text(path_key))
    with LogSourceErrors(source), atomic(using):
        edit_keys = list(edits.values_list("pk", flat=True))
        completions = list(source.completions(path_key, using=using))
        for chunk in chunks(completions, CHUNK):
            keys = [planned.once for _key, planned in chunk]
            known = set(Occurrence.objects.using(using).filter(key__in=keys).values_list("key", flat=True))
            new = [(key, planned) for key, planned in chunk if planned.once not in known]
            _record_path(source, path_key, new, using=using)
        EditedPath.objects.using(using).filter(pk__in=edit_keys).delete()


def record_overdue_edits(now: datetime, *, stop: Stop = never) -> None:
    """Record the completions of paths that were edited by a process that died, or that failed to record them.

    ``stop`` is called before each path and returns whether to leave the rest to the next call.
    """
    sources = [one for one in all_sources() if isinstance(one, ComputedLearningPathSource) and one.emit_after_edit]
    for source in sources:
        using = database_of(source)
        edits = EditedPath.objects.using(using).filter(source=source.name)
        edits.filter(edited_at__lte=now - GIVE_UP_AFTER).delete()
        overdue = edits.filter(edited_at__lte=now - OVERDUE_AFTER)
        for key in dict.fromkeys(overdue.order_by("pk").values_list("key", flat=True)):
            if stop():
                return
            try:
                path_model = apps.get_model(source.path_model)
                record_completions(source, path_model._meta.pk.to_python(json.loads(key)), using=using)
            except Exception:
                logger.exception("The completions of path %s could not be recorded; the next sweep tries again.", key)


def _record_path(
    source: ComputedLearningPathSource, path_key: Any, completions: list[Completion], *, using: str
) -> None:
    raws = dict(read_rows(source, at_keys(source.model, [key for key, _planned in completions], using=using)))
    now = timezone.now()
    changes: list[Change] = []
    planned_events: list[PlannedEvent] = []
    for key, planned in completions:
        values = source.canonical(raws[key])
        if source.has_path(path_key, values["course.id"], values["user.id"], using=using):
            changes.append(Change(before=values, after=values, changed=(), now=now, using=using))
            planned_events.append(planned)
    if changes:
        owners = [organizations_of(change.values) for change in changes]
        known = {organizations for organizations in owners if organizations is not None}
        subscribed = matching_types_by_organizations(known, [COMPLETED], using=using)
        matching = [(n, planned_events[n]) for n, organizations in enumerate(owners) if organizations in subscribed]
        record_planned(source, changes, matching, using=using)
