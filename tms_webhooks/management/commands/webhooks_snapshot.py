"""``manage.py webhooks_snapshot``: send the current state of every object of some nouns to a webhook."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from tms_webhooks.choices import AuditAction, JobStatus
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.jobs import audit, how_to_follow, progress_of
from tms_webhooks.management.lookups import bad_input, webhook_of
from tms_webhooks.models import Job
from tms_webhooks.snapshot import job as snapshot

REQUESTED_BY = "webhooks_snapshot"


class Command(DatabaseCommand):
    """Start a snapshot."""

    help = (
        "Send the current state of every object of the given nouns to a webhook, by its audience, filters, privacy and "
        "format. Workers do it with a lower priority than live events; --wait shows the progress. Exit status 0: done or "
        "started. 1: the job failed, or the wait ended before the job. 2: an argument is invalid, and nothing was started."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--webhook", type=row_id, metavar="ID", required=True, help="the webhook that receives it")
        parser.add_argument(
            "--noun",
            action="append",
            required=True,
            dest="nouns",
            metavar="NOUN",
            help="the kind of objects, such as class; repeat it for more",
        )
        parser.add_argument("--dry-run", action="store_true", help="count only, and change nothing")
        parser.add_argument("--wait", action="store_true", help="wait until the job is done")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, webhook: str, nouns: list[str], **options: Any) -> None:
        """Start the job, and print the result."""
        try:
            facts = start(webhook, nouns, dry_run=options["dry_run"], wait=options["wait"])
        except (ReplayError, LimitReached) as error:
            raise bad_input(str(error)) from error
        self.stdout.write(json.dumps(facts) if options["as_json"] else in_words(facts))
        if facts.get("status") == JobStatus.FAILED or facts.get("interrupted"):
            raise SystemExit(1)


def start(webhook_id: str, nouns: list[str], *, dry_run: bool, wait: bool) -> dict[str, Any]:
    """Start a snapshot, or count its objects; return the facts."""
    webhook, now = webhook_of(webhook_id), timezone.now()
    if dry_run:
        return {"dry_run": True, "objects": snapshot.count(webhook, nouns, now=now)}
    with transaction.atomic(using=router.db_for_write(Job)):
        job = snapshot.start(webhook, nouns, now=now, requested_by=REQUESTED_BY)
        changes = {"kind": job.kind, "nouns": job.nouns, "total": job.total}
        audit(AuditAction.JOB_STARTED, webhook, target=f"job:{job.public_id}", changes=changes)
    facts = {"job": job.pk, "objects": job.total, "status": job.status}
    facts |= progress_of(job, wait=wait)
    return facts | {"skipped": job.skipped} if wait else facts


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as a sentence."""
    objects = counted(facts["objects"], "object")
    if facts.get("dry_run"):
        return f"{objects} {'matches' if facts['objects'] == 1 else 'match'}; nothing was changed."
    if "done" not in facts:
        return f"Job {facts['job']} has started: {objects}. {how_to_follow(facts['objects'])}"
    state = f"Job {facts['job']}: {facts['done']} of {objects}, {facts['status']}."
    if facts["interrupted"]:
        return f"{state} The workers continue it."
    return f"{state} {facts['error']}".rstrip()
