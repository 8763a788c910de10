"""Writing down what came of a batch of attempts, in one transaction. Where all went well, `successes` does it sooner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from tms_webhooks import signals
from tms_webhooks.choices import AttemptResult, DelayReason, DeliveryStatus, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import for_update, numbers, read
from tms_webhooks.delivery import health, notifications, retry
from tms_webhooks.delivery.outcome import MESSAGE_LIMIT
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Webhook
from tms_webhooks.models.attempt import AttemptRow
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.worker.concurrency import wait_for_token

STILL_HELD = """
SELECT id, attempts FROM {delivery} WHERE id IN ({ids}) AND status = 'in_flight' AND lease = %s {lock}"""

logger = logging.getLogger(__name__)


def record(results: Sequence[SendResult], *, token: str, now: datetime, random: Callable[[], float]) -> Collection[int]:
    """Write the attempts, and move on the deliveries that ``token`` holds still.

    Returns the webhooks that were paused or disabled by it: what is held for those is not to be sent now.

    A result that comes after its lease was lost is logged as a late attempt; the delivery is left to its new holder.
    """
    with transaction.atomic(using=router.db_for_write(Delivery)):
        Webhook.objects.hold(result.outgoing.webhook_id for result in results)
        ours = _still_held(results, token=token)
        mine = list(ours.values())
        failed = [result for result in mine if not result.outcome.success]
        paused = health.apply_results(mine, now=now)
        births, throttled = _births(failed), _throttled(failed, now)
        decisions = {
            result.outgoing.delivery_id: _held_back(
                _decide(result, births[result.outgoing.delivery_id], now, random),
                result.outgoing,
                now,
                paused,
                throttled,
            )
            for result in failed
        }
        delivered = [result.outgoing.delivery_id for result in mine if result.outcome.success]
        if delivered:
            Delivery.objects.mark_delivered(delivered, token=token, now=now)
        for result in failed:
            _move_on(result, decisions[result.outgoing.delivery_id], token=token, now=now)
        _finish_of_stopped([pk for pk, decision in decisions.items() if decision is not None], now=now)
        DeliveryAttempt.objects.write(
            [
                attempt_row(result, decisions.get(key), late=ours.get(key) is not result)
                for result in results
                for key in (result.outgoing.delivery_id,)
            ]
        )
        DeliveryTotal.objects.add(counted(result, decisions.get(result.outgoing.delivery_id)) for result in mine)
        given_up = [result for result in failed if decisions[result.outgoing.delivery_id] is None]
        disabled = notifications.notify_given_up(
            [_given_up(result) for result in given_up if not result.outgoing.single], now=now
        )
        blocked = health.disable_blocked(_blocked(given_up), now=now)
    report(mine, decisions)
    return {*paused, *disabled, *blocked}


def _blocked(results: Sequence[SendResult]) -> set[int]:
    """Return the webhooks whose own address is refused; one that an event filled in speaks of that event alone."""
    of_address = [result for result in results if result.outcome.error_class == ErrorClass.BLOCKED_ADDRESS]
    return {one.outgoing.webhook_id for one in of_address if one.outgoing.url is None and not one.outgoing.single}


def _still_held(results: Sequence[SendResult], *, token: str) -> dict[int, SendResult]:
    """Lock the deliveries that ``token`` holds still, and return the result of each.

    A worker that was cut off for long may have lost a delivery to another and claimed it again: the result of its first
    try is late then, too. The number tells, which is used once.
    """
    keys = numbers(result.outgoing.delivery_id for result in results)
    attempts = dict(read(STILL_HELD, [token], ids=keys, lock=for_update()))
    ours: dict[int, SendResult] = {}
    for result in results:
        key = result.outgoing.delivery_id
        if attempts.get(key) == result.outgoing.number - 1:
            ours.setdefault(key, result)
    return ours


def _births(results: Sequence[SendResult]) -> dict[int, datetime]:
    """Return when the life of each delivery began."""
    if not results:
        return {}
    rows = Delivery.objects.among(result.outgoing.delivery_id for result in results)
    return dict(rows.values_list("pk", Coalesce("reopened_at", "created_at")))


def _throttled(results: Sequence[SendResult], now: datetime) -> dict[int, float]:
    """Return for how many seconds the rates of webhooks allow no request, where they have one."""
    if not results:
        return {}
    limited = Webhook.objects.filter(rate_limit_per_second__isnull=False)
    chosen = limited.filter(pk__in={result.outgoing.webhook_id for result in results})
    return {one.pk: wait_for_token(one, now) for one in chosen.only("rate_limit_per_second", "tokens", "tokens_at")}


def _decide(result: SendResult, born_at: datetime, now: datetime, random: Callable[[], float]) -> RetryDecision | None:
    """Return when to try again; None where the delivery is finished."""
    outgoing = result.outgoing
    if result.outcome.permanent or outgoing.single:
        return None
    return retry.decide(
        attempts=outgoing.charged + 1,
        schedule=_schedule(outgoing),
        max_retries=outgoing.route.max_retries,
        age=(now - born_at).total_seconds(),
        lifetime=app_settings.DELIVERY_LIFETIME,
        retry_after=result.outcome.retry_after,
        timed_out=result.outcome.timed_out,
        jitter=app_settings.RETRY_JITTER,
        random=random,
        timeout_penalty=app_settings.TIMEOUT_PENALTY,
        retry_after_limit=app_settings.RETRY_AFTER_LIMIT,
    )


def _held_back(
    decision: RetryDecision | None,
    outgoing: OutgoingRequest,
    now: datetime,
    paused: Mapping[int, datetime],
    throttled: Mapping[int, float],
) -> RetryDecision | None:
    """Have the next attempt wait for as long as the webhook is paused, or its rate allows none."""
    if decision is None:
        return None
    waits = [(throttled.get(outgoing.webhook_id, 0.0), DelayReason.THROTTLE)]
    if outgoing.webhook_id in paused:
        waits.append(((paused[outgoing.webhook_id] - now).total_seconds(), DelayReason.BREAKER))
    longest, reason = max(waits)
    return decision if decision.delay >= longest else RetryDecision(longest, reason, charged=decision.charged)


def _schedule(outgoing: OutgoingRequest) -> tuple[float, ...]:
    """Return the webhook's delays; the standard ones where a row holds what no form would have let in."""
    try:
        return retry.schedule_for(outgoing.route.schedule, standard=app_settings.RETRY_DELAYS)
    except ValidationError:
        logger.warning("webhook=%s has no valid schedule; the standard one is used", outgoing.webhook_id)
        return retry.schedule_for(None, standard=app_settings.RETRY_DELAYS)


