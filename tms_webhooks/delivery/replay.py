"""The work of the jobs that send the deliveries of one webhook again or now, or cancel them, in batches; and its progress.

`tms_webhooks.manage.jobs` starts them. The kinds of jobs (`JobKind`):

- ``recover`` sends deliveries that failed, and ``resend_cancelled`` those that were cancelled;
- ``replay_missed`` sends missed events: those skipped while the webhook was disabled, and those that match a subscription
  of today and got no delivery;
- ``send_now`` makes an extra attempt of each delivery that waits;
- ``cancel_pending`` cancels deliveries that wait, and ends the jobs that would make more of them wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import router, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from tms_webhooks import event_names
from tms_webhooks.choices import DeliveryStatus, JobKind, Priority
from tms_webhooks.db.sql import key_in
from tms_webhooks.models import Delivery, Event, Job, Webhook, WebhookState
from tms_webhooks.models.audience import events_for_scope, visible_to

WORK = "tms_webhooks.tasks.work_on_jobs"
"""The task that works on jobs."""

BATCH = 500
"""Events, or deliveries to cancel, per batch of a job."""

FILTER_BATCH = 500
"""Events whose bodies are read together to apply the filters of subscriptions."""

MAX_COUNTED = 10_000
"""Deliveries that `total_of` counts."""

UNDELIVERED = {
    JobKind.RECOVER: (DeliveryStatus.EXHAUSTED, DeliveryStatus.FAILED),
    JobKind.RESEND_CANCELLED: (DeliveryStatus.CANCELLED,),
}
"""The statuses that each kind of recovery sends again."""
RESENDING = (*UNDELIVERED, JobKind.REPLAY_MISSED)
"""The kinds of jobs that reopen or create deliveries of events."""
OF_WAITING = (JobKind.CANCEL_PENDING, JobKind.SEND_NOW)
"""The kinds of jobs that change deliveries that wait. The others reopen or create deliveries."""


COUNTED: Mapping[str, str] = {
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.EXHAUSTED: "failed",
    DeliveryStatus.FAILED: "failed",
    DeliveryStatus.SKIPPED: "skipped",
    DeliveryStatus.CANCELLED: "cancelled",
    DeliveryStatus.PENDING: "waiting",
    DeliveryStatus.WAITING: "waiting",
}
"""The number of `JobProgress` in which a delivery of each status is counted."""


def undelivered(webhook: Webhook) -> QuerySet[Event]:
    """Return the events that were not delivered to a webhook.

    Their deliveries wait, failed, or were skipped or cancelled; or they match a subscription of today and got no
    delivery since the webhook was created.
    """
    # The changes of a merged event are in another delivery.
    not_delivered = _deliveries_to(webhook).exclude(status__in=(DeliveryStatus.DELIVERED, DeliveryStatus.MERGED))
    missed = _missed_events(Event.objects.filter(pk=OuterRef("pk")), webhook, since=webhook.created_at)
    return Event.objects.filter(Exists(not_delivered) | Exists(missed))


def affected(kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None) -> QuerySet[Event]:
    """Return the events whose deliveries a job reopens or creates.

    ``since`` and ``until`` limit the time of the event. Without ``since``, missed events without a delivery are those
    since the webhook was created.
    """
    events = Event.objects.all()
    if since is not None:
        events = events.filter(occurred_at__gte=since)
    if until is not None:
        events = events.filter(occurred_at__lt=until)
    # A test event is sent once, to the webhook that is tested.
    events = events.exclude(body="").exclude(type=event_names.TEST)
    if kind in UNDELIVERED:
        events = events.filter(visible_to(webhook.scope.organizations(using=events.db)))
        return events.filter(deliveries__webhook=webhook, deliveries__status__in=UNDELIVERED[kind])
    return _missed_events(events, webhook, since=since or webhook.created_at)


def work_on(job: Job, *, now: datetime) -> bool:
    """Do one batch of a job; return whether more batches follow. If two workers call it at the same time, one gets False."""
    kind, webhook = JobKind(job.kind), Webhook.objects.get(pk=job.webhook_id or 0)
    refusal = refusal_of(kind, webhook)
    if refusal:
        job.finish(now=now, error=refusal)
        return False
    rows = _rows_to_change(kind, webhook, since=job.since, until=job.until).filter(pk__gt=job.position)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        job.finish(now=now)
        return False
    with transaction.atomic(using=router.db_for_write(Job)):
        # The job's row first: it stays locked until the batch is committed with its count.
        if not job.advance(position=ids[-1], done=len(ids)):
            return False
        _change(job, webhook, ids, now=now)
    return True


def _rows_to_change(
    kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None
) -> QuerySet[Delivery] | QuerySet[Event]:
    """Return the rows by whose keys a job advances: the waiting deliveries that it changes, or the events that it sends.

    A webhook's deliveries are read in the order of an index, so that a batch takes as long however many wait.
    """
    if kind not in OF_WAITING:
        return affected(kind, webhook, since=since, until=until)
    rows = Delivery.objects.filter(webhook=webhook)
    deliveries = rows.open() if kind == JobKind.CANCEL_PENDING else rows.waiting()
    if since is not None:
        deliveries = deliveries.filter(event__occurred_at__gte=since)
    return deliveries if until is None else deliveries.filter(event__occurred_at__lt=until)


def _change(job: Job, webhook: Webhook, ids: Sequence[int], *, now: datetime) -> None:
    """Cancel these deliveries or make them due, or reopen or create the deliveries of these events."""
    if job.kind in OF_WAITING:
        WebhookState.objects.lock([webhook.pk])
        deliveries = Delivery.objects.among(ids)
        if job.kind == JobKind.CANCEL_PENDING:
            deliveries.finish(DeliveryStatus.CANCELLED, now=now)
        else:
            deliveries.send_now(now=now)
        return
    # The status is checked again: a user may have resent a delivery since the batch was read.
    statuses = UNDELIVERED.get(JobKind(job.kind), (DeliveryStatus.SKIPPED,))
    rows = Delivery.objects.filter(webhook=webhook, event__in=ids, status__in=statuses)
    rows.reopen(now=now, priority=Priority.REPLAY, job=job.pk)
    if job.kind == JobKind.REPLAY_MISSED:
        _create_missing(job, webhook, ids, now=now)


def _create_missing(job: Job, webhook: Webhook, event_ids: Sequence[int], *, now: datetime) -> None:
    """Create the deliveries of those events that have none and match a subscription."""
    from tms_webhooks.routing import filtered

    new = dict(
        Event.objects.filter(~Exists(_deliveries_to(webhook)), key_in(event_ids))
        .order_by("pk")
        .values_list("pk", "subject_key")
    )
    Delivery.objects.bulk_create(
        [
            Delivery(
                event_id=pk,
                webhook=webhook,
                priority=Priority.REPLAY,
                job=job.pk,
                order_key=new[pk] if webhook.ordered else None,
                due_at=now,
                created_at=now,
            )
            for pk in filtered.matching_events(webhook, list(new))
        ],
        ignore_conflicts=True,
    )


def _missed_events(events: QuerySet[Event], webhook: Webhook, *, since: datetime) -> QuerySet[Event]:
    """Keep the events that a webhook missed.

    The filters of its subscriptions are not applied here: they need the bodies of the events.
    """
    own = _deliveries_to(webhook)
    subscribed = Q(pk__in=())
    for pk, pattern in webhook.subscriptions.values_list("pk", "event_type"):
        of_this = Q(subscription__isnull=True) | Q(subscription=pk)
        subscribed |= of_this & Q(type__in=event_names.matching(pattern))
    # A webhook gets no events about itself.
    about_itself = Q(type__startswith=event_names.OPERATIONAL, subject_id=webhook.public_id)
    new = subscribed & ~about_itself & Q(occurred_at__gte=since, fanned_out_at__isnull=False) & ~Exists(own)
    return events.filter(
        events_for_scope(webhook.scope, using=events.db), Q(Exists(own.filter(status=DeliveryStatus.SKIPPED))) | new
    )


def _deliveries_to(webhook: Webhook) -> QuerySet[Delivery]:
    """Return the delivery of the outer query's event to a webhook."""
    return Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))


