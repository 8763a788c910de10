"""``manage.py webhooks_health``: report whether webhooks are delivered, and the figures of each webhook."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from django.db import Error as DatabaseFailure

from tms_webhooks.choices import DISABLED_BY_USER
from tms_webhooks.db import clock
from tms_webhooks.management.base import (
    ANSWER_WITHIN,
    SILENT_DATABASE,
    WebhooksCommand,
    add_options,
    add_scope,
    key_of_organization,
    no_worker,
    stop_reason,
    webhook_of,
)
from tms_webhooks.management.base import seconds as number_of_seconds
from tms_webhooks.models import Webhook
from tms_webhooks.monitoring import liveness
from tms_webhooks.monitoring.figures import URGENCY, Stats, health_by_webhook, stats
from tms_webhooks.monitoring.liveness import MAX_LAG, HealthReport, Liveness, database_problem
from tms_webhooks.monitoring.words import counted, failures, health_figures
from tms_webhooks.queues import get_queue
from tms_webhooks.validators import shorten

T = TypeVar("T")
FIGURES_WITHIN = 3.0
"""Seconds, after the report."""
NOTHING = "-"
LONGEST_NAME = 30
UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))
COLUMNS = "{:>6}  {:30}  {:8}  {:>5}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}"


class Command(WebhooksCommand):
    """Print a report and the figures; the exit status is the level of the report."""

    help = (
        "Check that webhooks are delivered. Exit status 2: act now, because nothing is sent. The reason is the workers, even "
        "if a cluster runs but hangs, or the database, the egress proxy or a missing encryption key. 1: act within the "
        "day. Deliveries of several organizations or new events are late, an event is set aside, or a periodic job did not run. 0: all else, such "
        "as a slow or dead receiver. It ends within 10 s, whatever hangs. Figures follow: the backlog and the lag from an event "
        "to its first attempt. Each webhook has the attempts of the last 24 hours, the share that was "
        "delivered, and the response times. --json has those of 30 days, too. Hours and days are those of UTC. With --restart-hint, the exit status only says whether to restart the workers."
    )
    # A monitor calls it every minute; the workers ran the checks when they started.
    requires_system_checks = ()
    is_service = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_scope(parser)
        parser.add_argument(
            "--max-lag",
            type=number_of_seconds,
            default=MAX_LAG,
            metavar="SECONDS",
            help=f"time after which a due delivery is late; default: {MAX_LAG:g}",
        )
        form = parser.add_mutually_exclusive_group()
        add_options(form, "--json", help="print all figures as one JSON object")
        form.add_argument(
            "--restart-hint",
            action="store_true",
            help="for a supervisor or a container's health check: print one line, without figures. Exit status 1: restart "
            "the workers, because for --max-lag seconds no drain has run, or a delivery is late and no worker delivers. 0: "
            "do not restart them, also if the database does not answer",
        )

    def handle(
        self,
        *,
        webhook: str | None,
        organization: str | None,
        max_lag: float,
        restart_hint: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Print the report and the figures, and exit with the report's level; with --restart-hint, print the hint."""
        if restart_hint:
            keeps_drains = get_queue().keeps_drains
            reason = self.answer(
                lambda: liveness.restart_reason(
                    liveness.read_liveness(now=clock.measured_now()), max_lag=max_lag, keeps_drains=keeps_drains
                ),
                lambda problem: (0, f"OK: a restart of the workers would not help. {problem}"),
            )
            self.stdout.write(f"RESTART: {reason}" if reason else "OK: no reason to restart the workers.")
            sys.exit(int(bool(reason)))

        def stopped(problem: str) -> tuple[int, str]:
            return shown(None, HealthReport([problem]), as_json=as_json)

        def read_figures() -> tuple[Stats, Sequence[str]]:
            now, webhooks = clock.measured_now(), None
            if webhook is not None:
                webhooks = Webhook.objects.filter(pk=webhook_of(webhook).pk)
            elif organization is not None:
                webhooks = Webhook.objects.filter(organization=key_of_organization(organization))
            figures = stats(now=now, webhooks=webhooks)
            return figures, list(next_steps(figures, now=now))

        found, report = self.answer(lambda: liveness.examine(max_lag=max_lag), stopped)
        figures, steps = self.answer(
            read_figures,
            lambda problem: shown(found, report, None, [f"The figures are missing. {problem}"], as_json=as_json),
            within=FIGURES_WITHIN,
        )
        status, text = shown(found, report, figures, steps, as_json=as_json)
        self.stdout.write(text)
        sys.exit(status)

    def answer(
        self, read: Callable[[], T], lacking: Callable[[str], tuple[int, str]], *, within: float = ANSWER_WITHIN
    ) -> T:
        """Return the result of ``read``. If the database does not answer, print a text and exit; ``lacking`` returns status and text."""

        def end(problem: str) -> int:
            status, text = lacking(problem)
            self.stdout.write(text)
            return status

        with self.deadline(lambda: end(SILENT_DATABASE), within=within):
            try:
                return read()
            except DatabaseFailure as error:
                absent = f"The database does not answer ({type(error).__name__}). Make sure that it runs and that migrate was run."
                sys.exit(end(database_problem() or absent))


