"""``manage.py webhooks_replay``: send failed or missed events again, or try or cancel queued deliveries."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from tms_webhooks.choices import AuditAction, DisabledReason, JobKind, JobStatus
from tms_webhooks.db import clock
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.management import arguments
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.counts import counted
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.jobs import audit, how_to_follow, progress_of
from tms_webhooks.management.lookups import bad_input, by_id, webhook_of
from tms_webhooks.models import Delivery, Job, Webhook
from tms_webhooks.outbox.wake import waker

KINDS: Mapping[str, JobKind] = {
    "failed": JobKind.RECOVER,
    "missed": JobKind.REPLAY_MISSED,
    "now": JobKind.SEND_NOW,
    "cancel": JobKind.CANCEL_PENDING,
}
REQUESTED_BY = "webhooks_replay"


class Command(DatabaseCommand):
    """Start a job, or resend one delivery."""

    help = (
        "Start a job for the deliveries of a webhook. The kind 'failed' sends failed and cancelled deliveries of a time range "
        "again. 'Missed' sends events that were never tried, because the webhook was disabled or new. 'Now' tries queued "
        "deliveries now, and 'cancel' cancels them. Workers do the first two with a lower priority than live events; --wait shows the "
        "progress. --delivery sends one delivery again immediately. Exit status 0: done or started. 1: the job failed, or "
        "the wait ended before the job. 2: an argument is invalid, and nothing was started."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("kind", nargs="?", choices=sorted(KINDS), help="the kind of job")
        parser.add_argument("--webhook", type=row_id, metavar="ID", help="the webhook of the deliveries")
        parser.add_argument("--delivery", type=row_id, metavar="ID", help="send only this delivery again")
        parser.add_argument(
            "--since",
            type=arguments.moment,
            metavar="WHEN",
            help="a time such as 2026-11-24T15:00:00Z, or an age such as 12h or 3d",
        )
        parser.add_argument("--until", type=arguments.moment, metavar="WHEN", help="default: now")
        parser.add_argument("--dry-run", action="store_true", help="count only, and change nothing")
        parser.add_argument("--wait", action="store_true", help="wait until the job is done")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, kind: str | None, webhook: str | None, delivery: str | None, **options: Any) -> None:
        """Start the job or resend the delivery, and print the result."""
        if (delivery is None) == (kind is None):
            raise bad_input("Give failed, missed, now or cancel with --webhook, or one --delivery.")
        if kind is not None and webhook is None:
            raise bad_input(f"{kind} needs --webhook.")
        try:
            if delivery is not None:
                facts = resend(delivery, dry_run=options["dry_run"])
            else:
                facts = self.start_job(KINDS[kind or ""], webhook or "", **options)
        except (ReplayError, LimitReached) as error:
            raise bad_input(explained(error, webhook)) from error
        self.stdout.write(json.dumps(facts) if options["as_json"] else in_words(facts))
        if facts.get("status") == JobStatus.FAILED or facts.get("interrupted"):
            raise SystemExit(1)

    def start_job(
        self,
        kind: JobKind,
        webhook_id: str,
        *,
        since: datetime | None,
        until: datetime | None,
        dry_run: bool,
        wait: bool,
        **_options: Any,
    ) -> dict[str, Any]:
        """Start a job, or count what it would do."""
        webhook, now = webhook_of(webhook_id), timezone.now()
        if dry_run:
            count = replay.count(kind, webhook, since=since, until=until, now=now)
            return {"dry_run": True, "deliveries": count}
        with transaction.atomic(using=router.db_for_write(Job)):
            job = replay.start(kind, webhook, now=now, since=since, until=until, requested_by=REQUESTED_BY)
            changes = {"kind": kind.value, "since": since, "until": until, "total": job.total}
            audit(AuditAction.JOB_STARTED, webhook, target=f"job:{job.public_id}", changes=changes)
        facts = {"job": job.pk, "deliveries": job.total, "status": job.status}
        return facts | progress_of(job, wait=wait)


def resend(key: str, *, dry_run: bool) -> dict[str, Any]:
    """Send one delivery again."""
    delivery = Delivery.objects.select_related("event", "webhook").filter(by_id(Delivery, key)).first()
    if delivery is None:
        raise bad_input(f"Delivery {key} does not exist.")
    if dry_run:
        replay.refuse_resend(delivery)
        return {"dry_run": True, "deliveries": 1}
    with transaction.atomic(using=router.db_for_write(Delivery)):
        replay.resend(delivery, now=clock.measured_now())
        audit(AuditAction.DELIVERY_RESENT, delivery.webhook, target=f"delivery:{delivery.public_id}")
        transaction.on_commit(waker.wake, using=router.db_for_write(Delivery), robust=True)
    return {"delivery": delivery.pk, "deliveries": 1, "status": "pending"}


def explained(error: ReplayError | LimitReached, webhook_id: str | None) -> str:
    """Return the text of an error, with the option that it names, or the ways to enable a disabled webhook."""
    text = str(error)
    if isinstance(error, LimitReached) or webhook_id is None or error.job:
        return text
    if error.field and text.startswith(error.field):
        return f"--{text}"
    webhook = webhook_of(webhook_id)
    return text if webhook.enabled or webhook.pull_only else f"{text} {how_to_enable(webhook)}"


def how_to_enable(webhook: Webhook) -> str:
    """Return the ways to enable a webhook. A successful test is one of them, unless a user disabled it."""
    ways = (
        f"Enable it in the admin, with POST webhooks/{webhook.public_id}/enable/ of the API, or with enabled: true and "
        "webhooks_import."
    )
    if webhook.disabled_reason == DisabledReason.ADMIN:
        return ways
    return f"{ways} A successful webhooks_test {webhook.pk} enables it, too."


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as a sentence."""
    number = counted(facts["deliveries"], "delivery", "deliveries")
    if facts.get("dry_run"):
        return f"{number} {'matches' if facts['deliveries'] == 1 else 'match'}; nothing was changed."
    if "delivery" in facts:
        return f"Delivery {facts['delivery']} is queued; the next worker sends it again."
    if "done" not in facts:
        return f"Job {facts['job']} has started: {number}. {how_to_follow(facts['deliveries'])}"
    state = f"Job {facts['job']}: {facts['done']} of {number}, {facts['status']}."
    if facts["interrupted"]:
        return f"{state} The workers continue it."
    rest = facts["deliveries"] - facts["done"]
    if facts["status"] == JobStatus.FINISHED and rest > 0:
        pronoun = "it" if rest == 1 else "them"
        return f"{state} {rest} no longer matched: before the job, a worker had sent {pronoun} as usual, or a user had changed {pronoun}."
    return f"{state} {facts['error']}".rstrip()
