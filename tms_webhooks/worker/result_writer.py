"""Write results, with the statements of `tms_webhooks.worker.statements`.

`write_successes` writes plain successes, which nearly all results are, in as short a write as the database allows. The
others are decided on in `tms_webhooks.worker.results`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

from tms_webhooks.choices import AttemptResult, DeliveryStatus
from tms_webhooks.db.sql import array, database, filled, for_update, moment, numbers, read, write, write_prepared
from tms_webhooks.db.writer import brief_write
from tms_webhooks.delivery.outcome import MESSAGE_LIMIT
from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.delivery.retry import RetryDecision
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, attempt, total
from tms_webhooks.models.attempt import AttemptRow
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.worker import statements


class FailedDelivery(NamedTuple):
    """What a failed attempt makes of a delivery; ``due_at`` is the time of the next attempt, None without one."""

    pk: int
    due_at: datetime | None
    status: DeliveryStatus
    error_class: str
    is_charged: bool


class _NotPlainError(Exception):
    """A webhook is no longer held or has failed before, or a delivery is finished; nothing is written then."""


def write_successes(results: Sequence[SendResult], *, token: str, now: datetime) -> Sequence[SendResult]:
    """Write the results of those webhooks that had nothing but successes; return them.

    Either all of these, or none: if one of the webhooks is lost or has failed before, or one of the deliveries was finished.
    Then, and for all other results, use `results.record`.
    """
    # A manual request does not affect the health of its webhook, which the short write would update.
    others = {one.request.webhook_id for one in results if may_stop_webhook(one) or one.request.is_manual}
    chosen = [one for one in results if one.request.webhook_id not in others]
    if not chosen or len({one.request.delivery_id for one in chosen}) < len(chosen):
        # A delivery with two results needs the other write, too.
        return ()
    if database().vendor == "postgresql":
        written = _write_in_one_statement(chosen, token=token, now=now)
    else:
        written = _write(chosen, token=token, now=now)
    return chosen if written else ()


def lock_held(webhooks: Iterable[int], *, token: str) -> set[int]:
    """Lock the states of those of these webhooks that the holder of ``token`` has leased; return their keys."""
    return {pk for (pk,) in read(statements.LOCK_HELD, [token], ids=numbers(webhooks), lock=for_update())}


def lock_sent(results: Sequence[SendResult]) -> dict[tuple[int, str], tuple[int, bool]]:
    """Lock the deliveries of these results; return the attempts of each, and whether it is open.

    The keys are those of the delivery and the public id of its event. A database that crashed may have lost a delivery,
    and given its key to that of another event.
    """
    rows = read(statements.LOCK_SENT, ids=numbers(result.request.delivery_id for result in results), lock=for_update())
    return {
        (pk, PUBLIC_PREFIX + uid): (attempts, bool(is_open)) for pk, attempts, is_open, uid in rows if uid is not None
    }


def of_known_events(results: Sequence[SendResult]) -> list[SendResult]:
    """Keep the results whose delivery exists, and is still that of the event that was sent.

    Those of an event that was erased since then lose what the receiver sent.
    """
    if not results:
        return []
    rows = read(statements.EVENTS_OF, ids=numbers(result.request.delivery_id for result in results))
    known = {(pk, PUBLIC_PREFIX + uid): is_kept for pk, uid, is_kept in rows if uid is not None}
    return [
        result if known[key] else replace(result, headers="", body="")
        for result in results
        if (key := (result.request.delivery_id, result.request.event_id)) in known
    ]


def write_failures(failed: Iterable[FailedDelivery], *, now: datetime) -> None:
    """Write these failures: one statement for each kind."""
    by_kind: dict[tuple[DeliveryStatus, str, bool], dict[int, datetime | None]] = defaultdict(dict)
    for one in failed:
        by_kind[one.status, one.error_class, one.is_charged][one.pk] = one.due_at
    for (status, error_class, is_charged), due_at in by_kind.items():
        is_finished = status != DeliveryStatus.WAITING
        moments = {f"due_{pk}": moment(at) for pk, at in due_at.items() if at is not None}
        cases = " ".join(f"WHEN {int(pk)} THEN %(due_{int(pk)})s" for pk in due_at)
        params = {
            "status": status.value,
            "finished_at": moment(now) if is_finished else None,
            "error_class": error_class,
        }
        write(
            statements.WRITE_FAILURES,
            params | moments,
            ids=numbers(due_at),
            due_at="NULL" if is_finished else f"CASE id {cases} END",
            charged=str(int(is_charged)),
        )


def write_attempts(
    results: Sequence[SendResult], decisions: Mapping[int, RetryDecision | None], *, late: Collection[SendResult]
) -> None:
    """Insert these attempts into the log, and add them to the totals.

    ``decisions`` say by delivery when the next attempt is; without one the delivery is finished. The totals leave out late
    attempts, tests, and failures of the operator's own machines that are tried again.
    """
    late_ids = set(map(id, late))
    by_result = [(result, decisions.get(result.request.delivery_id), id(result) in late_ids) for result in results]
    DeliveryAttempt.objects.write(
        [_attempt_row(result, decision, late=is_late) for result, decision, is_late in by_result]
    )
    DeliveryTotal.objects.add(
        _counted(result, decision)
        for result, decision, is_late in by_result
        if not (is_late or result.request.is_test or (decision and result.outcome.is_operators_fault))
    )


def _write(results: Sequence[SendResult], *, token: str, now: datetime) -> bool:
    """Write a batch of successes in one short transaction; return False, with nothing written, if it is not plain."""
    webhooks = {one.request.webhook_id for one in results}
    by_number: dict[int, dict[int, str]] = defaultdict(dict)
    for one in results:
        by_number[one.request.number][one.request.delivery_id] = one.request.event_id
    insert = DeliveryAttempt.objects.insertion(_success_rows(results))
    add = DeliveryTotal.objects.addition(_counted(one, None) for one in results)
    try:
        with brief_write():
            if write(statements.SET_SUCCEEDED_AT, [moment(now), token], ids=numbers(sorted(webhooks))) != len(webhooks):
                raise _NotPlainError
            for number, events in by_number.items():
                written = Delivery.objects.mark_sent_delivered(events, now=now, attempts=number - 1)
                if written != len(events):
                    raise _NotPlainError
            insert()
            add()
    except _NotPlainError:
        return False
    return True


def _write_in_one_statement(results: Sequence[SendResult], *, token: str, now: datetime) -> bool:
    params = {
        "lines": attempt.json_of(_success_rows(results)),
        "totals": total.json_of(total.increments_of(_counted(one, None) for one in results)),
        "webhooks": array({one.request.webhook_id for one in results}),
        "ids": array(one.request.delivery_id for one in results),
        "uids": array(one.request.event_id.removeprefix(PUBLIC_PREFIX) for one in results),
        "token": token,
        "now": now,
    }
    return write_prepared(_record_successes(), params) == len(results)


@cache
def _record_successes() -> str:
    sums = total.json_rows().replace("%s", "%(totals)s")
    return filled(
        statements.RECORD_SUCCESSES,
        lines=attempt.json_rows().replace("%s", "%(lines)s"),
        totals=total.addition_of(statements.TOTALS_IF_PLAIN.format(rows=sums)),
        columns=attempt.COLUMNS,
    )


def _success_rows(results: Sequence[SendResult]) -> list[AttemptRow]:
    return [_attempt_row(one, None, late=False) for one in results]


def _attempt_row(result: SendResult, decision: RetryDecision | None, *, late: bool) -> AttemptRow:
    """Return the row of an attempt, with the decision about the next one. A late attempt has no number."""
    decision = None if late else decision
    return AttemptRow(
        delivery_id=result.request.delivery_id,
        number=None if late else result.request.number,
        charged=not late and (decision is None or decision.charged),
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
    )


def _counted(result: SendResult, decision: RetryDecision | None) -> CountedAttempt:
    """Return what an attempt adds to the totals of its webhook."""
    kind = AttemptResult.DELIVERED if result.outcome.success else AttemptResult.RETRIED
    answered = result.status is not None or result.outcome.timed_out
    expected_at = result.request.expected_at
    lag = None if expected_at is None else (result.started_at - expected_at).total_seconds()
    return CountedAttempt(
        webhook_id=result.request.webhook_id,
        started_at=result.started_at,
        result=kind if result.outcome.success or decision is not None else AttemptResult.GIVEN_UP,
        duration_ms=round(result.seconds * 1000) if answered else None,
        lag_ms=None if lag is None else max(0, round(lag * 1000)),
    )
