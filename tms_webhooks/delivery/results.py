"""Writing down what came of a batch of attempts, in one transaction. Where all went well, `successes` does it sooner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from tms_webhooks.choices import DelayReason, DeliveryStatus, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import alarm, health, retry
from tms_webhooks.delivery.limits import wait_for_token
from tms_webhooks.delivery.log_lines import counted, final_status, line_of
from tms_webhooks.delivery.outgoing import Parcel, Result
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.delivery.telling import tell
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Webhook
from tms_webhooks.models.statements import for_update, numbers, read

STILL_HELD = """
SELECT id, attempts FROM {delivery} WHERE id IN ({ids}) AND status = 'in_flight' AND lease = %s {lock}"""

logger = logging.getLogger(__name__)


def record(results: Sequence[Result], *, token: str, now: datetime, random: Callable[[], float]) -> Collection[int]:
    """Write the attempts, and move on the deliveries that ``token`` holds still.

    Returns the webhooks that were paused or disabled by it: what is held for those is not to be sent now.

    A result that comes after its lease was lost is logged as a late attempt; the delivery is left to its new holder.
    """
    with transaction.atomic(using=router.db_for_write(Delivery)):
        Webhook.objects.hold(result.parcel.webhook_id for result in results)
        ours = _still_held(results, token=token)
        mine = list(ours.values())
        failed = [result for result in mine if not result.outcome.success]
        paused = health.judge(mine, now=now)
        births, throttled = _births(failed), _throttled(failed, now)
        decisions = {
            result.parcel.delivery_id: _held_back(
                _decide(result, births[result.parcel.delivery_id], now, random), result.parcel, now, paused, throttled
            )
            for result in failed
        }
        delivered = [result.parcel.delivery_id for result in mine if result.outcome.success]
        if delivered:
            Delivery.objects.mark_delivered(delivered, token=token, now=now)
        for result in failed:
            _move_on(result, decisions[result.parcel.delivery_id], token=token, now=now)
        _finish_of_stopped([pk for pk, decision in decisions.items() if decision is not None], now=now)
        DeliveryAttempt.objects.write(
            [
                line_of(result, decisions.get(key), late=ours.get(key) is not result)
                for result in results
                for key in (result.parcel.delivery_id,)
            ]
        )
        DeliveryTotal.objects.add(counted(result, decisions.get(result.parcel.delivery_id)) for result in mine)
        given_up = [result for result in failed if decisions[result.parcel.delivery_id] is None]
        disabled = alarm.raise_for([_alarming(result) for result in given_up if not result.parcel.single], now=now)
        blocked = health.disable_blocked(_blocked(given_up), now=now)
    tell(mine, decisions)
    return {*paused, *disabled, *blocked}


def _blocked(results: Sequence[Result]) -> set[int]:
    """Return the webhooks whose own address is refused; one that an event filled in speaks of that event alone."""
    of_address = [result for result in results if result.outcome.error_class == ErrorClass.BLOCKED_ADDRESS]
    return {one.parcel.webhook_id for one in of_address if one.parcel.url is None and not one.parcel.single}


def _still_held(results: Sequence[Result], *, token: str) -> dict[int, Result]:
    """Lock the deliveries that ``token`` holds still, and return the result of each.

    A worker that was cut off for long may have lost a delivery to another and claimed it again: the result of its first
    try is late then, too. The number tells, which is used once.
    """
    keys = numbers(result.parcel.delivery_id for result in results)
    attempts = dict(read(STILL_HELD, [token], ids=keys, lock=for_update()))
    ours: dict[int, Result] = {}
    for result in results:
        key = result.parcel.delivery_id
        if attempts.get(key) == result.parcel.number - 1:
            ours.setdefault(key, result)
    return ours


def _births(results: Sequence[Result]) -> dict[int, datetime]:
    """Return when the life of each delivery began."""
    if not results:
        return {}
    rows = Delivery.objects.among(result.parcel.delivery_id for result in results)
    return dict(rows.values_list("pk", Coalesce("reopened_at", "created_at")))


def _throttled(results: Sequence[Result], now: datetime) -> dict[int, float]:
    """Return for how many seconds the rates of webhooks allow no request, where they have one."""
    if not results:
        return {}
    limited = Webhook.objects.filter(rate_limit_per_second__isnull=False)
    chosen = limited.filter(pk__in={result.parcel.webhook_id for result in results})
    return {one.pk: wait_for_token(one, now) for one in chosen.only("rate_limit_per_second", "tokens", "tokens_at")}


def _decide(result: Result, born_at: datetime, now: datetime, random: Callable[[], float]) -> RetryDecision | None:
    """Return when to try again; None where the delivery is finished."""
    parcel = result.parcel
    if result.outcome.permanent or parcel.single:
        return None
    return retry.decide(
        attempts=parcel.charged + 1,
        schedule=_schedule(parcel),
        max_retries=parcel.route.max_retries,
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
    parcel: Parcel,
    now: datetime,
    paused: Mapping[int, datetime],
    throttled: Mapping[int, float],
) -> RetryDecision | None:
    """Have the next attempt wait for as long as the webhook is paused, or its rate allows none."""
    if decision is None:
        return None
    waits = [(throttled.get(parcel.webhook_id, 0.0), DelayReason.THROTTLE)]
    if parcel.webhook_id in paused:
        waits.append(((paused[parcel.webhook_id] - now).total_seconds(), DelayReason.BREAKER))
    longest, reason = max(waits)
    return decision if decision.delay >= longest else RetryDecision(longest, reason, charged=decision.charged)


def _schedule(parcel: Parcel) -> tuple[float, ...]:
    """Return the webhook's delays; the standard ones where a row holds what no form would have let in."""
    try:
        return retry.schedule_for(parcel.route.schedule, standard=app_settings.RETRY_DELAYS)
    except ValidationError:
        logger.warning("webhook=%s has no valid schedule; the standard one is used", parcel.webhook_id)
        return retry.schedule_for(None, standard=app_settings.RETRY_DELAYS)


def _alarming(result: Result) -> alarm.GivenUp:
    parcel = result.parcel
    return alarm.GivenUp(parcel.delivery_id, parcel.webhook_id, parcel.event_id, result.outcome.message)


def _move_on(result: Result, decision: RetryDecision | None, *, token: str, now: datetime) -> None:
    waits = decision is not None
    charge = decision.charged if decision is not None else True
    Delivery.objects.held(token).filter(pk=result.parcel.delivery_id).update(
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
