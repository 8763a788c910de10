"""``manage.py webhooks_drain``: deliver webhooks in the foreground, without django-q2."""

from __future__ import annotations

import json
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from tms_webhooks.management.arguments import seconds as number_of_seconds
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.management.timer import ticking
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.queues import get_queue
from tms_webhooks.queues.periodic import periodic_jobs
from tms_webhooks.worker.drain import Drain

CONNECTIONS_CHECKED_EVERY = 60.0
"""Seconds."""


class Command(BaseCommand):
    """Run one drain in the foreground."""

    help = (
        "Deliver webhooks in the foreground until SIGTERM, SIGINT or SIGHUP. Then the drain starts no more requests, "
        "finishes those in flight and releases the rest. A second signal ends it immediately; its deliveries "
        "come due when their leases expire. It takes none of the slots that TMS_WEBHOOKS['DRAINS'] counts, so "
        "you can run several on any number of machines, also together with django-q2. Without django-q2, set "
        "TMS_WEBHOOKS['QUEUE'] to tms_webhooks.queues.silent.SilentQueue. The drain then also runs jobs, "
        "expiry scans, pruning and the sweep."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--seconds", type=number_of_seconds, help="end after this time")
        parser.add_argument("--until-idle", action="store_true", help="end when nothing is due")
        parser.add_argument(
            "--timer",
            action=BooleanOptionalAction,
            help="run jobs, expiry scans, pruning and the sweep; default: if the queue starts no drains, and never with "
            "--until-idle",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the results as one JSON object")

    def handle(
        self, *, seconds: float | None, until_idle: bool, timer: bool | None, as_json: bool, **_options: Any
    ) -> None:
        """Run the drain and print its numbers."""
        ticks = not until_idle and (not get_queue().keeps_drains if timer is None else timer)
        with stop_on_signal() as stop, ticking(periodic_jobs()) if ticks else nullcontext():
            drain = Drain(fan_out=on_fresh_connections(fan_out))
            tally = drain.run(seconds=seconds, stop=stop, until_idle=until_idle)
        if as_json:
            self.stdout.write(json.dumps(asdict(tally)))
        else:
            self.stdout.write(
                f"Events fanned out: {tally.events}. Requests sent: {tally.sent}, delivered: {tally.delivered}."
            )


def on_fresh_connections(
    fan_out_once: Callable[[datetime], int], *, clock: Callable[[], float] = monotonic
) -> Callable[[datetime], int]:
    """Return ``fan_out_once`` with a regular check that closes broken connections, and those older than CONN_MAX_AGE.

    Django does so at the end of a request and django-q2 before a task, but a command must do it itself. Not each time:
    with Django's default for CONN_MAX_AGE, 0, each check closes the connection.
    """
    checked_at = clock()

    def checked(now: datetime) -> int:
        nonlocal checked_at
        if clock() - checked_at >= CONNECTIONS_CHECKED_EVERY:
            checked_at = clock()
            close_old_connections()
        return fan_out_once(now)

    return checked
