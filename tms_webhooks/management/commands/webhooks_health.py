"""``manage.py webhooks_health``: report whether webhooks are delivered."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.db import Error as DatabaseFailure

from tms_webhooks.db import clock
from tms_webhooks.management.arguments import seconds as number_of_seconds
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import SILENT_DATABASE, BoundedCommand, missing_migrations
from tms_webhooks.monitoring import liveness
from tms_webhooks.monitoring.liveness import MAX_LAG, HealthLevel, HealthProblem, HealthReport, Liveness
from tms_webhooks.queues import get_queue


class Command(BoundedCommand):
    """Print a report; the exit status is its level."""

    help = (
        "Check that webhooks are delivered. Exit status 2: act now, because nothing is sent. The reason is the workers, even "
        "if a cluster runs but hangs, or the database, the egress proxy or a missing encryption key. 1: act within the "
        "day. Deliveries of several organizations or new events are late, or a periodic job did not run. 0: all else, such "
        "as a slow or dead receiver. It ends within 10 s, whatever hangs. With --restart-hint, the exit status only says whether to restart the "
        "workers."
    )
    # A monitor calls it every minute; the workers ran the checks when they started.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--max-lag",
            type=number_of_seconds,
            default=MAX_LAG,
            metavar="SECONDS",
            help=f"time after which a due delivery is late; default: {MAX_LAG:g}",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", dest="as_json", help="print all figures as one JSON object")
        form.add_argument(
            "--restart-hint",
            action="store_true",
            help="for a supervisor or a container's health check: print one line. Exit status 1: restart the workers, "
            "because for --max-lag seconds no drain has run, or a delivery is late and no worker delivers. 0: do "
            "not restart them, also if the database does not answer",
        )

    def handle(self, *, max_lag: float, as_json: bool, restart_hint: bool, **_options: Any) -> None:
        """Print the report, and exit with its level."""

        def without_answer(problem: str) -> tuple[int, str]:
            if restart_hint:
                return 0, f"OK: a restart of the workers would not help. {problem}"
            return shown(None, HealthReport((HealthProblem(HealthLevel.STOPPED, problem),)), as_json=as_json)

        def report_silence() -> int:
            status, text = without_answer(SILENT_DATABASE)
            self.stdout.write(text)
            return status

        with self.deadline(report_silence):
            try:
                if restart_hint:
                    reason = reason_to_restart(max_lag=max_lag)
                    text = f"RESTART: {reason}" if reason else "OK: no reason to restart the workers."
                    status = int(bool(reason))
                else:
                    status, text = shown(*liveness.examine(max_lag=max_lag), as_json=as_json)
            except DatabaseFailure as error:
                status, text = without_answer(database_problem(error))
        self.stdout.write(text)
        sys.exit(status)


def shown(found: Liveness | None, report: HealthReport, *, as_json: bool) -> tuple[int, str]:
    """Return the exit status and the text of a report, whose figures are None if they could not be read."""
    if not as_json:
        return report.level, in_words(found, report)
    facts = {
        "status": int(report.level),
        "level": report.level.name.lower(),
        "reasons": [problem.reason for problem in report.problems],
        "liveness": None if found is None else asdict(found),
    }
    return report.level, json.dumps(facts)


def database_problem(error: DatabaseFailure) -> str:
    """Return that the database does not answer or lacks migrations, and the remedy."""
    absent = f"The database does not answer ({type(error).__name__}). Make sure that it runs and that migrate was run."
    return missing_migrations() or absent


def reason_to_restart(*, max_lag: float) -> str:
    """Return why the workers have to be restarted; empty if a restart would not help."""
    found = liveness.read_liveness(now=clock.measured_now())
    return liveness.restart_reason(found, max_lag=max_lag, keeps_drains=get_queue().keeps_drains)


def in_words(found: Liveness | None, report: HealthReport) -> str:
    """Return a line for each reason, or one line if nothing is late."""
    if report.problems or found is None:
        return "\n".join(f"{problem.level.name}: {problem.reason}" for problem in report.problems)
    backlog = found.backlog
    return (
        f"OK: nothing is late. {counted(backlog.deliveries, 'delivery', 'deliveries')} open, "
        f"{counted(backlog.events, 'event')} to fan out, {counted(found.drains, 'drain')} running."
    )
