"""Sending again, and calling off: one delivery at once, or many as a job with progress."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from tms_webhooks.choices import DeliveryStatus, JobKind, Lane
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Delivery, DeliveryAttempt, Job, Webhook

BATCH = 500


def resend(delivery: Delivery, *, now: datetime) -> None:
    """Send a delivery once more, now, to today's URL with today's secret and the same event id.

    It is one attempt that says nothing of the webhook's health, also to a webhook that is disabled. Raises `ReplayError`
    for a delivery that is still on its way, and for one whose payload was pruned.
    """
    if delivery.due_at is not None:
        raise ReplayError(
            f"Delivery {delivery.pk} is {delivery.status}; wait until it is finished, or cancel it first."
        )
    if not delivery.event.body:
        raise ReplayError(
            f"Delivery {delivery.pk}: its payload is no longer kept (KEEP_PAYLOADS_DAYS is "
            f"{app_settings.KEEP_PAYLOADS_DAYS}); it can't be sent again."
        )
    if delivery.webhook.deleted_at is not None:
        raise ReplayError(f"Delivery {delivery.pk}: its webhook was deleted; there is nobody to send it to.")
    if not Delivery.objects.filter(pk=delivery.pk).reopen(now=now, lane=Lane.BY_HAND):
        raise ReplayError(f"Delivery {delivery.pk} was taken up by somebody else in the meantime.")


def affected(kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None) -> QuerySet[Delivery]:
    """Return the deliveries that a job would change: what a dry run counts."""
    rows = Delivery.objects.filter(webhook=webhook)
    if kind == JobKind.CANCEL_PENDING:
        return rows.filter(status__in=(DeliveryStatus.PENDING, DeliveryStatus.WAITING))
    rows = rows.exclude(event__body="")
    if since is not None:
        rows = rows.filter(event__occurred_at__gte=since)
    if until is not None:
        rows = rows.filter(event__occurred_at__lt=until)
    if kind == JobKind.RECOVER:
        return rows.filter(status__in=(DeliveryStatus.EXHAUSTED, DeliveryStatus.FAILED))
    tried = Exists(DeliveryAttempt.objects.filter(delivery=OuterRef("pk")))
    return rows.filter(Q(status=DeliveryStatus.SKIPPED), ~tried)


def start(
    kind: JobKind,
    webhook: Webhook,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    requested_by: str = "",
) -> Job:
    """Begin a job; a worker does it in batches (`work_on`).

    Raises `ReplayError` for a recovery without a time range, for a range that is empty or longer than RECOVER_DAYS, for
    sending to a disabled webhook, and where the same is under way already.
    """
    if kind != JobKind.CANCEL_PENDING:
        _check_range(kind, since, until or now)
        if not webhook.enabled or webhook.deleted_at is not None:
            raise ReplayError(f"Webhook {webhook.pk} is disabled; enable it first, or resend single deliveries.")
    with transaction.atomic(using=router.db_for_write(Job)):
        Webhook.objects.select_for_update().get(pk=webhook.pk)
        if Job.objects.unfinished().filter(webhook=webhook, kind=kind).exists():
            raise ReplayError(
                f"A job of the kind {kind.value} is under way for webhook {webhook.pk}; wait for it to end."
            )
        return Job.objects.create(
            kind=kind,
            webhook=webhook,
            since=since,
            until=until or now,
            total=affected(kind, webhook, since=since, until=until or now).count(),
            requested_by=requested_by,
            created_at=now,
        )


def work_on(job: Job, *, now: datetime) -> bool:
    """Do one batch of a job; return whether more is left. Safe to be called by two workers at once."""
    kind = JobKind(job.kind)
    rows = affected(kind, job.webhook, since=job.since, until=job.until).filter(pk__gt=job.position)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        job.finish(now=now)
        return False
    with transaction.atomic(using=router.db_for_write(Job)):
        # The job's row first: it stays locked until the batch is committed with its count.
        if not job.advance(position=ids[-1], done=len(ids)):
            return False
        chosen = Delivery.objects.among(ids)
        if kind == JobKind.CANCEL_PENDING:
            chosen.cancel(now=now)
        else:
            chosen.reopen(now=now, lane=Lane.REPLAY)
    return True


def _check_range(kind: JobKind, since: datetime | None, until: datetime) -> None:
    longest = timedelta(days=app_settings.RECOVER_DAYS)
    if since is None:
        if kind == JobKind.RECOVER:
            raise ReplayError(f"since is missing; a recovery takes a time range of at most {longest.days} days.")
        return
    if since >= until:
        raise ReplayError(
            f"since is {since:%Y-%m-%d %H:%M}, not before until, {until:%Y-%m-%d %H:%M}; turn them round."
        )
    if until - since > longest:
        raise ReplayError(
            f"since is {(until - since).days} days before until; the longest range is {longest.days} days."
        )
