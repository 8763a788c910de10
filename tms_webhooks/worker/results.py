"""What a batch of results means for its deliveries and webhooks: retries, pauses, the attempt log and the signals.

`PendingResults` keeps results until they are written. A batch of plain successes, which most are, is one short write of
`tms_webhooks.worker.result_writer`; `record` writes all other results.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, router, transaction
from django.db.models.functions import Coalesce

from tms_webhooks import signals
from tms_webhooks.choices import DelayReason, DeliveryStatus, ErrorClass, HoldReason
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import error_actions, health, retry
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models import Delivery, Webhook, encryption
from tms_webhooks.net import proxy
from tms_webhooks.worker.result_writer import (
    FailedDelivery,
    lock_held,
    lock_sent,
    of_known_events,
    write_attempts,
    write_failures,
    write_successes,
)

# Errors that may not come again: the database is away, or another transaction holds a lock.
PASSING = (OperationalError, InterfaceError)

# In an own outage, the waits grow from PROXY_WAIT to so many times as much, which is ten minutes. Otherwise thousands of
# deliveries would be tried twice a minute for days.
MAX_OUTAGE_WAITS = 20

logger = logging.getLogger(__name__)


class PendingResults:
    """Keeps results until they are written. If a write fails, the write is repeated, never the request.

    A result that the database refuses permanently must not block the others. So after a refusal, results are written
    one by one, and the refused one without the receiver's texts.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        random: Callable[[], float],
        outage: OwnOutage | None = None,
    ) -> None:
        self._outage = outage or OwnOutage()
        self._clock = clock
        self._random = random
        self._results: list[SendResult] = []
        self._one_by_one = False
        # The webhooks that get no request until their results are written.
        self._urgent: set[int] = set()
        # The deliveries whose results were given up.
        self.lost: set[int] = set()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: SendResult, *, is_urgent: bool = False) -> None:
        """Keep a result. If it is urgent, its webhook gets no request until the result is written."""
        self._outage.note(result, self._clock())
        self._results.append(result)
        if is_urgent:
            self._urgent.add(result.request.webhook_id)

    @property
    def is_urgent(self) -> bool:
        """Whether a webhook gets no request until its results are written."""
        return bool(self._urgent)

    def write(
        self, limit: int | None = None, *, token: str, throttle: Callable[[int], float] = lambda _webhook_id: 0.0
    ) -> Sequence[SendResult]:
        """Write results, at most ``limit``, for the holder of ``token``; return those settled.

        Urgent results come first, together with the earlier ones of their webhooks. Some results may be left for the next
        call. ``throttle`` returns the seconds until a webhook's rate limit allows a request. Raises ``OperationalError``
        or ``InterfaceError`` where a repetition can help; all results are kept then.
        """
        self._results = self._outage.excused(self._results, self._clock())
        urgent = [one for one in self._results if one.request.webhook_id in self._urgent]
        batch = (urgent or self._results)[: 1 if self._one_by_one else limit]
        try:
            # The others are left for the next call, so that no result is written twice.
            done = write_successes(batch, token=token, now=self._clock())
            if done:
                _report(done, {})
            else:
                record(batch, token=token, now=self._clock(), random=self._random, throttle=throttle)
                done = batch
        except PASSING:
            raise
        except DatabaseError:
            return self._refused(batch)
        self._drop(done)
        return done

    def _refused(self, batch: Sequence[SendResult]) -> Sequence[SendResult]:
        """Make the next write a smaller one; return a result that can't be made smaller, and is given up."""
        logger.exception("The database refused %s results permanently, from %r on.", len(batch), batch[0].request)  # noqa: LOG004 (called where it is caught)
        if len(batch) > 1:
            self._one_by_one = True
            return ()
        bare = batch[0].without_texts()
        if bare != batch[0]:
            self._results[self._results.index(batch[0])] = bare
            return ()
        # Another drain sends it again, when this one has ended.
        self.lost.add(bare.request.delivery_id)
        self._drop(batch)
        return batch

    def _drop(self, batch: Sequence[SendResult]) -> None:
        dropped = set(map(id, batch))
        self._results = [result for result in self._results if id(result) not in dropped]
        self._one_by_one = self._one_by_one and bool(self._results)
        self._urgent.intersection_update(result.request.webhook_id for result in self._results)


