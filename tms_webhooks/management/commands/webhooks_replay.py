"""``manage.py webhooks_replay``: send failed or missed events again, or try queued deliveries now."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import JobKind
from tms_webhooks.db import clock
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.manage import deliveries, jobs
from tms_webhooks.management.base import (
    WebhooksCommand,
    add_options,
    bad_input,
    by_id,
    counted,
    moment,
    no_worker,
    row_id,
    webhook_of,
)
from tms_webhooks.models import Delivery, Webhook

KINDS = {"failed": JobKind.RECOVER, "missed": JobKind.REPLAY_MISSED, "now": JobKind.SEND_NOW}


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
        try:
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
        except (ReplayError, LimitReached) as error:
            raise bad_input(str(error)) from error
        if not dry_run and (note := no_worker(clock.measured_now())):
            self.stderr.write(note)
        self.print(facts, lambda: text, as_json=as_json)


class Command(JobCommand):
    """Start a job, or resend one delivery."""

    help = (
        "Start a job for the deliveries of a webhook. The kind 'failed' sends failed and cancelled deliveries of a time range "
        "again. 'Missed' sends events that were never tried, because the webhook was disabled or new. 'Now' tries queued "
        "deliveries now. Workers do the first two with a lower priority than live events. --delivery sends one delivery "
        "again immediately. Exit status 0: started. 2: an argument is invalid, and nothing was started."
    )
    nouns = ("delivery", "deliveries")

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("kind", nargs="?", choices=sorted(KINDS), help="the kind of job")
        add_options(parser, "--webhook", help="the webhook of the deliveries")
        parser.add_argument("--delivery", type=row_id, metavar="ID", help="send only this delivery again")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="WHEN",
            help="a time such as 2026-11-24T15:00:00Z, or an age such as 12h or 3d",
        )
        parser.add_argument("--until", type=moment, metavar="WHEN", help="default: now")
        add_options(parser, "--dry-run", "--json")

    def handle(self, *, kind: str | None, webhook: str | None, delivery: str | None, **options: Any) -> None:
        """Start the job or resend the delivery, and print the result."""
        if (delivery is None) == (kind is None):
            raise bad_input("Give failed, missed or now with --webhook, or one --delivery.")
        if delivery is not None:
            self.resend(delivery, **options)
        elif webhook is None:
            raise bad_input(f"{kind} needs --webhook.")
        else:
            selection = {name: options.pop(name) for name in ("since", "until")}
            self.run_job(KINDS[kind or ""], webhook_of(webhook), selection, **options)

    def resend(self, key: str, *, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Send one delivery again."""
        delivery = Delivery.objects.select_related("event", "webhook").filter(by_id(Delivery, key)).first()
        if delivery is None:
            raise bad_input(f"Delivery {key} does not exist.")
        try:
            if dry_run:
                deliveries.refuse_resend(delivery)
            else:
                deliveries.resend(delivery, actor=current_actor(), now=clock.measured_now())
        except ReplayError as error:
            raise bad_input(str(error)) from error
        text = f"Delivery {delivery.pk} {'can be sent again; nothing was changed' if dry_run else 'is queued; the next worker sends it again'}."
        self.print({"dry_run": dry_run, "delivery": delivery.pk}, lambda: text, as_json=as_json)
