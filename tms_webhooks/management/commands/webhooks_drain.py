"""``manage.py webhooks_drain``: deliver webhooks in the foreground, without a queue."""

from __future__ import annotations

import json
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import DatabaseError, close_old_connections

from tms_webhooks.db import clock
from tms_webhooks.management.arguments import seconds as number_of_seconds
from tms_webhooks.management.command_slot import CommandSlot
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.management.timer import Timer, ticking
from tms_webhooks.management.undelivered import (
    FailedRequests,
    Reasons,
    newest_delivery,
    skipped_deliveries,
    waiting_deliveries,
)
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain, Tally

CONNECTIONS_CHECKED_EVERY = 60.0
"""Seconds."""
FOLLOW = "Delivering (stop with Ctrl-C). To see the attempts: webhooks_tail --follow"
NO_WEBHOOK = (
    "No webhook matches these events, by subscription, filters and audience. The page of an event in the admin gives the "
    "reason for each webhook."
)
TEXTS = {
    "failed": ("request failed", "requests failed"),
    "waiting": ("delivery waits", "deliveries wait"),
    "skipped": ("delivery was skipped", "deliveries were skipped"),
}
"""The words for each kind of reasons: for one request or delivery, and for several."""


class Command(DatabaseCommand):
    """Run one drain in the foreground."""

    help = (
        "Deliver webhooks in the foreground until SIGTERM, SIGINT or SIGHUP. Then the drain starts no more requests, "
        "finishes those in flight and releases the rest. A second signal ends it immediately; its deliveries "
        "come due when their leases expire. It takes none of the slots that TMS_WEBHOOKS['DRAINS'] counts, so "
        "you can run several on any number of machines, also together with a queue. It also runs each periodic job "
        "(sweep, jobs, expiry scans, pruning and reconciling) that no other process has run in time. Without a queue, "
        "set TMS_WEBHOOKS['QUEUE'] to tms_webhooks.queues.silent.SilentQueue, so that nothing is written for it. With "
        "--until-idle or --seconds, it says for each webhook why something was not delivered. Exit status 0: it ended as "
        "requested. 1: with --until-idle, a request failed, also if it is tried again later."
    )

    always_connects = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--seconds", type=number_of_seconds, help="end after this time")
        parser.add_argument(
            "--until-idle",
            action="store_true",
            help="end when nothing can be sent now: deliveries of a held webhook wait. Of the periodic jobs, only those that users have started are run, such as replays",
        )
        parser.add_argument(
            "--no-timer",
            action="store_false",
            dest="timer",
            help="leave the periodic jobs to other processes",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the results as one JSON object")

    def handle(self, *, seconds: float | None, until_idle: bool, timer: bool, as_json: bool, **_options: Any) -> None:
        """Run the drain, and print its numbers and the reasons for what it did not deliver."""
        has_end, failed = until_idle or seconds is not None, FailedRequests()
        newest = 0
        if has_end:  # A drain without an end waits for a database that is away.
            self.connect()
            newest = newest_delivery()
        else:
            self.stderr.write(FOLLOW, self.style.SUCCESS)
        with (
            stop_on_signal() as stop,
            ticking() if timer and not until_idle else nullcontext(),
            # Not without an end: the reasons of days would be neither short nor new.
            failed.counting() if has_end else nullcontext(),
        ):
            run = drain_with_jobs if timer and until_idle else drain
            tally = run(seconds=seconds, until_idle=until_idle, stop=stop)
        found = undelivered(failed, after=newest) if has_end else {}
        if as_json:
            self.stdout.write(json.dumps({**asdict(tally), **{name: one.facts() for name, one in found.items()}}))
        else:
            self.stdout.write("\n".join(report(tally, found)))
        if until_idle and tally.delivered < tally.sent:
            raise SystemExit(1)


def undelivered(failed: FailedRequests, *, after: int) -> dict[str, Reasons]:
    """Return why something was not delivered: the requests that failed, and the deliveries that wait or were skipped."""
    return {
        "failed": failed.reasons(),
        "waiting": waiting_deliveries(now=clock.measured_now(), retried=failed.retried()),
        "skipped": skipped_deliveries(after=after),
    }


def report(tally: Tally, found: Mapping[str, Reasons]) -> Iterator[str]:
    """Yield the numbers, and a line for each reason."""
    yield f"Events fanned out: {tally.events}. Requests sent: {tally.sent}, delivered: {tally.delivered}."
    lines = [line for name, reasons in found.items() for line in reasons.lines(*TEXTS[name])]
    if found and tally.events and not tally.sent and not lines:
        lines = [NO_WEBHOOK]
    elif not found and tally.delivered < tally.sent:
        failed = counted(tally.sent - tally.delivered, "request")
        lines = [f"{failed} failed: webhooks_tail shows the attempts."]
    yield from (f"  {line}" for line in lines)


def drain_with_jobs(*, seconds: float | None, until_idle: bool, stop: threading.Event) -> Tally:
    """Run drains until nothing is due, and the jobs of users before each of them: the end of a snapshot follows its objects."""
    began_at, timer, total = monotonic(), Timer(), Tally()
    while True:
        are_unfinished = timer.work_on_jobs(stop)
        left = None if seconds is None else max(0.0, seconds - (monotonic() - began_at))
        tally = drain(seconds=left, until_idle=until_idle, stop=stop)
        total = Tally(total.events + tally.events, total.sent + tally.sent, total.delivered + tally.delivered)
        # A job that waits for retries has nothing to send now.
        if stop.is_set() or left == 0.0 or not (are_unfinished and tally.sent):
            return total


def drain(*, seconds: float | None, until_idle: bool, stop: threading.Event) -> Tally:
    """Run a drain; if it runs until it is stopped, in a slot that shows other processes that it runs."""
    slot = CommandSlot()
    checked = on_fresh_connections(fan_out)
    try:
        return Drain(fan_out=checked if until_idle else slot.renewed_by(checked), slot=lambda: slot.number).run(
            seconds=seconds, stop=stop, until_idle=until_idle
        )
    finally:
        with suppress(DatabaseError):  # It expires by itself.
            slot.release(clock.now())


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