def record(
    results: Sequence[SendResult],
    *,
    token: str | None,
    now: datetime,
    random: Callable[[], float],
    throttle: Callable[[int], float] = lambda _webhook_id: 0.0,
) -> None:
    """Write results in one transaction: the attempts, the next step of each delivery, and the webhooks' health.

    A result is late if ``token`` no longer holds the webhook, or the delivery was finished or tried since it was sent. Its
    attempt is logged, and the delivery is left as it is. A result whose delivery is lost, or now another event's, is dropped.
    Without a ``token``, the webhook need not be held: the caller sends a delivery that no drain sends.
    """
    with transaction.atomic(using=router.db_for_write(Delivery)):
        webhooks = {result.request.webhook_id for result in results}
        Webhook.objects.lock(webhooks, with_state=True)
        held = webhooks if token is None else lock_held(webhooks, token=token)
        timely = _timely([result for result in results if result.request.webhook_id in held])
        chosen = list(timely.values())
        failed = [result for result in chosen if not result.outcome.success]
        health.apply_results(chosen, now=now)
        health.hold(chosen, now=now)
        decisions = _decisions(failed, now=now, random=random, throttle=throttle)
        delivered = [result.request.delivery_id for result in chosen if result.outcome.success]
        if delivered:
            Delivery.objects.mark_delivered(delivered, now=now)
        write_failures([_failure(result, decisions[result.request.delivery_id], now) for result in failed], now=now)
        _finish_stopped([pk for pk, decision in decisions.items() if decision is not None], now=now)
        late = of_known_events([result for result in results if timely.get(result.request.delivery_id) is not result])
        write_attempts([*chosen, *late], decisions, late=late)
        given_up = [result for result in failed if decisions[result.request.delivery_id] is None]
        error_actions.apply(
            [
                error_actions.GivenUpDelivery(one.delivery_id, one.webhook_id, one.event_id, result.outcome.message)
                for result in given_up
                if not (one := result.request).is_resent
            ],
            now=now,
        )
        refused = [one.request for one in given_up if one.outcome.error_class == ErrorClass.BLOCKED_ADDRESS]
        # Not an address that was filled in from an event.
        own = {request.webhook_id for request in refused if request.url is None and not request.is_manual}
        health.disable_blocked(own, now=now)
    _report(chosen, decisions)


def _timely(results: Sequence[SendResult]) -> dict[int, SendResult]:
    """Lock the deliveries of these results that are as they were when they were sent, and return the result of each.

    One that was cancelled or skipped while it was in flight is delivered after all if the receiver accepted it. A drain that was cut off for long may have lost a webhook to another drain and leased it again. Then the result of its
    first attempt is late: the attempt's number, which is used once, shows that.
    """
    sent = lock_sent(results)
    timely: dict[int, SendResult] = {}
    for result in results:
        key = result.request.delivery_id
        attempts, is_open = sent.get((key, result.request.event_id), (None, False))
        if attempts == result.request.number - 1 and (is_open or result.outcome.success):
            timely.setdefault(key, result)
    return timely


def _decisions(
    failed: Sequence[SendResult], *, now: datetime, random: Callable[[], float], throttle: Callable[[int], float]
) -> dict[int, RetryDecision | None]:
    """Return when to try each failed delivery again, by its key; None where it is finished."""
    decisions: dict[int, RetryDecision | None] = {}
    if not failed:
        return decisions
    rows = Delivery.objects.among(result.request.delivery_id for result in failed)
    births = dict(rows.values_list("pk", Coalesce("reopened_at", "created_at")))
    for result in failed:
        request = result.request
        decision = _decide(result, births[request.delivery_id], now, random)
        seconds = throttle(request.webhook_id)
        if decision is not None and decision.delay < seconds:
            # The webhook's pause, unlike its rate limit, does not delay the attempt.
            decision = RetryDecision(seconds, DelayReason.THROTTLE, charged=decision.charged)
        decisions[request.delivery_id] = decision
    return decisions


