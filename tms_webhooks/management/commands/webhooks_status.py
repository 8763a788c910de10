"""``manage.py webhooks_status``: print the backlog, the lag and the attempts of each webhook."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tms_webhooks.choices import DISABLED_BY_USER
from tms_webhooks.db import clock
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.lookups import key_of_organization, webhook_of
from tms_webhooks.management.undelivered import MOST, duration, failures_in_a_row, no_worker, stop_reason
from tms_webhooks.models import Webhook
from tms_webhooks.models.webhook import HEAVY_COLUMNS
from tms_webhooks.monitoring.health import URGENCY
from tms_webhooks.monitoring.history import AttemptStats
from tms_webhooks.monitoring.liveness import proxy_failures, proxy_reason
from tms_webhooks.monitoring.stats import Stats, WebhookStats, stats

NOTHING = "-"
LONGEST_NAME = 30
STOPPED = ("paused", "held")
HEADINGS = ("id", "name", "health", "open", "due for", "24 h", "ok", "p50", "p95", "30 days", "ok", "p50", "p95")
TEXT_COLUMNS = frozenset({1, 2})
"""Columns that are aligned left; the others hold numbers and are aligned right."""


class Command(DatabaseCommand):
    """Print the numbers as a table or as JSON."""

    help = (
        "Show the backlog, the lag from an event to its first attempt, and figures of each webhook. These are the number "
        "of attempts in the last 24 hours and 30 days, the share that was delivered, and the response times. Hours and days "
        "are those of UTC, and include the current one. Response times and lags are estimated from counts by range. Webhooks "
        "that need attention are named with the reason and the next step."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--webhook", type=row_id, metavar="ID", help="one webhook only")
        which.add_argument("--organization", metavar="ID", help="the webhooks of one organization only")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, webhook: str | None, organization: str | None, as_json: bool, **_options: Any) -> None:
        """Read the figures and print them."""
        now = clock.measured_now()
        found = stats(
            now=now,
            organization=None if organization is None else key_of_organization(organization),
            webhook=None if webhook is None else webhook_of(webhook),
        )
        # Keys of organizations may be UUIDs.
        if as_json:
            self.stdout.write(json.dumps(asdict(found), default=str))
            return
        steps = list(next_steps(found, now=now))
        self.stdout.write("\n".join([*report(found), *(["", *steps] if steps else [])]))


def report(found: Stats) -> Iterator[str]:
    """Yield the lines of the printed report."""
    waits, lag = found.backlog, found.lag
    yield f"Deliveries open    {waits.deliveries}, {waits.in_flight} of them in flight"
    yield f"Oldest due         {ago(waits.oldest_due_seconds)}"
    yield f"Events to fan out  {waits.events}, the oldest {ago(waits.oldest_event_seconds)}"
    yield f"First attempt      {ago(lag.p50)} p50, {ago(lag.p95)} p95 after the event ({lag.deliveries} in this hour and the last)"
    if found.ownerless:
        yield f"No organization    {counted(found.ownerless, 'object')}, whose events wait for one"
    if not found.webhooks:
        return
    yield ""
    yield from table([HEADINGS, *(line(webhook) for webhook in found.webhooks)])
    if found.left_out:
        yield f"and {found.left_out} more webhooks with older attempts; --webhook or --organization shows them."
    for webhook in found.webhooks:
        if len(found.webhooks) == 1:
            yield ""
            day = webhook.day
            yield f"Attempts in 24 h: {day.delivered} delivered, {day.retried} failed and retried, {day.given_up} given up"


def next_steps(found: Stats, *, now: datetime) -> Iterator[str]:
    """Yield a line for each webhook that needs attention, with the reason and the next step.

    Lines for an egress proxy that fails and for missing workers follow.
    """
    ill = [one for one in found.webhooks if one.health in URGENCY or one.state in STOPPED]
    rows = Webhook.objects.defer(*HEAVY_COLUMNS).in_bulk([one.id for one in ill])
    # A user has disabled the others, and asks for one of them at most. A webhook may have been deleted since.
    is_one = len(found.webhooks) == 1
    named = [one for one in ill if one.id in rows and (is_one or not _is_disabled_by_user(rows[one.id]))]
    for one in named[:MOST]:
        reason, remedy = stop_reason(rows[one.id], now) or failure_reason(rows[one.id], one.day)
        yield f"webhook {one.id} {one.name!r}: {reason}. {remedy}"
    if len(named) > MOST:
        yield f"{counted(len(named) - MOST, 'more webhook needs', 'more webhooks need')} attention."
    if reason := proxy_reason(proxy_failures(now=now)):
        yield reason
    if note := no_worker(now) if found.backlog.deliveries or found.backlog.events else "":
        yield note


def _is_disabled_by_user(webhook: Webhook) -> bool:
    return not webhook.enabled and webhook.disabled_reason in DISABLED_BY_USER


def failure_reason(webhook: Webhook, day: AttemptStats) -> tuple[str, str]:
    """Return why a webhook that gets requests is not healthy, and the next step."""
    retried = counted(day.retried, "attempt failed and was retried", "attempts failed and were retried")
    given_up = counted(day.given_up, "delivery was given up", "deliveries were given up")
    counts = f"in 24 h, {retried}, and {given_up}"
    if webhook.failures:
        counts = f"{failures_in_a_row(webhook)}; {counts}"
    return counts, f"The attempts: webhooks_tail --webhook {webhook.pk}"


def line(webhook: WebhookStats) -> tuple[str, ...]:
    """Return the cells of one webhook."""
    name = webhook.name if len(webhook.name) <= LONGEST_NAME else webhook.name[: LONGEST_NAME - 1] + "…"
    return (
        str(webhook.id),
        name,
        webhook.health.value,
        str(webhook.backlog),
        ago(webhook.due_seconds),
        *cells_of(webhook.day),
        *cells_of(webhook.month),
    )


def cells_of(found: AttemptStats) -> tuple[str, str, str, str]:
    """Return the cells of one period."""
    # Rounded down: 100 % means all of them.
    rate = NOTHING if found.success_rate is None else f"{int(found.success_rate * 1000) / 10:.1f} %"
    p50, p95 = (NOTHING if value is None else f"{value} ms" for value in (found.p50_ms, found.p95_ms))
    return str(found.attempts), rate, p50, p95


def ago(seconds: float | None) -> str:
    """Return a duration with a unit, or a dash for none."""
    return NOTHING if seconds is None else duration(seconds)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if index in TEXT_COLUMNS else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
