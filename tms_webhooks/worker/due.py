"""Read the webhooks that a drain holds, and their due deliveries: as many as their queues ask for."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tms_webhooks.db.django_private import column_of, converters_of
from tms_webhooks.db.sql import array, columns_of, database, filled, instances, moment, numbers, read, read_prepared
from tms_webhooks.delivery.outgoing import ClaimedDelivery
from tms_webhooks.models import Event, Webhook, WebhookSecret, WebhookState
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.worker import statements

# SQLite takes a union of 500 selects.
MAX_UNION = 400

SECRET: Any = WebhookSecret._meta.get_field("value")


class Quota(NamedTuple):
    """At most ``limit`` deliveries of one priority of a webhook; with ``in_order`` the first open one of each object.

    A ``priority`` of None stands for retries, of any priority but manual ones. Those ``held`` are left out, and those
    that came due before ``after``.
    """

    webhook_id: int
    priority: int | None
    limit: int
    in_order: bool
    held: Collection[int]
    after: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as a worker needs it: with its state, and its signing secrets, the newest first."""

    webhook: Webhook
    sealed: Sequence[Sealed] = ()


def held_webhooks(keys: Iterable[int], *, token: str, now: datetime) -> dict[int, WebhookRow]:
    """Return those of these webhooks that the holder of ``token`` has leased, by their keys."""
    params: dict[str, Any] = {"token": token, "now": moment(now)}
    if database().vendor == "postgresql":
        # One text for any keys, so that it is prepared: planning takes longer than reading.
        among, params["ids"] = "= ANY(%(ids)s::bigint[])", array(keys)
    else:
        among = f"IN ({numbers(keys)})"
    rows = read_prepared(
        statements.WEBHOOKS,
        params,
        columns=columns_of(Webhook, "w"),
        state=columns_of(WebhookState, "st"),
        among=among,
    )
    found: dict[int, WebhookRow] = {}
    # One row for each secret: they differ in it alone.
    for webhook_id, group in itertools.groupby(instances(Webhook, rows), lambda row: row[0].pk):
        webhooks, rests = zip(*group, strict=True)
        states, secrets = zip(*instances(WebhookState, rests), strict=True)
        webhooks[0].state = states[0]
        sealed = [Sealed(secret, SECRET.place(webhook_id)) for (secret,) in secrets if secret is not None]
        found[webhook_id] = WebhookRow(webhooks[0], sealed)
    return found


def due_within(quotas: Sequence[Quota], *, now: datetime) -> list[ClaimedDelivery]:
    """Return the deliveries that came due first within each quota, in the order of their priorities and times."""
    plain = [quota for quota in quotas if quota.priority is not None]
    found = []
    if database().vendor == "postgresql" and plain:
        params = {
            "webhooks": array(quota.webhook_id for quota in plain),
            "priorities": array(quota.priority for quota in plain),
            "after": array(quota.after or "-infinity" for quota in plain),
            "limits": array(quota.limit for quota in plain),
            "ordered": array(quota.in_order for quota in plain),
            "held": array({pk for quota in plain for pk in quota.held}),
            "now": now,
        }
        due = statements.WITHIN_QUOTAS.format(
            in_order=statements.IS_FIRST_OF_OBJECT, limit=max(quota.limit for quota in plain)
        )
        found += read(statements.DUE, params, due=filled(due))
        quotas = [quota for quota in quotas if quota.priority is None]
    for start in range(0, len(quotas), MAX_UNION):
        group = quotas[start : start + MAX_UNION]
        due = " UNION ALL ".join(_within(quota, f"after_{number}") for number, quota in enumerate(group))
        after = {f"after_{number}": moment(quota.after) for number, quota in enumerate(group) if quota.after}
        found += read(statements.DUE, {"now": moment(now), **after}, due=filled(due))
    return _claimed(found)


def next_due_at(*, token: str, now: datetime) -> tuple[datetime | None, bool]:
    """Return when something comes due, a webhook may receive again, or another drain's lease ends; None without that.

    The second value is whether another drain holds a webhook.
    """
    ((at, others),) = read(statements.NEXT_DUE, {"now": moment(now), "token": token})
    return None if at is None else _converted(at), others > 0


def _within(quota: Quota, after: str) -> str:
    is_mysql = database().vendor == "mysql"
    known = {
        "webhook_id": quota.webhook_id,
        "limit": quota.limit,
        "held": numbers(quota.held),
        "in_order": f"AND {statements.IS_FIRST_OF_OBJECT}" if quota.in_order else "",
    }
    if quota.priority is None:
        return statements.RETRIES_WITHIN_QUOTA.format(**known, index=statements.FORCE_RETRY_INDEX if is_mysql else "")
    return statements.WITHIN_QUOTA.format(
        **known,
        priority=quota.priority,
        after=f"AND d.due_at >= %({after})s" if quota.after else "",
        index=statements.FORCE_DUE_INDEX if is_mysql else "",
    )


def _claimed(rows: Iterable[Sequence[Any]]) -> list[ClaimedDelivery]:
    return [ClaimedDelivery._make((*values, _converted(at), _converted(due_at))) for *values, at, due_at in rows]


def _converted(value: Any) -> Any:
    """Return a time with its zone, which SQLite and MariaDB leave out."""
    connection = database()
    column = column_of(Event._meta.get_field("occurred_at"), Event)
    for convert in converters_of(column, connection):
        value = convert(value, column, connection)
    return value
