"""Writing down the attempts that went well, which is nearly all of them, in as short a write as the database allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from tms_webhooks.delivery.log_lines import counted, line_of
from tms_webhooks.delivery.outgoing import Result, needs_a_look
from tms_webhooks.delivery.telling import tell
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, attempt, total
from tms_webhooks.models.attempt import AttemptLine
from tms_webhooks.models.delivery import DELIVERED
from tms_webhooks.models.statements import array, database, filled, moment, numbers, write, write_prepared
from tms_webhooks.models.writer import brief_write

# A webhook that has failed before is looked at one by one: it may have recovered, or not be worth a word.
SUCCEEDED = "UPDATE {webhook} SET succeeded_at = %s WHERE id IN ({ids}) AND failures = 0 AND notified_at IS NULL"

# All of it in one round trip, for PostgreSQL: everything or nothing.
AT_ONCE = """
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


class _OtherwiseError(Exception):
    """Something is not as it is nearly always; nothing is written then."""


def write_successes(results: Sequence[Result], *, token: str, now: datetime) -> Sequence[Result]:
    """Write down those of these results whose webhooks had nothing but successes; return them.

    All of them or none. None where ``token`` has lost one of the deliveries, or a webhook has failures to forget:
    that is for `results.record`, as is everything else.
    """
    chosen = _smooth(results)
    if not chosen:
        return ()
    if database().vendor == "postgresql":
        written = _write_at_once(chosen, token=token, now=now)
    else:
        written = _write(chosen, token=token, now=now)
    if not written:
        return ()
    tell(chosen, {})
    return chosen


def _smooth(results: Sequence[Result]) -> list[Result]:
    # What is resent by hand says nothing of a webhook's health, which is not moved then.
    odd = {one.parcel.webhook_id for one in results if needs_a_look(one) or one.parcel.single}
    chosen = [one for one in results if one.parcel.webhook_id not in odd]
    return chosen if len({one.parcel.delivery_id for one in chosen}) == len(chosen) else []


def _write(results: Sequence[Result], *, token: str, now: datetime) -> bool:
    webhooks = {one.parcel.webhook_id for one in results}
    by_number: dict[int, list[int]] = defaultdict(list)
    for one in results:
        by_number[one.parcel.number].append(one.parcel.delivery_id)
    insert = DeliveryAttempt.objects.insertion(_lines(results))
    add = DeliveryTotal.objects.addition(counted(one, None) for one in results)
    try:
        with brief_write():
            if write(SUCCEEDED, [moment(now)], ids=numbers(sorted(webhooks))) != len(webhooks):
                raise _OtherwiseError
            for number, ids in by_number.items():
                if Delivery.objects.mark_delivered(ids, token=token, now=now, attempts=number - 1) != len(ids):
                    raise _OtherwiseError
            insert()
            add()
    except _OtherwiseError:
        return False
    return True


def _write_at_once(results: Sequence[Result], *, token: str, now: datetime) -> bool:
    params = {
        "lines": attempt.json_of(_lines(results)),
        "totals": total.json_of(total.summed(counted(one, None) for one in results)),
        "webhooks": array({one.parcel.webhook_id for one in results}),
        "ids": array(one.parcel.delivery_id for one in results),
        "token": token,
        "now": now,
    }
    return write_prepared(_statement(), params) == len(results)


@cache
def _statement() -> str:
    sums = total.json_rows().replace("%s", "%(totals)s")
    return filled(
        AT_ONCE,
        lines=attempt.json_rows().replace("%s", "%(lines)s"),
        totals=total.addition_of(f"{sums} WHERE (SELECT so FROM fine)"),  # noqa: S608 (names of ours)
        delivered=DELIVERED.format(now="%(now)s"),
        columns=attempt.COLUMNS,
    )


def _lines(results: Sequence[Result]) -> list[AttemptLine]:
    return [line_of(one, None, late=False) for one in results]
