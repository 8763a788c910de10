"""Learning paths that an edit of the path itself completes, where a source asks for it: told after the commit.

Before it nobody knows what the path will be: to replace a course, Django takes the old one off first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.utils import timezone

from tms_webhooks.capture.bulk import chunks
from tms_webhooks.capture.transactions import atomic, has_outbox
from tms_webhooks.models import EditedPath, Occurrence
from tms_webhooks.outbox.record import (
    NeverBreaking,
    organizations_of,
    record_planned_events,
    types_subscribed,
    types_wanted_by,
)
from tms_webhooks.sources import states
from tms_webhooks.sources.base import PlannedEvent
from tms_webhooks.sources.querysets import CHUNK
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import at_keys, database_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import read_rows
from tms_webhooks.sources.tms import ComputedLearningPathSource
from tms_webhooks.sources.tms.learning_path import COMPLETED

Completion = tuple[Any, PlannedEvent]

# A process that edits a path looks at it right after its commit.
LEFT = timedelta(minutes=1)
# What can't be told for so long is the host's mistake, which the log has told of again and again.
GIVEN_UP = timedelta(days=1)

logger = logging.getLogger(__name__)


def relation_of(source: ComputedLearningPathSource) -> models.ManyToManyField[Any, Any] | None:
    """Return the field that leads from a path to its courses; None where it is no many-to-many field, as a check tells."""
    try:
        field = apps.get_model(source.path_model)._meta.get_field(source.path_courses)
    except Exception:
        return None
    return field if isinstance(field, models.ManyToManyField) else None


def edited(source: ComputedLearningPathSource, path_keys: Sequence[Any], *, using: str) -> None:
    """Look at these paths once the transaction is committed; where the process dies before, the sweep does."""
    if not (path_keys and has_outbox(using)) or not types_subscribed([COMPLETED], using=using):
        return
    now = timezone.now()
    edits = [EditedPath(source=source.name, key=states.key_text(key), edited_at=now) for key in path_keys]
    EditedPath.objects.using(using).bulk_create(edits)
    for path_key in path_keys:
        transaction.on_commit(_later(source, path_key, using=using), using=using, robust=True)


def _later(source: ComputedLearningPathSource, path_key: Any, *, using: str) -> Callable[[], None]:
    # A function, and no partial: if it fails, Django logs its name, which partials have none of, and fails over that.
    return lambda: record_edited(source, path_key, using=using)


def record_edited(source: ComputedLearningPathSource, path_key: Any, *, using: str) -> None:
    """Tell of everybody who has completed a path as it is now, and of whom that was never told."""
    edits = EditedPath.objects.using(using).filter(source=source.name, key=states.key_text(path_key))
    with NeverBreaking(source), atomic(using):
        seen = list(edits.values_list("pk", flat=True))
        found = list(source.completions(path_key, using=using))
        for chunk in chunks(found, CHUNK):
            _record_path(source, path_key, _unrecorded(chunk, using=using), using=using)
        EditedPath.objects.using(using).filter(pk__in=seen).delete()


def record_left(now: datetime) -> None:
    """Look at the paths whose edits nobody has looked at by now, because a process died."""
    sources = [one for one in all_sources() if isinstance(one, ComputedLearningPathSource) and one.emit_after_edit]
    for source in sources:
        using = database_of(source)
        edits = EditedPath.objects.using(using).filter(source=source.name)
        edits.filter(edited_at__lte=now - GIVEN_UP).delete()
        left = edits.filter(edited_at__lte=now - LEFT)
        for key in dict.fromkeys(left.order_by("pk").values_list("key", flat=True)):
            try:
                path_model = apps.get_model(source.path_model)
                record_edited(source, path_model._meta.pk.to_python(json.loads(key)), using=using)
            except Exception:
                logger.exception("Who has completed path %s could not be told; the next sweep tries again.", key)


def _unrecorded(completions: Sequence[Completion], *, using: str) -> list[Completion]:
    keys = [told.once for _key, told in completions]
    known = set(Occurrence.objects.using(using).filter(key__in=keys).values_list("key", flat=True))
    return [one for one in completions if one[1].once not in known]


def _record_path(
    source: ComputedLearningPathSource, path_key: Any, completions: list[Completion], *, using: str
) -> None:
    raws = dict(read_rows(source, at_keys(source.model, [key for key, _told in completions], using=using)))
    now = timezone.now()
    changes: list[Change] = []
    told: list[PlannedEvent] = []
    for key, one in completions:
        values = source.canonical(raws[key])
        if source.has_path(path_key, values["course.id"], values["user.id"], using=using):
            changes.append(Change(before=values, after=values, changed=(), now=now, using=using))
            told.append(one)
    if changes:
        homes = [organizations_of(change.values) for change in changes]
        wanted = types_wanted_by({home for home in homes if home is not None}, [COMPLETED], using=using)
        record_planned_events(
            source, changes, [(n, told[n]) for n, home in enumerate(homes) if home in wanted], using=using
        )
