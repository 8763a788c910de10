"""What attempts say about a webhook as a whole: pause it, disable it, or find that it works again."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.choices import DeliveryStatus, DisabledReason, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import moment, numbers, read, write
from tms_webhooks.delivery import lifecycle
from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.models import Delivery, Webhook

FIELDS = ("failures", "failing_since", "succeeded_at", "paused_until", "pauses", "warned_percent", "notified_at")

# Failures of our own making, such as a blocked address, are not counted and yet notified of.
LOOKED_AT = "SELECT id, failures = 0, notified_at IS NULL FROM {webhook} WHERE id IN ({ids})"

SUCCEEDED = "UPDATE {webhook} SET succeeded_at = %s WHERE id IN ({ids})"

logger = logging.getLogger(__name__)


def judge(results: Sequence[SendResult], *, now: datetime) -> Mapping[int, datetime]:
    """Learn from results, in the order in which they came back; return until when webhooks get no requests.

    Call it in the transaction that writes the results down, after `hold`. What is resent by hand, and what never left because of a
    fault of our own, says nothing of a receiver.
    """
    by_webhook: dict[int, list[SendResult]] = defaultdict(list)
    for result in results:
        if result.outcome.counts_for_health and not result.request.is_manual:
            by_webhook[result.request.webhook_id].append(result)
    if not by_webhook:
        return {}
    found = read(LOOKED_AT, ids=numbers(by_webhook))
    well = [pk for pk, *was_well in found if all(was_well) and not any(map(may_stop_webhook, by_webhook[pk]))]
    write(SUCCEEDED, [moment(now)], ids=numbers(well))
    unwell = Webhook.objects.filter(pk__in=by_webhook.keys() - well) if len(well) < len(found) else ()
    return {webhook.pk: until for webhook in unwell if (until := _judge_one(webhook, by_webhook[webhook.pk], now))}


def disable_blocked(webhooks: Iterable[int], *, now: datetime) -> set[int]:
    """Disable those of these webhooks whose last deliveries, as many as pause one, were all refused a blocked address.

    Each further event would be lost on it, and ask for the address again; now they are kept for a replay. Once alone
    is no reason: a name server may be wrong for a moment. Returns the webhooks that were disabled.
    """
    disabled = set()
    for webhook in Webhook.objects.enabled().filter(pk__in=set(webhooks)):
        finished = Delivery.objects.filter(webhook=webhook, due_at__isnull=True).exclude(status=DeliveryStatus.SKIPPED)
        errors = list(finished.order_by("-pk").values_list("error_class", flat=True)[: app_settings.PAUSE_AFTER])
        if len(errors) == app_settings.PAUSE_AFTER and set(errors) == {ErrorClass.BLOCKED_ADDRESS.value}:
            lifecycle.disable(webhook, reason=DisabledReason.BLOCKED_TARGET, now=now)
            disabled.add(webhook.pk)
    return disabled


def percent_to_disabling(webhook: Webhook, now: datetime) -> int:
    """Return how far a webhook is on the way to being disabled, 0 to 100; both conditions have to be met."""
    if webhook.failing_since is None:
        return 0
    days = (now - webhook.failing_since) / timedelta(days=1)
    by_time = days / app_settings.DISABLE_AFTER_DAYS if app_settings.DISABLE_AFTER_DAYS else 1.0
    by_count = webhook.failures / app_settings.DISABLE_AFTER_FAILURES
    return int(100 * min(by_time, by_count, 1.0))


def warn_all(now: datetime) -> None:
    """Tell of the webhooks that time alone has brought nearer to being disabled.

    A paused one is asked so seldom, once a day in the end, that its next failure would come too late to warn.
    """
    for webhook in Webhook.objects.enabled().filter(failing_since__isnull=False):
        with transaction.atomic(using=router.db_for_write(Webhook)):
            _warn(webhook, now)


def _judge_one(webhook: Webhook, results: Sequence[SendResult], now: datetime) -> datetime | None:
    for result in results:
        if result.outcome.success:
            _note_success(webhook, now)
        else:
            _note_failure(webhook, now, started_at=result.started_at)
    webhook.save(update_fields=FIELDS)
    if not webhook.enabled or webhook.deleted_at is not None:
        return now
    requested = next((result.outcome.disable for result in results if result.outcome.disable), None)
    if requested is not None:
        lifecycle.disable(webhook, reason=DisabledReason(requested), now=now)
    elif percent_to_disabling(webhook, now) >= 100:
        lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=now)
    else:
        _warn(webhook, now)
        return webhook.paused_until
    return now


def _note_success(webhook: Webhook, now: datetime) -> None:
    was_paused = webhook.pauses > 0
    webhook.failures, webhook.failing_since, webhook.succeeded_at = 0, None, now
    webhook.paused_until, webhook.pauses, webhook.warned_percent, webhook.notified_at = None, 0, 0, None
    if was_paused:
        lifecycle.report_recovered(webhook, now=now)


def _note_failure(webhook: Webhook, now: datetime, *, started_at: datetime) -> None:
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or now
    # What was in flight when the pause began belongs to the same trouble and makes it no longer, however late it fails.
    belongs_to_pause = webhook.paused_until is not None and started_at < webhook.paused_until
    if webhook.failures >= app_settings.PAUSE_AFTER and not belongs_to_pause:
        seconds = min(app_settings.PAUSE_FIRST * 2.0 ** min(webhook.pauses, 30), app_settings.PAUSE_LONGEST)
        webhook.paused_until = now + timedelta(seconds=seconds)
        webhook.pauses += 1
        logger.warning("paused webhook=%s failures=%s seconds=%s", webhook.pk, webhook.failures, round(seconds))


def _warn(webhook: Webhook, now: datetime) -> None:
    percent = percent_to_disabling(webhook, now)
    reached = max((share for share in app_settings.WARN_AT_PERCENT if share <= percent), default=0)
    # Asked of the database, in case another worker has told or found it well.
    untold = Webhook.objects.filter(pk=webhook.pk, failing_since=webhook.failing_since, warned_percent__lt=reached)
    if reached > webhook.warned_percent and untold.update(warned_percent=reached):
        webhook.warned_percent = reached
        logger.warning("failing webhook=%s percent=%s failures=%s", webhook.pk, reached, webhook.failures)
        signals.webhook_failing.emit(Webhook, webhook=webhook, percent=reached, now=now)