def _decide(result: SendResult, born_at: datetime, now: datetime, random: Callable[[], float]) -> RetryDecision | None:
    """Return when to try again by the retry schedule; None where the delivery is finished."""
    request = result.request
    if result.outcome.permanent or request.is_resent:
        return None
    age = (now - born_at).total_seconds()
    if result.outcome.hold_reason == HoldReason.KEYS:
        wait = encryption.KEYS_WAIT
        is_in_time = age + wait <= app_settings.DELIVERY_LIFETIME_SECONDS
        return RetryDecision(wait, DelayReason.BREAKER, charged=False) if is_in_time else None
    if result.outcome.is_operators_fault:
        is_longer = result.outcome.own_outage
        return retry.wait_for_operator(
            proxy.PROXY_WAIT * (min(request.number, MAX_OUTAGE_WAITS) if is_longer else 1),
            reason=DelayReason.BREAKER if is_longer else DelayReason.PROXY,
            age=age,
            lifetime=app_settings.DELIVERY_LIFETIME_SECONDS,
            jitter=app_settings.RETRY_JITTER,
            random=random,
        )
    return retry.decide(
        attempts=request.charged + (not request.is_extra),
        is_charged=not request.is_extra,
        schedule=schedule_of(request),
        max_retries=request.endpoint.max_retries,
        age=age,
        lifetime=app_settings.DELIVERY_LIFETIME_SECONDS,
        retry_after=result.outcome.retry_after,
        timed_out=result.outcome.timed_out,
        jitter=app_settings.RETRY_JITTER,
        random=random,
    )


def schedule_of(request: OutgoingRequest) -> tuple[float, ...]:
    """Return the webhook's retry delays; the standard ones where a row holds an invalid schedule."""
    try:
        return retry.schedule_for(request.endpoint.schedule, standard=app_settings.RETRY_DELAYS_SECONDS)
    except ValidationError:
        logger.warning("webhook=%s has no valid schedule; the standard one is used", request.webhook_id)
        return retry.schedule_for(None, standard=app_settings.RETRY_DELAYS_SECONDS)


def _failure(result: SendResult, decision: RetryDecision | None, now: datetime) -> FailedDelivery:
    """Return what a failed attempt makes of its delivery."""
    return FailedDelivery(
        result.request.delivery_id,
        due_at=None if decision is None else now + timedelta(seconds=decision.delay),
        status=_final_status(result) if decision is None else DeliveryStatus.WAITING,
        error_class=result.outcome.error_class or "",
        is_charged=decision is None or decision.charged,
    )


def _finish_stopped(ids: Collection[int], *, now: datetime) -> None:
    """Cancel those of these deliveries whose webhook is deleted, and skip those whose webhook is disabled."""
    if ids:
        rows = Delivery.objects.among(ids)
        rows.filter(webhook__in=Webhook.objects.filter(deleted_at__isnull=False)).cancel(now=now)
        rows.filter(webhook__in=Webhook.objects.filter(enabled=False)).skip(now=now)


def _final_status(result: SendResult) -> DeliveryStatus:
    """Return the status of a delivery whose last result this is."""
    if result.outcome.success:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.FAILED if result.outcome.permanent else DeliveryStatus.EXHAUSTED


def _report(results: Sequence[SendResult], decisions: Mapping[int, RetryDecision | None]) -> None:
    """Log these results, which are not late, and send their signals. A delivery without a decision is finished."""
    if logger.isEnabledFor(logging.INFO):
        for result in results:
            _log(result, decisions.get(result.request.delivery_id))
    if signals.attempt_recorded.has_listeners(Delivery):
        for result in results:
            _send_attempt_recorded(result, decisions.get(result.request.delivery_id))
    if signals.delivery_finished.has_listeners(Delivery):
        for result in results:
            if decisions.get(result.request.delivery_id) is None:
                status = _final_status(result).value
                signals.delivery_finished.send_robust(Delivery, **_ids(result.request), status=status)


def _log(result: SendResult, decision: RetryDecision | None) -> None:
    request = result.request
    logger.info(
        "attempt event=%s delivery=%s webhook=%s number=%s status=%s error=%s ms=%s next=%s",
        request.event_id,
        request.delivery_id,
        request.webhook_id,
        request.number,
        result.status,
        result.outcome.error_class,
        round(result.seconds * 1000),
        None if decision is None else round(decision.delay, 1),
    )


def _send_attempt_recorded(result: SendResult, decision: RetryDecision | None) -> None:
    signals.attempt_recorded.send_robust(
        Delivery,
        **_ids(result.request),
        number=result.request.number,
        started_at=result.started_at,
        seconds=result.seconds,
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        next_delay=None if decision is None else decision.delay,
    )


def _ids(request: OutgoingRequest) -> dict[str, Any]:
    return {"delivery_id": request.delivery_id, "event_id": request.event_id, "webhook_id": request.webhook_id}
