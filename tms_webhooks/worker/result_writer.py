"""Every statement that writes results, each with its index, and the functions that run them.

`write_successes` writes plain successes, which nearly all results are, in as short a write as the database allows. The
others are decided on in `tms_webhooks.worker.results`. The indexes are those of the models' ``Meta``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from tms_webhooks.models.delivery import DELIVERED, EVENT_UID
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.total import CountedAttempt

# The deliveries that a worker still holds, locked, with the number of their attempts and their events. By key.
LOCK_HELD = f"""
SELECT id, attempts, {EVENT_UID} FROM {{delivery}}
WHERE id IN ({{ids}}) AND status = 'in_flight' AND lease = %s {{lock}}"""  # noqa: S608 (names of ours)

# The events of deliveries. By key.
EVENTS_OF = f"SELECT id, {EVENT_UID} FROM {{delivery}} WHERE id IN ({{ids}})"  # noqa: S608 (names of ours)

# Note the success of webhooks that have not failed. One that has failed is judged on its own: it may have recovered. By
# key.
SET_SUCCEEDED_AT = "UPDATE {webhookstate} SET succeeded_at = %s WHERE webhook_id IN ({ids}) AND failures = 0"

# Write the failures of one kind, each with its own time of the next attempt. After an extra attempt, a delivery has its
# own priority again (set first: MariaDB assigns from left to right). By key.
WRITE_FAILURES = """
UPDATE {delivery} SET status = %(status)s, due_at = {due_at}, finished_at = %(finished_at)s, lease = '',
    attempts = attempts + 1, charged = charged + {charged}, error_class = %(error_class)s,
    priority = COALESCE(resume_priority, priority), resume_priority = NULL
WHERE id IN ({ids}) AND status = 'in_flight' AND lease = %(token)s"""

# A whole batch of successes in one round trip, for PostgreSQL: webhooks, deliveries, totals and attempts, or nothing at
# all. By keys; the totals by tms_total_once.
RECORD_SUCCESSES = """
WITH line AS MATERIALIZED ({lines}),
healthy AS (
    SELECT webhook_id FROM {webhookstate} WHERE webhook_id = ANY(%(webhooks)s::bigint[]) AND failures = 0
    ORDER BY webhook_id FOR UPDATE),
held AS (
    SELECT d.id FROM {delivery} d JOIN line ON line.delivery_id = d.id
    JOIN unnest(%(ids)s::bigint[], %(uids)s::uuid[]) AS sent (id, uid) ON sent.id = d.id
    WHERE d.id = ANY(%(ids)s::bigint[]) AND d.status = 'in_flight' AND d.lease = %(token)s
        AND d.attempts = line.number - 1 AND (SELECT e.uid FROM {event} e WHERE e.id = d.event_id) = sent.uid
        AND (SELECT COUNT(*) FROM healthy) = cardinality(%(webhooks)s::bigint[])
    FOR UPDATE OF d),
plain AS MATERIALIZED (SELECT COUNT(*) = cardinality(%(ids)s::bigint[]) AS yes FROM held),
succeeded AS (
    UPDATE {webhookstate} SET succeeded_at = %(now)s
    WHERE webhook_id = ANY(%(webhooks)s::bigint[]) AND (SELECT yes FROM plain)),
delivered AS (
    UPDATE {delivery} SET {delivered}
    WHERE id = ANY(%(ids)s::bigint[]) AND (SELECT yes FROM plain)),
added AS ({totals})
INSERT INTO {deliveryattempt} ({columns})
SELECT {columns} FROM line WHERE (SELECT yes FROM plain)"""

# The rows of RECORD_SUCCESSES that the totals are increased by.
TOTALS_IF_PLAIN = "{rows} WHERE (SELECT yes FROM plain)"


class FailedDelivery(NamedTuple):
    """What a failed attempt makes of a delivery; ``due_at`` is the time of the next attempt, None without one."""

    pk: int
    due_at: datetime | None
    status: DeliveryStatus
    error_class: str
    is_charged: bool


class _NotPlainError(Exception):
    """A delivery is no longer held, or a webhook has failed before; nothing is written then."""


def write_successes(results: Sequence[SendResult], *, token: str, now: datetime) -> Sequence[SendResult]:
    """Write the results of those webhooks that had nothing but successes; return them.

    Either all of these, or none: where ``token`` has lost one of the deliveries, or one of the webhooks has failed
    before. Then, and for all other results, use `results.record`.
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


def lock_held(results: Sequence[SendResult], *, token: str) -> dict[tuple[int, str], int]:
    """Lock the deliveries of these results that ``token`` still holds; return the attempts of each.

    The keys are those of the delivery and the public id of its event. A database that crashed may have lost a delivery,
    and given its key to that of another event.
    """
    keys = numbers(result.request.delivery_id for result in results)
    rows = read(LOCK_HELD, [token], ids=keys, lock=for_update())
    return {(pk, PUBLIC_PREFIX + uid): attempts for pk, attempts, uid in rows if uid is not None}


def of_known_events(results: Sequence[SendResult]) -> list[SendResult]:
    """Keep the results whose delivery exists, and is still that of the event that was sent."""
    if not results:
        return []
    rows = read(EVENTS_OF, ids=numbers(result.request.delivery_id for result in results))
    known = {(pk, PUBLIC_PREFIX + uid) for pk, uid in rows if uid is not None}
    return [result for result in results if (result.request.delivery_id, result.request.event_id) in known]


def write_failures(failed: Iterable[FailedDelivery], *, token: str, now: datetime) -> None:
    """Write these failures, as far as ``token`` holds their deliveries: one statement for each kind of failure."""
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
            "token": token,
        }
        write(
            WRITE_FAILURES,
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
            if write(SET_SUCCEEDED_AT, [moment(now)], ids=numbers(sorted(webhooks))) != len(webhooks):
                raise _NotPlainError
            for number, events in by_number.items():
                written = Delivery.objects.mark_sent_delivered(events, token=token, now=now, attempts=number - 1)
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
        RECORD_SUCCESSES,
        lines=attempt.json_rows().replace("%s", "%(lines)s"),
        totals=total.addition_of(TOTALS_IF_PLAIN.format(rows=sums)),
        delivered=DELIVERED.format(now="%(now)s"),
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
