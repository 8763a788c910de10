"""Writing down the attempts that went well, which is nearly all of them, in as short a write as the database allows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cache

from django.db import DatabaseError, InterfaceError, OperationalError

from tms_webhooks.db.sql import array, database, filled, moment, numbers, write, write_prepared
from tms_webhooks.db.writer import brief_write
from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, attempt, total
from tms_webhooks.models.attempt import AttemptRow
from tms_webhooks.models.delivery import DELIVERED
from tms_webhooks.worker.results import attempt_row, counted, record, report

# A webhook that has failed before is looked at one by one: it may have recovered, or not be worth a word.
SUCCEEDED = "UPDATE {webhook} SET succeeded_at = %s WHERE id IN ({ids}) AND failures = 0 AND notified_at IS NULL"

# All of it in one round trip, for PostgreSQL: everything or nothing.
RECORD_SUCCESSES = """
WITH line AS MATERIALIZED ({lines}),
well AS (
    SELECT id FROM {webhook} WHERE id = ANY(%(webhooks)s::bigint[]) AND failures = 0 AND notified_at IS NULL
    ORDER BY id FOR UPDATE),
held AS (
    SELECT d.id FROM {delivery} d JOIN line ON line.delivery_id = d.id
    WHERE d.id = ANY(%(ids)s::bigint[]) AND d.status = 'in_flight' AND d.lease = %(token)s
        AND d.attempts = line.number - 1 AND (SELECT COUNT(*) FROM well) = cardinality(%(webhooks)s::bigint[])
    FOR UPDATE OF d),
fine AS MATERIALIZED (SELECT COUNT(*) = cardinality(%(ids)s::bigint[]) AS so FROM held),
succeeded AS (
    UPDATE {webhook} SET succeeded_at = %(now)s WHERE id = ANY(%(webhooks)s::bigint[]) AND (SELECT so FROM fine)),
delivered AS (
    UPDATE {delivery} SET {delivered}
    WHERE id = ANY(%(ids)s::bigint[]) AND (SELECT so FROM fine)),
