"""The health of a webhook: attempts make it failing, paused, held, disabled or healthy again."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.batches import Stop, never
from tms_webhooks.choices import DeliveryStatus, DisabledReason, ErrorClass, HoldReason
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import lifecycle, retry
from tms_webhooks.delivery.outgoing import SendResult
from tms_webhooks.models import Delivery, DrainSlot, Webhook, WebhookState, encryption
from tms_webhooks.models.webhook import NO_FAILURES
from tms_webhooks.monitoring.words import keys_missing, percent_to_disabling

HEALTH_FIELDS = (*NO_FAILURES, "succeeded_at", "failed_at", "failed_with")
"""The fields of a webhook's state that its attempts change."""
NOT_ATTEMPTED = (DeliveryStatus.SKIPPED, DeliveryStatus.MERGED)
"""Finished deliveries that say nothing about the receiver."""

WARN_AT_PERCENT = (50, 70, 90)
"""Percentages of the way to being disabled at which ``webhook.failing`` is emitted."""

logger = logging.getLogger(__name__)


def deferred(result: SendResult, state: WebhookState, now: datetime) -> SendResult:
    """Return a result; a 429 without ``Retry-After`` soon after a success of its webhook defers for a second.

    Many platforms that limit the rate of requests send none. If each used up a retry, events would be lost. Call it for the
    results in their order. A success is noted in the state: it may be the first, and be recorded together with the 429.
    """
    outcome = result.outcome
    if outcome.success and not result.request.is_manual:
        state.succeeded_at = now
    may_defer = result.status == 429 and outcome.counts_for_health and not outcome.permanent
    if may_defer and state.succeeded_at and (now - state.succeeded_at).total_seconds() < retry.RATE_LIMITED:
        outcome = outcome._replace(retry_after=retry.SHORTEST_DEFERRAL, counts_for_health=False)
        return result._replace(outcome=outcome)
    return result


def apply_results(results: Iterable[SendResult], webhooks: Mapping[int, Webhook], *, now: datetime) -> None:
    """Update the health of the webhooks of these results, which are in the order in which they came back.

    Call it in the transaction that records the results. ``webhooks`` are theirs by key, locked with their states; the results are `deferred`. A delivery that a user resends, and an attempt that failed before
    the request left, do not count for health. A webhook is held if its receiver deferred, or no key decrypts its secrets.
    """
    by_webhook: dict[int, list[SendResult]] = defaultdict(list)
    for result in results:
        if (result.outcome.counts_for_health or result.outcome.hold_reason) and not result.request.is_manual:
            by_webhook[result.request.webhook_id].append(result)
    # Healthy webhooks that had successes only: nothing but the time changes.
    plain = []
    for pk, of_webhook in by_webhook.items():
        if webhooks[pk].state.failures or any(one.outcome.may_stop_webhook for one in of_webhook):
            _apply_to(webhooks[pk], of_webhook, now)
        else:
            plain.append(pk)
    WebhookState.objects.filter(pk__in=plain).update(succeeded_at=now)


def forgive(since: datetime) -> None:
    """Make the webhooks healthy whose failures all happened since the worker reaches no receiver."""
    WebhookState.objects.filter(failing_since__gte=since).update(**NO_FAILURES)


def disable_blocked(webhooks: Iterable[int], *, now: datetime) -> None:
    """Disable the webhooks whose last PAUSE_AFTER_FAILURES deliveries all failed on a blocked address.

    Without this, each further event would fail permanently. The events of a disabled webhook are kept for a replay. One
    failure is not enough: a name server may give a wrong answer for a moment.
    """
    for webhook in Webhook.objects.enabled().filter(pk__in=webhooks):
        finished = Delivery.objects.filter(webhook=webhook, due_at__isnull=True).exclude(status__in=NOT_ATTEMPTED)
        errors = list(
            finished.order_by("-pk").values_list("error_class", flat=True)[: app_settings.PAUSE_AFTER_FAILURES]
        )
        if errors == [ErrorClass.BLOCKED_ADDRESS] * app_settings.PAUSE_AFTER_FAILURES:
            lifecycle.disable(webhook, reason=DisabledReason.BLOCKED_TARGET, now=now)