def _given_up(result: SendResult) -> notifications.GivenUpDelivery:
    outgoing = result.outgoing
    return notifications.GivenUpDelivery(
        outgoing.delivery_id, outgoing.webhook_id, outgoing.event_id, result.outcome.message
    )


def _move_on(result: SendResult, decision: RetryDecision | None, *, token: str, now: datetime) -> None:
    waits = decision is not None
    charge = decision.charged if decision is not None else True
    Delivery.objects.held(token).filter(pk=result.outgoing.delivery_id).update(
        status=DeliveryStatus.WAITING if waits else final_status(result),
        due_at=now + timedelta(seconds=decision.delay) if decision is not None else None,
        finished_at=None if waits else now,
        lease="",
        attempts=F("attempts") + 1,
        charged=F("charged") + int(charge),
        error_class=result.outcome.error_class or "",
    )


def give_back(ids: Collection[int], *, token: str, now: datetime) -> None:
    """Return what was claimed and not sent: to wait for its webhook, or to be finished where that gets no more."""
    if not ids:
        return
    Delivery.objects.among(ids).release(token=token, now=now)
    _finish_of_stopped(ids, now=now)


def _finish_of_stopped(ids: Collection[int], *, now: datetime) -> None:
    """Skip those of these deliveries whose webhook is disabled, and cancel those whose webhook is deleted."""
    if ids:
        rows = Delivery.objects.among(ids)
        rows.filter(webhook__in=Webhook.objects.filter(deleted_at__isnull=False)).cancel(now=now)
        rows.filter(webhook__in=Webhook.objects.filter(enabled=False)).skip(now=now)


