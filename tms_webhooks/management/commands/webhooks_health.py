"""``manage.py webhooks_health``: does anybody deliver?"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError
from django.utils import timezone

from tms_webhooks.delivery import liveness
from tms_webhooks.delivery.liveness import Level, Signs, Verdict
from tms_webhooks.management.arguments import seconds as number_of_seconds
from tms_webhooks.queues import get_queue

MAX_LAG = 120.0


class Command(BaseCommand):
    """Tell by the exit status, and in words."""

    help = (
        "Check that webhooks are delivered. Exit status 0: all is well. 1: something is late, or will be. 2: "
        "something is late and no worker delivers, also if a cluster runs but hangs; or the database does not "
        "answer. Deliveries of a paused or ordered webhook that must wait are not late."
    )
    # A monitor calls it every minute: what the checks say was said at the start of the workers.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--max-lag",
            type=number_of_seconds,
            default=MAX_LAG,
            metavar="SECONDS",
            help=f"time after which a due delivery is late; default: {MAX_LAG:g}",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print all figures as one JSON object")

    def handle(self, *, max_lag: float, as_json: bool, **_options: Any) -> None:
        """Judge, say it, and exit with the level."""
        try:
            found, verdict = examine(max_lag=max_lag)
        except DatabaseError as error:
            found = None
            reason = (
                f"The database does not answer ({type(error).__name__}). See that it runs, and that migrate was run."
            )
            verdict = Verdict(Level.STANDING_STILL, (reason,))
        if as_json:
            self.stdout.write(
                json.dumps(
                    {
                        "status": int(verdict.level),
                        "level": verdict.level.name.lower(),
                        "reasons": verdict.reasons,
                        "signs": None if found is None else asdict(found),
                    }
                )
            )
        else:
            self.stdout.write(in_words(found, verdict))
        sys.exit(verdict.level)


def examine(*, max_lag: float) -> tuple[Signs, Verdict]:
    """Read the signs of life, and judge them."""
    now, queue = timezone.now(), get_queue()
    found = liveness.signs(now=now)
    overdue = queue.overdue(now - timedelta(seconds=liveness.CHAIN_PATIENCE))
    return found, liveness.judge(found, max_lag=max_lag, chains=queue.keeps_drains, overdue=overdue)


def in_words(found: Signs | None, verdict: Verdict) -> str:
    """Return a line for each reason, or one that says that there is none."""
    if verdict.reasons or found is None:
        return "\n".join(f"{verdict.level.name.replace('_', ' ')}: {reason}" for reason in verdict.reasons)
    waits = found.backlog
    return (
        f"WELL: nothing is late. {waits.deliveries} deliveries open, {waits.events} events to fan out, "
        f"{found.drains} drains in their slots."
    )