def shown(
    found: Liveness | None,
    report: HealthReport,
    figures: Stats | None = None,
    steps: Sequence[str] = (),
    *,
    as_json: bool,
) -> tuple[int, str]:
    """Return the exit status, and the report with the figures as JSON or for people."""
    level = report.level
    if as_json:
        facts = {
            "status": int(level),
            "level": level.name.lower(),
            "reasons": [*report.stopped, *report.late],
            "liveness": None if found is None else asdict(found),
            **(asdict(figures) if figures else {}),
        }
        return level, json.dumps(facts, default=str)
    lines = [f"STOPPED: {reason}" for reason in report.stopped] + [f"LATE: {reason}" for reason in report.late]
    if found is not None and not lines:
        waiting = counted(found.backlog.deliveries, "delivery", "deliveries")
        events, drains = counted(found.backlog.events, "event"), counted(found.drains, "drain")
        lines = [f"OK: nothing is late. {waiting} open, {events} to fan out, {drains} running."]
    parts = [lines, list(in_words(figures)) if figures else [], steps]
    return level, "\n\n".join("\n".join(part) for part in parts if part)


def in_words(found: Stats) -> Iterator[str]:
    """Yield the lines of the figures."""
    waits, lag = found.backlog, found.lag
    yield f"Deliveries open    {waits.deliveries}, {waits.leased} of them with a worker"
    yield f"Oldest due         {duration(waits.oldest_due_seconds)}"
    yield f"Events to fan out  {waits.events}, the oldest {duration(waits.oldest_event_seconds)}"
    yield f"First attempt      {duration(lag.p50)} p50, {duration(lag.p95)} p95 after the event ({lag.deliveries} in this hour and the last)"
    if waits.set_aside:
        yield f"Events set aside   {waits.set_aside}, the oldest {duration(waits.oldest_set_aside_seconds)}"
    if found.ownerless:
        yield f"No organization    {counted(found.ownerless, 'object')}, whose events wait for one"
    if not found.webhooks:
        return
    yield ""
    yield COLUMNS.format("id", "name", "health", "open", "due for", "24 h", "ok", "p50", "p95")
    for one in found.webhooks:
        name = shorten(one.name, longest=LONGEST_NAME)
        # Rounded down: 100 % means all of them.
        rate = NOTHING if one.day.success_rate is None else f"{int(one.day.success_rate * 1000) / 10:.1f} %"
        p50, p95 = (NOTHING if ms is None else f"{ms} ms" for ms in (one.day.p50_ms, one.day.p95_ms))
        figures = one.backlog, duration(one.due_seconds), one.day.attempts, rate, p50, p95
        yield COLUMNS.format(one.id, name, one.health.value, *figures)
    if found.left_out:
        yield f"and {found.left_out} more webhooks with older attempts; --webhook or --organization shows them."


def next_steps(found: Stats, *, now: datetime) -> Iterator[str]:
    """Yield a line for each webhook that needs attention, with the reason and the next step."""
    ill = [one for word in URGENCY for one in found.webhooks if one.health == word]
    rows = Webhook.objects.select_related("state").in_bulk([one.id for one in ill])
    health = health_by_webhook(rows.values(), now=now)
    for one in ill:
        row = rows.get(one.id)
        # A user has disabled the others, and asks for one of them at most. A webhook may have been deleted since.
        if row and (len(found.webhooks) == 1 or row.enabled or row.disabled_reason not in DISABLED_BY_USER):
            failed = failures(row.state) if row.state.failures else ""
            attempts = f"The attempts: webhooks_tail --webhook {one.id}"
            stop = stop_reason(row, now) or filter(None, (failed, health_figures(health[one.id]), attempts))
            yield f"webhook {one.id} {one.name!r}: {' '.join(stop)}"
    if (found.backlog.deliveries or found.backlog.events) and (note := no_worker(now)):
        yield note


def duration(seconds: float | None) -> str:
    """Return a duration with a unit, rounded to about two digits; a dash for none."""
    if seconds is None:
        return NOTHING
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    if seconds >= 1:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms"