added AS ({totals})
INSERT INTO {deliveryattempt} ({columns})
SELECT {columns} FROM line WHERE (SELECT so FROM fine)"""


class _NotPlainError(Exception):
    """Something is not as it is nearly always; nothing is written then."""


def write_successes(results: Sequence[SendResult], *, token: str, now: datetime) -> Sequence[SendResult]:
    """Write down those of these results whose webhooks had nothing but successes; return them.

    All of them or none. None where ``token`` has lost one of the deliveries, or a webhook has failures to forget:
    that is for `results.record`, as is everything else.
    """
    chosen = _plain_successes(results)
    if not chosen:
        return ()
    if database().vendor == "postgresql":
        written = _write_in_one_statement(chosen, token=token, now=now)
    else:
        written = _write(chosen, token=token, now=now)
    if not written:
        return ()
    report(chosen, {})
    return chosen


def _plain_successes(results: Sequence[SendResult]) -> list[SendResult]:
    # What is resent by hand says nothing of a webhook's health, which is not moved then.
    odd = {one.outgoing.webhook_id for one in results if may_stop_webhook(one) or one.outgoing.single}
    chosen = [one for one in results if one.outgoing.webhook_id not in odd]
    return chosen if len({one.outgoing.delivery_id for one in chosen}) == len(chosen) else []


def _write(results: Sequence[SendResult], *, token: str, now: datetime) -> bool:
    webhooks = {one.outgoing.webhook_id for one in results}
    by_number: dict[int, list[int]] = defaultdict(list)
    for one in results:
        by_number[one.outgoing.number].append(one.outgoing.delivery_id)
    insert = DeliveryAttempt.objects.insertion(_attempt_rows(results))
    add = DeliveryTotal.objects.addition(counted(one, None) for one in results)
    try:
        with brief_write():
            if write(SUCCEEDED, [moment(now)], ids=numbers(sorted(webhooks))) != len(webhooks):
                raise _NotPlainError
            for number, ids in by_number.items():
                if Delivery.objects.mark_delivered(ids, token=token, now=now, attempts=number - 1) != len(ids):
                    raise _NotPlainError
            insert()
            add()
    except _NotPlainError:
        return False
    return True


def _write_in_one_statement(results: Sequence[SendResult], *, token: str, now: datetime) -> bool:
    params = {
        "lines": attempt.json_of(_attempt_rows(results)),
        "totals": total.json_of(total.increments_of(counted(one, None) for one in results)),
        "webhooks": array({one.outgoing.webhook_id for one in results}),
        "ids": array(one.outgoing.delivery_id for one in results),
        "token": token,
        "now": now,
    }
    return write_prepared(_statement(), params) == len(results)


@cache
def _statement() -> str:
    sums = total.json_rows().replace("%s", "%(totals)s")
    return filled(
        RECORD_SUCCESSES,
        lines=attempt.json_rows().replace("%s", "%(lines)s"),
        totals=total.addition_of(f"{sums} WHERE (SELECT so FROM fine)"),  # noqa: S608 (names of ours)
        delivered=DELIVERED.format(now="%(now)s"),
        columns=attempt.COLUMNS,
    )


def _attempt_rows(results: Sequence[SendResult]) -> list[AttemptRow]:
    return [attempt_row(one, None, late=False) for one in results]


# What may be otherwise in a moment: the database is away, or somebody else holds a lock.
PASSING = (OperationalError, InterfaceError)

logger = logging.getLogger(__name__)


class PendingResults:
    """Keeps results until they are written down. If that fails, the write is tried again, never the request.

    One that the database refuses for good must not hold up the others for ever: after a refusal they are written one by
    one, and that one without the texts that its receiver wrote.
    """

    def __init__(self, *, token: str, clock: Callable[[], datetime], dice: Callable[[], float]) -> None:
        self._token = token
        self._clock = clock
        self._dice = dice
        self._results: list[SendResult] = []
        self._one_by_one = False
        self.holds_up = False
        """Whether a webhook gets no more before one of them is written down."""

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: SendResult) -> None:
        """Keep one more."""
        self._results.append(result)
        self.holds_up = self.holds_up or may_stop_webhook(result)

    def write(self) -> tuple[Sequence[SendResult], Collection[int]]:
        """Write down what there is; return the results that are done with, and the webhooks not to send to now.

        Raises ``OperationalError`` or ``InterfaceError`` where trying again can help; everything is kept then.
        """
        batch = self._results[:1] if self._one_by_one else list(self._results)
        stopped: Collection[int] = ()
        try:
            done = write_successes(batch, token=self._token, now=self._clock())
            # Those that are left are for the next time, so that what was written is never written again.
            if not done:
                done, stopped = batch, record(batch, token=self._token, now=self._clock(), random=self._dice)
        except PASSING:
            raise
        except DatabaseError:
            return self._refused(batch), ()
        self._let_go(done)
        return done, stopped

    def _refused(self, batch: Sequence[SendResult]) -> Sequence[SendResult]:
        """Make the next write a smaller one; return what can't be made any smaller, and is given up."""
        logger.exception("The database refused %s results for good, from %r on.", len(batch), batch[0].outgoing)  # noqa: LOG004 (called where it is caught)
        if len(batch) > 1:
            self._one_by_one = True
            return ()
        bare = batch[0].without_texts()
        if bare != batch[0]:
            self._results[0] = bare
            return ()
        # Its lease ends with the drain, and it is sent again.
        self._let_go(batch)
        return batch

    def _let_go(self, batch: Sequence[SendResult]) -> None:
        gone = set(map(id, batch))
        self._results = [result for result in self._results if id(result) not in gone]
        self._one_by_one = self._one_by_one and bool(self._results)
        self.holds_up = any(map(may_stop_webhook, self._results))
