"""What a batch of results means for its deliveries and webhooks: retries, pauses, the attempt log and the signals.

Plain successes, which most are, are written by `write_successes` in as short a write as the database allows, and all others
by `record`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, router, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce

from tms_webhooks import signals
from tms_webhooks.choices import AttemptResult, DelayReason, DeliveryStatus, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import (
    array,
    as_datetime,
    as_json,
    brief_write,
    database,
    filled,
    for_update,
    moment,
    numbers,
    read,
    write,
)
from tms_webhooks.delivery import health, lifecycle, retry
from tms_webhooks.delivery.outcome import MESSAGE_LIMIT
from tms_webhooks.delivery.outgoing import SendResult
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Webhook, attempt, encryption, total
from tms_webhooks.models.attempt import AttemptRow
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.net import proxy
from tms_webhooks.worker import statements

# Errors that may not come again: the database is away, or another transaction holds a lock.
PASSING = (OperationalError, InterfaceError)

# In an own outage, the waits grow from PROXY_WAIT to so many times as much, which is ten minutes. Otherwise thousands of
# deliveries would be tried twice a minute for days.
MAX_OUTAGE_WAITS = 20

# By delivery: when the next attempt is; None where it is finished.
Decisions = Mapping[int, RetryDecision | None]

logger = logging.getLogger(__name__)


def write_results(
    batch: Sequence[SendResult],
    lost: set[int],
    *,
    token: str,
    now: datetime,
    random: Callable[[], float],
    throttle: Callable[[int], float],
) -> Sequence[SendResult]:
    """Write these results, or some of the first ones, for the holder of ``token``; return those settled.

    ``throttle`` returns the seconds until a webhook's rate limit allows a request. A result that the database refuses
    permanently must not block the others. Those before it are written first. Then a copy of it without the receiver's
    texts is written and returned; the delivery is added to ``lost`` if that is refused, too. Raises
    ``OperationalError`` or ``InterfaceError`` where a repetition can help.
    """
    while True:
        try:
            # The others are left for the next call, so that no result is written twice.
            if done := write_successes(batch, token=token, now=now):
                _report(done, {})
                return done
            record(batch, token=token, now=now, random=random, throttle=throttle)
            return batch
        except PASSING:
            raise
        except DatabaseError:
            if len(batch) > 1:
                batch = batch[: len(batch) // 2]
                continue
            request, bare = batch[0].request, batch[0].without_texts()
            logger.exception("The database refused a result permanently: %r.", request)
            if bare == batch[0]:
                # Another drain sends it again, when this one has ended.
                lost.add(request.delivery_id)
                return batch
            batch = [bare]


def write_successes(results: Sequence[SendResult], *, token: str, now: datetime) -> Sequence[SendResult]:
    """Write the results of those webhooks that had nothing but successes; return them. All is computed ahead.

    Either all of these, or none: if one of the webhooks is lost or has failed before, or one of the deliveries was finished.
    Then, and for all other results, use `record`.
    """
    # A manual request does not affect the health of its webhook, which the short write would update.
    excluded = {one.request.webhook_id for one in results if one.outcome.may_stop_webhook or one.request.is_manual}
    chosen = [one for one in results if one.request.webhook_id not in excluded]
    sent = {one.request.delivery_id: one.request for one in chosen}
    if not chosen or len(sent) < len(chosen):
        # A delivery with two results needs the other write, too.
        return ()
    uids = [request.event_id.removeprefix(PUBLIC_PREFIX) for request in sent.values()]
    webhooks = sorted({one.request.webhook_id for one in chosen})
    rows, counted = [_attempt_row(one) for one in chosen], [_counted(one) for one in chosen]
    if database().vendor == "postgresql":
        params = {
            "lines": attempt.json_of(rows),
            "totals": as_json(total.increments_of(counted)),
            "webhooks": array(webhooks),
            "ids": array(sent),
            "uids": array(uids),
            "token": token,
            "now": now,
        }
        return chosen if write(_record_successes(), params, repeated=True) == len(chosen) else ()
    rows_sent = ", ".join(f"({pk}, {request.number - 1}, %s)" for pk, request in sent.items())
    if database().vendor == "sqlite":
        rows_sent = f"VALUES {rows_sent}"
    insert, add = DeliveryAttempt.objects.insertion(rows), DeliveryTotal.objects.addition(counted)
    with brief_write():
        succeeded = write(statements.SET_SUCCEEDED_AT, [moment(now), token], ids=numbers(webhooks))
        delivered = write(statements.SET_DELIVERED, [moment(now), *uids], ids=numbers(sent), sent=rows_sent)
        if succeeded == len(webhooks) and delivered == len(sent):
            insert()
            add()
            return chosen
        transaction.set_rollback(True, using=database().alias)
    return ()


@cache
def _record_successes() -> str:
    return filled(
        statements.RECORD_SUCCESSES,
        lines=attempt.json_rows().replace("%s", "%(lines)s"),
        totals=total.addition_of(condition="(SELECT yes FROM plain)").replace("%s", "%(totals)s"),
        columns=attempt.COLUMNS,
    )


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
    keys = {one.request.webhook_id for one in results}
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        # Not in one query that also reads them: MariaDB would lock the rows of a join in another order.
        Webhook.objects.lock(keys, with_state=True)
        rows = Webhook.objects.using(using).filter(pk__in=keys).select_related("state")
        held = {webhook.pk: webhook for webhook in rows if token is None or webhook.state.lease == token}
        sent = _lock_sent(results)
        timely: dict[int, SendResult] = {}
        late = []
        for result in results:
            request, row = result.request, sent.get(result.request.delivery_id)
            if row is None or row.event_id != request.event_id:
                continue
            # One that was cancelled or skipped while it was in flight is delivered after all if the receiver accepted it.
            is_expected = row.attempts == request.number - 1 and (row.is_open or result.outcome.success)
            if request.delivery_id not in timely and request.webhook_id in held and is_expected:
                timely[request.delivery_id] = health.deferred(result, held[request.webhook_id].state, now)
            else:
                late.append(result if row.has_payload else result.without_answer())
        health.apply_results(timely.values(), held, now=now)
        decisions = {
            pk: _decide(result, now - sent[pk].born_at, random, throttle)
            for pk, result in timely.items()
            if not result.outcome.success
        }
        _write_deliveries(timely, decisions, now=now)
        for webhook in held.values():
            # Deleted or disabled by now, or by these results: nothing is tried again.
            if webhook.deleted_at or not webhook.enabled:
                status = DeliveryStatus.CANCELLED if webhook.deleted_at else DeliveryStatus.SKIPPED
                Delivery.objects.among(decisions).filter(webhook=webhook).finish(status, now=now)
        _write_attempts(timely, decisions, late)
        given_up = [timely[pk] for pk, decision in decisions.items() if decision is None]
        lifecycle.apply(
            [
                lifecycle.GivenUpDelivery(one.delivery_id, one.webhook_id, one.event_id, result.outcome.message)
                for result in given_up
                if not (one := result.request).is_resent
            ],
            now=now,
        )
        blocked = {
            one.request.webhook_id
            for one in given_up
            # Its own address, and not one that was filled in from an event.
            if one.outcome.error_class == ErrorClass.BLOCKED_ADDRESS
            and one.request.url is None
            and not one.request.is_manual
        }
        health.disable_blocked(blocked, now=now)
    _report(timely.values(), decisions)


class _SentDelivery(NamedTuple):
    """A delivery as it is now, and since when its retries count. ``has_payload`` is False after its event was erased.

    A database that crashed may have lost the delivery that was sent, and given its key to that of another event.

    A drain that was cut off for long may have lost a webhook to another drain and leased it again. Then the result of its
    first attempt is late: the number of the attempt, which is used once, shows that.
    """

    attempts: int
    is_open: bool
    born_at: datetime
    event_id: str
    has_payload: bool


def _lock_sent(results: Iterable[SendResult]) -> dict[int, _SentDelivery]:
    """Lock the deliveries of these results, and return those that exist, by their keys."""
    ids = numbers(result.request.delivery_id for result in results)
    return {
        pk: _SentDelivery(attempts, is_open, as_datetime(born_at), f"{PUBLIC_PREFIX}{uid}", has_payload)
        for pk, attempts, is_open, born_at, uid, has_payload in read(statements.LOCK_SENT, ids=ids, lock=for_update())
    }


def _decide(
    result: SendResult, age: timedelta, random: Callable[[], float], throttle: Callable[[int], float]
) -> RetryDecision | None:
    """Return when to try again after a failure; None where the delivery is finished. ``age`` counts from its creation."""
    request, outcome, jitter = result.request, result.outcome, app_settings.RETRY_JITTER
    lifetime = app_settings.DELIVERY_LIFETIME_SECONDS
    if outcome.permanent or request.is_resent:
        return None
    if outcome.is_operators_fault:
        reason, seconds = DelayReason.BREAKER, proxy.PROXY_WAIT * min(request.number, MAX_OUTAGE_WAITS)
        if outcome.error_class == ErrorClass.KEYS_MISSING:
            seconds, jitter = encryption.KEYS_WAIT, 0.0
        elif not outcome.own_outage:
            reason, seconds = DelayReason.PROXY, proxy.PROXY_WAIT
        decision = retry.wait_for_operator(
            seconds, reason=reason, age=age.total_seconds(), lifetime=lifetime, jitter=jitter, random=random
        )
    else:
        schedule: Sequence[float] = app_settings.RETRY_DELAYS_SECONDS
        try:
            schedule = retry.schedule_for(request.endpoint.webhook.schedule, standard=schedule)
        except ValidationError:
            logger.warning("webhook=%s has no valid schedule; the standard one is used", request.webhook_id)
        decision = retry.decide(
            attempts=request.charged + (not request.is_extra),
            is_charged=not request.is_extra,
            schedule=schedule,
            max_retries=request.endpoint.webhook.max_retries,
            age=age.total_seconds(),
            lifetime=lifetime,
            retry_after=outcome.retry_after,
            timed_out=outcome.timed_out,
            jitter=jitter,
            random=random,
        )
    if decision is not None and decision.delay < (seconds := throttle(request.webhook_id)):
        # The webhook's pause, unlike its rate limit, does not delay the attempt.
        return RetryDecision(seconds, DelayReason.THROTTLE, charged=decision.charged)
    return decision


def _write_deliveries(timely: Mapping[int, SendResult], decisions: Decisions, *, now: datetime) -> None:
    """Write what attempts make of their deliveries, which are locked: one statement for each kind."""
    by_kind: dict[tuple[DeliveryStatus, str, bool], dict[int, RetryDecision | None]] = defaultdict(dict)
    for pk, result in timely.items():
        decision = decisions.get(pk)
        status = _final_status(result) if decision is None else DeliveryStatus.WAITING
        by_kind[status, result.outcome.error_class or "", decision is None or decision.charged][pk] = decision
    for (status, error_class, is_charged), found in by_kind.items():
        due = [When(pk=pk, then=Value(now + timedelta(seconds=one.delay))) for pk, one in found.items() if one]
        Delivery.objects.among(found).update(
            status=status,
            due_at=Case(*due) if due else None,
            finished_at=None if due else now,
            attempts=F("attempts") + 1,
            charged=F("charged") + int(is_charged),
            error_class=error_class,
            # After an extra attempt, it has its own priority again. First: MariaDB assigns from left to right.
            priority=Coalesce("resume_priority", "priority"),
            resume_priority=None,
        )


def _write_attempts(timely: Mapping[int, SendResult], decisions: Decisions, late: Iterable[SendResult]) -> None:
    """Insert these attempts into the log, and add them to the totals.

    The totals leave out late attempts, tests, and failures of the operator's own machines that are tried again.
    """
    rows = [_attempt_row(one, decisions.get(pk)) for pk, one in timely.items()]
    # A late attempt has no number: it belongs to another one.
    rows += [_attempt_row(one)._replace(number=None, charged=False) for one in late]
    DeliveryAttempt.objects.insertion(rows)()
    DeliveryTotal.objects.addition(
        _counted(one, decisions.get(pk))
        for pk, one in timely.items()
        if not (one.request.is_test or (decisions.get(pk) and one.outcome.is_operators_fault))
    )()


def _attempt_row(result: SendResult, decision: RetryDecision | None = None) -> AttemptRow:
    """Return the row of an attempt, with the decision about the next one."""
    return AttemptRow(
        delivery_id=result.request.delivery_id,
        number=result.request.number,
        charged=decision is None or decision.charged,
        started_at=result.started_at,
        duration_ms=round(result.seconds * 1000),
        status_code=result.status,
        error_class=result.outcome.error_class or "",
        message=result.outcome.message[:MESSAGE_LIMIT],
        response_headers=result.headers,
        response_body=result.body,
        next_delay=None if decision is None else decision.delay,
        delay_reason="" if decision is None else decision.reason.value,
        timing=result.timing.as_text(),
        request=result.request.endpoint.outline,
    )


def _counted(result: SendResult, decision: RetryDecision | None = None) -> CountedAttempt:
    """Return what an attempt adds to the totals of its webhook."""
    failed = AttemptResult.RETRIED if decision else AttemptResult.GIVEN_UP
    answered = result.status is not None or result.outcome.timed_out
    expected_at = result.request.expected_at
    return CountedAttempt(
        webhook_id=result.request.webhook_id,
        started_at=result.started_at,
        result=AttemptResult.DELIVERED if result.outcome.success else failed,
        duration_ms=round(result.seconds * 1000) if answered else None,
        lag_ms=None if expected_at is None else max(0, round((result.started_at - expected_at).total_seconds() * 1000)),
    )


def _final_status(result: SendResult) -> DeliveryStatus:
    """Return the status of a delivery whose last result this is."""
    if result.outcome.success:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.FAILED if result.outcome.permanent else DeliveryStatus.EXHAUSTED


def _report(results: Iterable[SendResult], decisions: Decisions) -> None:
    """Log these results, which are not late, and send their signals. A delivery without a decision is finished."""
    recorded, finished = signals.attempt_recorded, signals.delivery_finished
    if not (logger.isEnabledFor(logging.INFO) or recorded.has_listeners(Delivery) or finished.has_listeners(Delivery)):
        return
    for result in results:
        request, decision = result.request, decisions.get(result.request.delivery_id)
        ids = {"delivery_id": request.delivery_id, "event_id": request.event_id, "webhook_id": request.webhook_id}
        values = {
            "number": request.number,
            "started_at": result.started_at,
            "seconds": result.seconds,
            "status_code": result.status,
            "error_class": result.outcome.error_class or "",
            "next_delay": None if decision is None else decision.delay,
        }
        logger.info(
            "attempt event=%(event_id)s delivery=%(delivery_id)s webhook=%(webhook_id)s number=%(number)s "
            "status=%(status_code)s error=%(error_class)s seconds=%(seconds).3f next=%(next_delay)s",
            {**ids, **values},
        )
        recorded.send_robust(Delivery, **ids, **values)
        if decision is None:
            finished.send_robust(Delivery, **ids, status=_final_status(result).value)
