"""From events to deliveries, many at once."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connections, router, transaction
from django.db.models.constants import OnConflict

from tms_webhooks import catalogue, event_names
from tms_webhooks.choices import DeliveryStatus, Lane
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Delivery, Event, Subscription, Webhook
from tms_webhooks.payloads.envelope import from_text

BATCH = 200
LONGEST_KEY = 18

logger = logging.getLogger(__name__)


class Group(NamedTuple):
    """Events that are fanned out alike: of one type, and none of them to the webhook that they speak of."""

    event_type: str
    spoken_of: int


# One row for each webhook that wants an event. Events of a disabled webhook are kept as skipped, for a later replay.
FAN_OUT = """
{insert} {delivery} (
    event_id, webhook_id, status, due_at, lane, order_key, lease, attempts, charged, error_class,
    created_at, finished_at
)
SELECT e.id, w.id,
       CASE WHEN w.enabled THEN %s ELSE %s END,
       CASE WHEN w.enabled THEN %s ELSE NULL END,
       {live}, CASE WHEN w.ordered THEN e.subject_key ELSE NULL END, '', 0, 0, '', %s,
       CASE WHEN w.enabled THEN NULL ELSE %s END
FROM {event} e
JOIN {webhook} w ON w.organization_id = e.organization_id
WHERE e.id IN ({ids}) AND w.deleted_at IS NULL AND w.delay_seconds = %s AND w.id <> %s
  AND EXISTS (
    SELECT 1 FROM {subscription} s
    WHERE s.webhook_id = w.id AND s.event_type IN ({patterns}) AND (e.subscription_id IS NULL OR e.subscription_id = s.id)
  )
{suffix}
"""


def fan_out(now: datetime, *, limit: int = BATCH) -> int:
    """Make the deliveries of up to ``limit`` new events; return how many events that were.

    Events and deliveries change in one transaction, and a second worker at the same time takes other events, so none
    gets its deliveries twice.
    """
    if not Event.objects.to_fan_out().exists():
        return 0
    with transaction.atomic(using=router.db_for_write(Event)):
        rows = Event.objects.to_fan_out().select_for_update(skip_locked=True, of=_own_lock())
        groups: dict[Group, list[int]] = defaultdict(list)
        for pk, event_type, subject_id in rows.values_list("pk", "type", "subject_id")[:limit]:
            groups[Group(event_type, spoken_of=_spoken_of(event_type, subject_id))].append(pk)
        for delay in _delays():
            for group, ids in groups.items():
                _insert(group, ids, delay=delay, now=now)
        ids = [pk for members in groups.values() for pk in members]
        Event.objects.among(ids).mark_fanned_out(now=now)
    _watch_schemas(groups)
    return len(ids)


def _spoken_of(event_type: str, subject_id: str) -> int:
    # A host may tell of webhooks of its own, which may have other keys than ours.
    is_key = subject_id.isdecimal() and len(subject_id) <= LONGEST_KEY
    return int(subject_id) if is_key and event_names.is_operational(event_type) else 0


def _own_lock() -> tuple[str, ...]:
    return ("self",) if connections[router.db_for_write(Event)].features.has_select_for_update_of else ()


def _delays() -> Iterable[int]:
    delayed = Webhook.objects.existing().filter(delay_seconds__gt=0).order_by()
    return [0, *delayed.values_list("delay_seconds", flat=True).distinct()]


def _insert(group: Group, ids: list[int], *, delay: int, now: datetime) -> None:
    connection = connections[router.db_for_write(Delivery)]
    ops, patterns = connection.ops, event_names.patterns_for(group.event_type)
    tables = {
        model.__name__.lower(): ops.quote_name(model._meta.db_table)
        for model in (Delivery, Event, Webhook, Subscription)
    }
    sql = FAN_OUT.format(
        insert=ops.insert_statement(on_conflict=OnConflict.IGNORE),
        suffix=ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], []),
        live=Lane.LIVE.value,
        ids=", ".join(["%s"] * len(ids)),
        patterns=", ".join(["%s"] * len(patterns)),
        **tables,
    )
    moment, due_at = (ops.adapt_datetimefield_value(value) for value in (now, now + timedelta(seconds=delay)))
    statuses = [DeliveryStatus.PENDING.value, DeliveryStatus.SKIPPED.value]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*statuses, due_at, moment, moment, *ids, delay, group.spoken_of, *patterns])


def _watch_schemas(groups: dict[Group, list[int]]) -> None:
    """Log where payloads break their schema: one event of each type in a batch is proof enough, and all are sent."""
    for (event_type, _spoken_of), ids in groups.items():
        body = Event.objects.filter(pk=ids[0]).values_list("body", flat=True).first()
        try:
            catalogue.get(event_type).validate(from_text(body or "{}"))
        except (WebhooksError, ValueError) as error:
            logger.error("Event %s is sent although it is not as promised: %s", ids[0], error)