def warn_all(now: datetime, *, stop: Stop = never) -> None:
    """Warn of each failing webhook that has reached a further percentage of WARN_AT_PERCENT since the last warning.

    A paused webhook gets as little as one request a day. Its next failure would come too late for a warning. ``stop`` is
    called before each webhook; the next run has those left to warn of that this one has not.
    """
    if DrainSlot.objects.is_own_outage(now):
        return
    for webhook in Webhook.objects.enabled().filter(state__failing_since__isnull=False).select_related("state"):
        if stop():
            return
        if _reached(webhook.state, now) > webhook.state.warned_percent:
            with transaction.atomic(using=router.db_for_write(Webhook)):
                _warn(webhook, now)


def _apply_to(webhook: Webhook, results: Sequence[SendResult], now: datetime) -> None:
    """Update one webhook."""
    state = webhook.state
    for result in results:
        if result.outcome.hold_reason:
            _hold(state, result.outcome.hold_reason, result.outcome.retry_after, now)
        elif result.outcome.success:
            was_paused = state.pauses
            for name, value in NO_FAILURES.items():
                setattr(state, name, value)
            if was_paused:
                lifecycle.report_recovered(webhook, now=now)
        else:
            _apply_failure(state, now, result)
    state.save(update_fields=[*HEALTH_FIELDS, "held_until", "hold_reason"])
    if not webhook.enabled or webhook.deleted_at or all(one.outcome.hold_reason for one in results):
        return
    requested = next((result.outcome.disable for result in results if result.outcome.disable), None)
    if requested:
        lifecycle.disable(webhook, reason=requested, now=now)
    elif percent_to_disabling(state, now) >= 100:
        lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=now)
    else:
        _warn(webhook, now)


def _hold(state: WebhookState, reason: HoldReason, retry_after: float | None, now: datetime) -> None:
    """Hold a webhook: only what a user resends goes out until then. A shorter hold does not end a longer one."""
    until = now + timedelta(seconds=encryption.KEYS_WAIT if retry_after is None else retry.hold_seconds(retry_after))
    if state.held_until and state.held_until >= until:
        return
    if reason == HoldReason.KEYS and not WebhookState.objects.without_keys(now).exists():
        # Once until the keys are right.
        logger.error(keys_missing())
    state.held_until, state.hold_reason = until, reason
    logger.info("held webhook=%s reason=%s until=%s", state.pk, reason, until.isoformat())


def _apply_failure(state: WebhookState, now: datetime, result: SendResult) -> None:
    if not state.failures:
        state.failing_delivery = result.request.delivery_id
    elif state.failing_delivery != result.request.delivery_id:
        state.failing_delivery = None
    state.failures += 1
    state.failing_since = state.failing_since or now
    state.failed_at, state.failed_with = now, str(result.status or result.outcome.error_class)
    if (
        state.failures >= app_settings.PAUSE_AFTER_FAILURES
        # One delivery that fails again and again may be the cause itself.
        and state.failing_delivery is None
        # A request that was sent before the end of the pause does not make the pause longer, however late it fails.
        and not (state.paused_until and result.started_at < state.paused_until)
    ):
        seconds = min(
            app_settings.PAUSE_FIRST_SECONDS * 2.0 ** min(state.pauses, 30), app_settings.PAUSE_LONGEST_SECONDS
        )
        state.paused_until = now + timedelta(seconds=seconds)
        state.pauses += 1
        logger.warning("paused webhook=%s failures=%s seconds=%s", state.pk, state.failures, round(seconds))


def _reached(state: WebhookState, now: datetime) -> int:
    """Return the highest percentage of WARN_AT_PERCENT that a webhook has reached."""
    percent = percent_to_disabling(state, now)
    return max((share for share in WARN_AT_PERCENT if share <= percent), default=0)


def _warn(webhook: Webhook, now: datetime) -> None:
    state, reached = webhook.state, _reached(webhook.state, now)
    # Checked in the database: another worker may have warned, or recorded a success.
    not_warned = WebhookState.objects.filter(pk=state.pk, failing_since=state.failing_since, warned_percent__lt=reached)
    if reached > state.warned_percent and not_warned.update(warned_percent=reached):
        state.warned_percent = reached
        logger.warning("failing webhook=%s percent=%s failures=%s", state.pk, reached, state.failures)
        signals.webhook_failing.send_in_savepoint(Webhook, webhook=webhook, percent=reached, now=now)
