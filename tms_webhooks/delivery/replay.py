"""Sending again, and calling off: one delivery at once, or many as a job with progress."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from tms_webhooks import event_names
from tms_webhooks.choices import DeliveryStatus, JobKind, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.db.lookups import key_in
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Delivery, Event, Job, Webhook
from tms_webhooks.models.audience import events_for_scope
from tms_webhooks.queues import get_queue
from tms_webhooks.routing import filtered

WORK = "tms_webhooks.tasks.work_on_jobs"
BATCH = 500
PENDING = (DeliveryStatus.PENDING, DeliveryStatus.WAITING)
UNDELIVERED = (DeliveryStatus.EXHAUSTED, DeliveryStatus.FAILED)


def resend(delivery: Delivery, *, now: datetime) -> None:
    """Send a delivery once more, now, to today's URL with today's secret and the same event id.

    It is one attempt that says nothing of the webhook's health, also to a webhook that is disabled. Raises `ReplayError`
    for a delivery that is still on its way, and for one whose payload was pruned.
    """
    refuse_resend(delivery)
    # Who writes that down refers to the webhook, and a drain that disables it wants the delivery.
    Webhook.objects.lock([delivery.webhook_id])
    if not Delivery.objects.filter(pk=delivery.pk).reopen(now=now, priority=Priority.MANUAL):
        raise ReplayError(_("Delivery %(key)s was taken up by somebody else in the meantime.") % {"key": delivery.pk})


def refuse_resend(delivery: Delivery) -> None:
    """Raise `ReplayError` where a delivery can't be sent once more: what a dry run asks."""
    if delivery.due_at is not None:
        raise ReplayError(
            _("Delivery %(key)s is %(status)s; wait until it is finished, or cancel it first.")
            % {"key": delivery.pk, "status": delivery.get_status_display().lower()}
        )
    if not delivery.event.body:
        raise ReplayError(
            _(
                "Delivery %(key)s: its payload is no longer kept (KEEP_PAYLOADS_DAYS is %(days)s); it can't be sent again."
            )
            % {"key": delivery.pk, "days": app_settings.KEEP_PAYLOADS_DAYS}
        )
    if delivery.webhook.deleted_at is not None:
        raise ReplayError(
            _("Delivery %(key)s: its webhook was deleted; there is nobody to send it to.") % {"key": delivery.pk}
        )


def affected(kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None) -> QuerySet[Event]:
    """Return the events whose delivery a job would change, or make.

    ``since`` and ``until`` are about the time of the event. What was missed is what was skipped while the webhook was
    disabled, and what the webhook asks for today and got no delivery of: by default since it was made.
    """
    events = Event.objects.all()
    if since is not None:
        events = events.filter(occurred_at__gte=since)
    if until is not None:
        events = events.filter(occurred_at__lt=until)
    if kind == JobKind.CANCEL_PENDING:
        return events.filter(deliveries__webhook=webhook, deliveries__status__in=PENDING)
    # A test was for its own moment, and for one webhook.
    events = events.exclude(body="").exclude(type=event_names.TEST)
    if kind == JobKind.RECOVER:
        return events.filter(deliveries__webhook=webhook, deliveries__status__in=UNDELIVERED)
    return missed_events(events, webhook, since=since or webhook.created_at)


def count(
    kind: JobKind, webhook: Webhook, *, now: datetime, since: datetime | None = None, until: datetime | None = None
) -> int:
    """Return how many deliveries a job would be about; raise `ReplayError` where `start` would."""
    since, until = _range(kind, since, until, now=now)
    refusal = _refusal(kind, webhook) or _busy(kind, webhook)
    if refusal:
        raise ReplayError(refusal)
    return _total(kind, webhook, since=since, until=until)


def undelivered(webhook: Webhook) -> QuerySet[Event]:
    """Return the events that a webhook should have got and has not.

    That is what waits, failed, was skipped or cancelled, and what it asks for today and got no delivery of since it was made.
    """
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    asked = missed_events(Event.objects.filter(pk=OuterRef("pk")), webhook, since=webhook.created_at)
    return Event.objects.filter(Exists(own.exclude(status=DeliveryStatus.DELIVERED)) | Exists(asked))


