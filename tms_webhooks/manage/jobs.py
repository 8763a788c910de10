"""Start a job for the deliveries of one webhook, or count what it would do. Workers do it in batches.

`tms_webhooks.delivery.replay` and `tms_webhooks.snapshot` have the work. A job of the kind ``cancel_pending`` cancels
deliveries, and ends the jobs that would make more of them wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Q
from django.utils import formats
from django.utils.translation import gettext as _

from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.replay import RESENDING, UNDELIVERED, WORK, refusal_of, total_of
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import AuditEntry, Job, Webhook, limits
from tms_webhooks.models.webhook import NO_HOLD
from tms_webhooks.outbox import feed
from tms_webhooks.queues import enqueue
from tms_webhooks.snapshot import EVERYTHING, Selection, checked, count_objects


def count(kind: JobKind, webhook: Webhook, *, now: datetime, **selection: Any) -> int:
    """Return the number of deliveries that a job would change or create, or of objects that a snapshot would send.

    The selection is that of `start`: ``since`` and ``until``, or ``nouns`` and ``only``. Raise `ReplayError` where `start` does.
    """
    return _prepared(kind, webhook, now=now, **selection)[1]


def start(
    kind: JobKind,
    webhook: Webhook,
    *,
    now: datetime,
    actor: Actor = SYSTEM,
    since: datetime | None = None,
    until: datetime | None = None,
    nouns: Iterable[str] = (),
    only: Selection = EVERYTHING,
    requested_by: str = "",
) -> Job:
    """Create a job. ``requested_by`` is its requester in lists; without it, that is the actor.

    One of the kind ``send_now`` ends a pause and a hold. One of the kind ``cancel_pending`` ends the unfinished recoveries
    and replays of the webhook, as failed, if their ranges overlap with its own. One of the kind ``snapshot`` sends the
    current state of every object of ``nouns``, or of those that ``only`` selects.

    Raise `ReplayError` in these cases:

    - a recovery has no ``since``, or a range longer than RECOVER_DAYS;
    - the range is empty;
    - a noun is unknown, has no source, or the webhook does not subscribe to its events;
    - ``only`` has ids, and there is more than one noun;
    - the webhook is deleted, or is disabled and the job would send to it;
    - a job of this kind is unfinished for this webhook.

    Raise `LimitReached` if the organization has JOBS_LIMIT unfinished jobs.
    """
    # As it is now: the caller may have read it before a user enabled it.
    webhook = Webhook.objects.get(pk=webhook.pk)
    selection, total = _prepared(kind, webhook, since=since, until=until, nouns=nouns, only=only, now=now)
    using = router.db_for_write(Job)
    with transaction.atomic(using=using):
        if kind == JobKind.CANCEL_PENDING:
            # Jobs that resend deliveries of the range would continue after those that wait are cancelled. They end before
            # the lock of the webhook: `work_on` locks a job first, too.
            resends = Job.objects.unfinished().filter(webhook=webhook, kind__in=RESENDING)
            resends = resends.filter(Q(since__isnull=True) | Q(since__lt=selection["until"]))
            for resend in resends if since is None else resends.filter(until__gt=since):
                resend.finish(now=now, error=_("“Cancel queued deliveries” ended this job."))
        Webhook.objects.lock([webhook.pk], with_state=kind == JobKind.SEND_NOW)
        locked = Webhook.objects.using(using).select_related("state").get(pk=webhook.pk)
        _refuse(kind, locked)
        # Locked until the transaction ends, so that another request does not start one, too.
        limits.lock_organization(locked.organization_id, using=using)
        unfinished = Job.objects.using(using).unfinished().filter(webhook__organization=locked.organization_id)
        limits.refuse("JOBS_LIMIT", unfinished.count())
        if kind == JobKind.SEND_NOW:
            # Queued deliveries go out; if the receiver still fails, the next pause is no longer. Not below 1: without a
            # pause there would be no recovery to report.
            pauses = min(locked.state.pauses, max(locked.state.pauses - 1, 1))
            locked.state.write(pauses=pauses, paused_until=None, **NO_HOLD)
        job = Job.objects.create(
            kind=kind,
            webhook=webhook,
            **selection,
            # Before the first object is read: a change that the snapshot does not have comes after it.
            cursor=feed.current_cursor(webhook.organization_id) if kind == JobKind.SNAPSHOT else "",
            total=total,
            requested_by=(requested_by or actor.label or f"{actor.kind} {actor.id or ''}".strip())[:100],
            created_at=now,
        )
        asked = {"nouns": job.nouns, **job.selection} if kind == JobKind.SNAPSHOT else {"since": since, "until": until}
        changes = {"kind": job.kind, **asked, "total": total}
        AuditEntry.objects.record(AuditAction.JOB_STARTED, job, actor=actor, now=now, changes=changes)
        transaction.on_commit(lambda: enqueue(WORK), using=using, robust=True)
    return job


def _prepared(
    kind: JobKind,
    webhook: Webhook,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    nouns: Iterable[str] = (),
    only: Selection = EVERYTHING,
) -> tuple[Mapping[str, Any], int]:
    """Return the fields of a job that select its deliveries or objects, and their number; raise `ReplayError` as `start`."""
    if kind == JobKind.SNAPSHOT:
        chosen = checked(webhook, nouns)
        _refuse(kind, webhook)
        if only.ids and len(chosen) > 1:
            message = _("ids belong to one noun; name one, or leave ids out.")
            raise ReplayError(message, field="ids", code="several_nouns")
        return {"nouns": chosen, "selection": only.stored}, count_objects(webhook, chosen, only)
    # The range ends now at the latest.
    until = min(until or now, now)
    longest = timedelta(days=app_settings.RECOVER_DAYS)
    values: Mapping[str, Any] = {"days": longest.days, "longest": longest.days}
    text = ""
    if since is None:
        if kind in UNDELIVERED:
            text = _("since is missing; a recovery takes a time range of at most %(days)d days.")
    elif since >= until:
        values = {"since": f"{since:%Y-%m-%d %H:%M}", "until": f"{until:%Y-%m-%d %H:%M}"}
        text = _("since is %(since)s, not before until, %(until)s; give an earlier one.")
    elif kind in UNDELIVERED and until - since > longest:
        values = {**values, "days": formats.number_format((until - since) / timedelta(days=1), 1)}
        text = _("since is %(days)s days before the end of the range; the longest range is %(longest)d days.")
    if text:
        raise ReplayError(text % values, field="since")
    _refuse(kind, webhook)
    return {"since": since, "until": until}, total_of(kind, webhook, since=since, until=until)


def _refuse(kind: JobKind, webhook: Webhook) -> None:
    """Raise `ReplayError` if a job of this kind can't be started for the webhook as it is."""
    refusal = refusal_of(kind, webhook)
    if refusal:
        raise ReplayError(refusal)
    job = Job.objects.unfinished().filter(webhook=webhook, kind=kind).first()
    if job is not None:
        message = _("%(job)s, a job of the same kind, is still running for this webhook. Wait for it to end.")
        raise ReplayError(message % {"job": job.public_id}, job=job.public_id)
