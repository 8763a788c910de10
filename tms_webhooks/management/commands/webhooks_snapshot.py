"""``manage.py webhooks_snapshot``: send the current state of every object of some nouns to a webhook."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.management.base import add_options, webhook_of
from tms_webhooks.management.jobs import JobCommand
from tms_webhooks.models import Job
from tms_webhooks.snapshot import job as snapshot


class Command(JobCommand):
    """Start a snapshot."""

    help = (
        "Send the current state of every object of the given nouns to a webhook, by its audience, filters, privacy and "
        "format. Workers do it with a lower priority than live events; --wait shows the progress. Exit status 0: done or "
        "started. 1: the job failed, or the wait ended before the job. 2: an argument is invalid, and nothing was started."
    )
    nouns = ("object", "objects")

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_options(parser, "--webhook", required=True, help="the webhook that receives it")
        parser.add_argument(
            "--noun",
            action="append",
            required=True,
            dest="nouns",
            metavar="NOUN",
            help="the kind of objects, such as class; repeat it for more",
        )
        add_options(parser, "--dry-run", "--wait", "--json")

    def handle(self, *, webhook: str, nouns: list[str], **options: Any) -> None:
        """Start the job, and print the result."""
        target, now = webhook_of(webhook), timezone.now()

        def start() -> tuple[Job, Mapping[str, Any]]:
            job = snapshot.start(target, nouns, now=now, requested_by="webhooks_snapshot")
            return job, {"kind": job.kind, "nouns": job.nouns}

        self.run_job(target, count=lambda: snapshot.count(target, nouns, now=now), start=start, **options)

    def followed(self, job: Job, *, wait: bool) -> dict[str, Any]:
        """Add the number of objects that were skipped."""
        facts = super().followed(job, wait=wait)
        return facts | {"skipped": job.skipped} if wait else facts