def start(
    kind: JobKind,
    webhook: Webhook,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    requested_by: str = "",
) -> Job:
    """Begin a job; workers do it in batches (`work_on`).

    Raises `ReplayError` for a recovery without a time range, for a range that is empty or, for a recovery, longer than
    RECOVER_DAYS, for sending to a webhook that is disabled, for one that was deleted, and where the same is under way.
    """
    since, until = _range(kind, since, until, now=now)
    total = _total(kind, webhook, since=since, until=until)
    using = router.db_for_write(Job)
    with transaction.atomic(using=using):
        locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
        refusal = _refusal(kind, locked) or _busy(kind, locked)
        if refusal:
            raise ReplayError(refusal)
        job = Job.objects.create(
            kind=kind,
            webhook=webhook,
            since=since,
            until=until,
            total=total,
            requested_by=requested_by,
            created_at=now,
        )
        transaction.on_commit(lambda: get_queue().enqueue(WORK), using=using, robust=True)
    return job


def work_on(job: Job, *, now: datetime) -> bool:
    """Do one batch of a job; return whether to go on. Safe to be called by two workers at once: one of them goes on."""
    kind, webhook = JobKind(job.kind), Webhook.objects.get(pk=job.webhook_id)
    refusal = _refusal(kind, webhook)
    if refusal:
        job.finish(now=now, error=refusal)
        return False
    events = affected(kind, webhook, since=job.since, until=job.until).filter(pk__gt=job.position)
    ids = list(events.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        job.finish(now=now)
        return False
    with transaction.atomic(using=router.db_for_write(Job)):
        # The job's row first: it stays locked until the batch is committed with its count.
        if not job.advance(position=ids[-1], done=len(ids)):
            return False
        _change(kind, webhook, ids, now=now)
    return True


def _total(kind: JobKind, webhook: Webhook, *, since: datetime | None, until: datetime | None) -> int:
    events = affected(kind, webhook, since=since, until=until)
    return count_missed(events, webhook) if kind == JobKind.REPLAY_MISSED else events.count()


def _change(kind: JobKind, webhook: Webhook, event_ids: Sequence[int], *, now: datetime) -> None:
    rows = Delivery.objects.filter(webhook=webhook, event__in=event_ids)
    if kind == JobKind.CANCEL_PENDING:
        rows.cancel(now=now)
    elif kind == JobKind.RECOVER:
        # Asked again: a person may have sent one of them by hand since.
        rows.filter(status__in=UNDELIVERED).reopen(now=now, priority=Priority.REPLAY)
    else:
        make_missed_due(webhook, event_ids, now=now)


def _refusal(kind: JobKind, webhook: Webhook) -> str:
    """Return why there can be no such job for the webhook as it is now; nothing where there can."""
    if webhook.deleted_at is not None:
        return _("Webhook %(key)s was deleted; nothing more is sent to it.") % {"key": webhook.pk}
    if kind != JobKind.CANCEL_PENDING and not webhook.enabled:
        return _("Webhook %(key)s is disabled; enable it first, or resend single deliveries.") % {"key": webhook.pk}
    return ""


def _busy(kind: JobKind, webhook: Webhook) -> str:
    """Return why there can be no second job of this kind for the webhook; nothing where there is none."""
    if Job.objects.unfinished().filter(webhook=webhook, kind=kind).exists():
        return _("A job of the kind %(kind)s is under way for webhook %(key)s; wait for it to end.") % {
            "kind": kind.value,
            "key": webhook.pk,
        }
    return ""


def _range(
    kind: JobKind, since: datetime | None, until: datetime | None, *, now: datetime
) -> tuple[datetime | None, datetime]:
    """Return the range, which ends now at the latest; raise `ReplayError` where there can't be such a one."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and timezone.is_naive(moment):
            raise ReplayError(
                _("%(name)s has no time zone; give one, as in 2026-11-24T15:00:00Z.") % {"name": name}, field=name
            )
    until = min(until or now, now)
    longest = timedelta(days=app_settings.RECOVER_DAYS)
    if since is None:
        if kind == JobKind.RECOVER:
            raise ReplayError(
                _("since is missing; a recovery takes a time range of at most %(days)d days.") % {"days": longest.days},
                field="since",
            )
        return None, until
    if since >= until:
        raise ReplayError(
            _("since is %(since)s, not before until, %(until)s; give an earlier one.")
            % {"since": f"{since:%Y-%m-%d %H:%M}", "until": f"{until:%Y-%m-%d %H:%M}"},
            field="since",
        )
    if kind == JobKind.RECOVER and until - since > longest:
        raise ReplayError(
            _("since is %(days)s days before until; the longest range is %(longest)d days.")
            % {"days": formats.number_format((until - since) / timedelta(days=1), 1), "longest": longest.days},
            field="since",
        )
    return since, until


CHUNK = 500
BODY_BATCH = 10_000
"""Most events that are looked into to count what filters let pass; what is beyond them is counted as if it did."""


def missed_events(events: QuerySet[Event], webhook: Webhook, *, since: datetime) -> QuerySet[Event]:
    """Keep the events that a webhook missed.

    Of subscriptions with filters these are all that they might want: `wanted_of` tells which they do.
    """
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    asked = Q(pk__in=())
    for pk, pattern in webhook.subscriptions.values_list("pk", "event_type"):
        of_this = Q(subscription__isnull=True) | Q(subscription=pk)
        asked |= of_this & Q(type__in=event_names.matching(pattern))
    # Nobody is told of what concerns themselves.
    about_itself = Q(type__startswith=event_names.OPERATIONAL, subject_id=str(webhook.pk))
    new = asked & ~about_itself & Q(occurred_at__gte=since, fanned_out_at__isnull=False) & ~Exists(own)
    return events.filter(events_for_scope(webhook.scope, using=events.db), Q(_was_skipped(own)) | new)


def count_missed(events: QuerySet[Event], webhook: Webhook) -> int:
    """Return how many of these events, which `missed` has found, a replay sends."""
    if not any(subscription.is_filtered for subscription in webhook.subscriptions.all()):
        return events.count()
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    new = events.filter(~_was_skipped(own)).order_by("pk").values_list("pk", flat=True)
    known = list(new[:BODY_BATCH])
    kept = sum(len(some) for some in _matching_in_chunks(webhook, known))
    return events.count() - len(known) + kept


def make_missed_due(webhook: Webhook, event_ids: Sequence[int], *, now: datetime) -> None:
    """Make due again what was skipped of these events, and make the deliveries of those that are wanted and had none."""
    rows = Delivery.objects.filter(webhook=webhook, event__in=event_ids)
    rows.filter(status=DeliveryStatus.SKIPPED).reopen(now=now, priority=Priority.REPLAY)
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    new = dict(Event.objects.filter(~Exists(own), key_in(event_ids)).order_by("pk").values_list("pk", "subject_key"))
    Delivery.objects.bulk_create(
        [
            Delivery(
                event_id=pk,
                webhook=webhook,
                priority=Priority.REPLAY,
                order_key=new[pk] if webhook.ordered else None,
                due_at=now,
                created_at=now,
            )
            for pk in filtered.matching_events(webhook, list(new))
        ],
        ignore_conflicts=True,
    )


def _was_skipped(own: QuerySet[Delivery]) -> Exists:
    return Exists(own.filter(status=DeliveryStatus.SKIPPED))


def _matching_in_chunks(webhook: Webhook, event_ids: Sequence[int]) -> Iterator[Collection[int]]:
    """Yield which of these events are wanted, some at a time, and change nothing."""
    firsts = filtered.PredictedFirstOccurrences()
    for start in range(0, len(event_ids), CHUNK):
        yield filtered.matching_events(webhook, event_ids[start : start + CHUNK], firsts=firsts)