def final_status(result: SendResult) -> DeliveryStatus:
    """Return how a delivery ends with a result that is its last."""
    if result.outcome.success:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.FAILED if result.outcome.permanent else DeliveryStatus.EXHAUSTED


def attempt_row(result: SendResult, decision: RetryDecision | None, *, late: bool) -> AttemptRow:
    """Return the line of an attempt, with what was decided of the next one. A late one has no number."""
    waits = None if late else decision
    return AttemptRow(
        delivery_id=result.outgoing.delivery_id,
        number=None if late else result.outgoing.number,
        charged=not late and (decision is None or decision.charged),
        started_at=result.started_at,
        duration_ms=round(result.seconds * 1000),
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        message=result.outcome.message[:MESSAGE_LIMIT],
        response_body=result.body,
        next_delay=None if waits is None else waits.delay,
        delay_reason="" if waits is None else waits.reason.value,
        timing=result.timing.as_text(),
    )


def counted(result: SendResult, decision: RetryDecision | None) -> CountedAttempt:
    """Return what an attempt adds to its webhook's totals."""
    kind = AttemptResult.DELIVERED if result.outcome.success else AttemptResult.RETRIED
    answered = result.status is not None or result.outcome.timed_out
    expected_at = result.outgoing.expected_at
    lag = None if expected_at is None else (result.started_at - expected_at).total_seconds()
    return CountedAttempt(
        webhook_id=result.outgoing.webhook_id,
        started_at=result.started_at,
        result=kind if result.outcome.success or decision is not None else AttemptResult.GIVEN_UP,
        duration_ms=round(result.seconds * 1000) if answered else None,
        lag_ms=None if lag is None else max(0, round(lag * 1000)),
    )


def report(results: Sequence[SendResult], decisions: Mapping[int, RetryDecision | None]) -> None:
    """Tell of each of these results, which were not late; by delivery, when it is tried again."""
    if logger.isEnabledFor(logging.INFO):
        for result in results:
            _log(result, decisions.get(result.outgoing.delivery_id))
    if signals.attempt_recorded.has_listeners(Delivery):
        for result in results:
            _report_attempt(result, decisions.get(result.outgoing.delivery_id))
    if signals.delivery_finished.has_listeners(Delivery):
        for result in results:
            if decisions.get(result.outgoing.delivery_id) is None:
                _report_end(result)


def _log(result: SendResult, decision: RetryDecision | None) -> None:
    outgoing = result.outgoing
    logger.info(
        "attempt event=%s delivery=%s webhook=%s number=%s status=%s error=%s ms=%s next=%s",
        outgoing.event_id,
        outgoing.delivery_id,
        outgoing.webhook_id,
        outgoing.number,
        result.status,
        result.outcome.error_class,
        round(result.seconds * 1000),
        None if decision is None else round(decision.delay, 1),
    )


def _report_attempt(result: SendResult, decision: RetryDecision | None) -> None:
    signals.attempt_recorded.send_robust(
        Delivery,
        **_ids(result.outgoing),
        number=result.outgoing.number,
        started_at=result.started_at,
        seconds=result.seconds,
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        next_delay=None if decision is None else decision.delay,
    )


def _report_end(result: SendResult) -> None:
    signals.delivery_finished.send_robust(Delivery, **_ids(result.outgoing), status=final_status(result).value)


def _ids(outgoing: OutgoingRequest) -> dict[str, Any]:
    return {"delivery_id": outgoing.delivery_id, "event_id": outgoing.event_id, "webhook_id": outgoing.webhook_id}