def total_of(kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None) -> int:
    """Return the number of deliveries that a job would change or create, `MAX_COUNTED` + 1 for any larger one.

    No more rows are counted: `Job.advance` corrects the total of a job. Filters are applied to `MAX_COUNTED` events.
    """
    rows = _rows_to_change(kind, webhook, since=since, until=until)
    most = MAX_COUNTED + 1
    if kind != JobKind.REPLAY_MISSED or not any(one.is_filtered for one in webhook.subscriptions.all()):
        return rows[:most].count()
    from tms_webhooks.routing import filtered

    new = rows.filter(~Exists(_deliveries_to(webhook).filter(status=DeliveryStatus.SKIPPED))).order_by("pk")
    keys = list(new.values_list("pk", flat=True)[:MAX_COUNTED])
    claim = filtered.PredictedFirstOccurrences().claim
    total = rows[: len(keys) + most].count() - len(keys)
    for begin in range(0, len(keys), FILTER_BATCH):
        total += len(filtered.matching_events(webhook, keys[begin : begin + FILTER_BATCH], claim=claim))
    return min(total, most)


def refusal_of(kind: JobKind, webhook: Webhook) -> str:
    """Return why a job of this kind can't run for the webhook; an empty text if it can."""
    text = ""
    if webhook.deleted_at is not None:
        text = _("Webhook %(key)s was deleted; nothing more is sent to it.")
    elif kind not in (JobKind.CANCEL_PENDING, JobKind.SNAPSHOT) and webhook.pull_only:
        text = _("Webhook %(key)s is pull-only; nothing is sent to it. Read its feed.")
    elif kind != JobKind.CANCEL_PENDING and not webhook.enabled:
        text = _("Webhook %(key)s is disabled; enable it first.")
    return text % {"key": webhook.public_id}


class JobProgress(NamedTuple):
    """The numbers of the deliveries that a job created, or was the last to reopen.

    - ``failed``: no retry follows
    - ``skipped``: not sent, because the webhook was disabled
    - ``cancelled``: not sent, because a user cancelled them, or deleted the webhook or the data of the event
    - ``waiting``: not attempted yet, in flight, or waiting for a retry
    """

    delivered: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    waiting: int = 0


def progress_by_job(jobs: Iterable[Job]) -> dict[int, JobProgress]:
    """Return the numbers of the deliveries of these jobs, by key, in one query, by the index ``tms_delivery_of_job``.

    Jobs that cancel deliveries, or make waiting ones due, have none.
    """
    counts = {job.pk: Counter[str]() for job in jobs if job.webhook_id and JobKind(job.kind) not in OF_WAITING}
    rows = Delivery.objects.filter(job__in=counts, status__in=COUNTED).order_by().values_list("job", "status")
    for key, status, number in rows.annotate(Count("pk")):
        counts[key][COUNTED[status]] += number
    return {key: JobProgress(**numbers) for key, numbers in counts.items()}
