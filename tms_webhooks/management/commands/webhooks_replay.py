"""``manage.py webhooks_replay``: send failed or missed events again, or try queued deliveries now."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import JobKind
from tms_webhooks.db import clock
from tms_webhooks.manage import jobs
from tms_webhooks.manage.deliveries import try_again
from tms_webhooks.management.base import (
    WebhooksCommand,
    add_options,
    bad_input,
    moment,
    no_worker,
    webhook_of,
)
from tms_webhooks.models import Event, Webhook
from tms_webhooks.monitoring.words import counted

KINDS = {
    "failed": JobKind.RECOVER,
    "cancelled": JobKind.RESEND_CANCELLED,
    "missed": JobKind.REPLAY_MISSED,
    "now": JobKind.SEND_NOW,
}
SET_ASIDE = "set-aside"


class JobCommand(WebhooksCommand):
    """Starts a job for the rows of a webhook, which ``nouns`` name in the singular and the plural."""

    nouns: tuple[str, str]

    def run_job(
        self,
        kind: JobKind,
        webhook: Webhook,
        selection: Mapping[str, Any],
        *,
        dry_run: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Start a job for a selection, or count its rows, and print the result."""
        now = timezone.now()
        if dry_run:
            total = jobs.count(kind, webhook, now=now, **selection)
            facts: dict[str, Any] = {"dry_run": True, self.nouns[1]: total}
            text = f"{counted(total, *self.nouns)} {'matches' if total == 1 else 'match'}; nothing was changed."
        else:
            name = type(self).__module__.rpartition(".")[2]
            job = jobs.start(kind, webhook, actor=current_actor(), now=now, requested_by=name, **selection)
            facts = {"job": job.pk, self.nouns[1]: job.total, "status": job.status}
            text = f"Job {job.pk} has started: {counted(job.total, *self.nouns)}. "
            text += (
                "The admin shows its progress under Jobs."
                if job.total
                else "None matches: check the webhook and the time range."
            )
            if note := no_worker(clock.measured_now()):
                self.stderr.write(note)
        self.print(facts, text, as_json=as_json)


class Command(JobCommand):
    """Start a job."""

    help = (
        "Start a job for the deliveries of a webhook. The kinds 'failed' and 'cancelled' send such deliveries of a time range "
        "again. 'Missed' sends events that were never tried, because the webhook was disabled or new. 'Now' tries queued "
        "deliveries now. Workers do these three with a lower priority than live events. 'Set-aside' has the events whose fan-out "
        "failed five times tried again, of all webhooks. A count of 10001 means more than 10,000. Exit "
        "status 0: started. 2: an argument is invalid, and nothing was started."
    )
    nouns = ("delivery", "deliveries")

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("kind", choices=sorted([*KINDS, SET_ASIDE]), help="the kind of job")
        add_options(parser, "--webhook", help=f"the webhook of the deliveries; required, except for {SET_ASIDE}")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="WHEN",
            help="a time such as 2026-11-24T15:00:00Z, or an age such as 12h or 3d",
        )
        parser.add_argument("--until", type=moment, metavar="WHEN", help="default: now")
        add_options(parser, "--dry-run", "--json")

    def handle(self, *, kind: str, webhook: str | None, **options: Any) -> None:
        """Start the job, and print the result."""
        if kind == SET_ASIDE:
            events = Event.objects.set_aside()
            total = events.count() if options["dry_run"] else try_again(events)
            text = f"{counted(total, 'event')} {'to try' if options['dry_run'] else 'will be tried'} again."
            self.print({"events": total}, text, as_json=options["as_json"])
        elif webhook is None:
            raise bad_input(f"--webhook is required for the kind '{kind}'.")
        else:
            selection = {name: options.pop(name) for name in ("since", "until")}
            self.run_job(KINDS[kind], webhook_of(webhook), selection, **options)
