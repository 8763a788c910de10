"""``manage.py webhooks_test``: send a test to a webhook now, and tell what came of it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.management.lookups import bad_input, webhook_of
from tms_webhooks.models import AuditEntry
from tms_webhooks.worker.test_send import TestSendResult, send_test


class Command(BaseCommand):
    """Send one request, by the way of all others."""

    help = (
        "Send the sample of an event to a webhook now, even if the webhook is paused or disabled. Print the "
        "receiver's answer and the time of each part. A success enables a webhook that failures disabled. "
        "Exit status 0: the receiver accepted it. 1: it did not. 2: there is no such webhook or event."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("webhook", type=int, help="the webhook's id")
        parser.add_argument(
            "--event", default=TEST, metavar="NAME", help=f"the type whose sample is sent; default: {TEST}"
        )
        parser.add_argument("--dry-run", action="store_true", help="print the target, and send nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, webhook: int, event: str, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Send it, and say what came of it."""
        target, actor = webhook_of(webhook), current_actor()
        if dry_run:
            self.stdout.write(f"{event} would go to {target.name} (webhook {target.pk}); nothing was sent.")
            return
        try:
            trial = send_test(target, actor=actor, event_type=event)
        except UnknownEventType as error:
            raise bad_input(str(error)) from error
        AuditEntry.objects.record(
            AuditAction.WEBHOOK_TESTED,
            actor=actor,
            webhook=target,
            now=timezone.now(),
            target=f"delivery:{trial.delivery.pk}",
        )
        facts = facts_of(trial)
        self.stdout.write(json.dumps(facts) if as_json else in_words(facts))
        if not trial.result.outcome.success:
            raise SystemExit(1)


def facts_of(trial: TestSendResult) -> dict[str, Any]:
    """Return what there is to say, without what was sent and what was answered."""
    result = trial.result
    return {
        "delivery": trial.delivery.pk,
        "success": result.outcome.success,
        "status": result.status,
        "error": result.outcome.error_class or None,
        "message": result.outcome.message,
        "seconds": round(result.seconds, 3),
        "timing": asdict(result.timing),
        "bytes": len(trial.body),
        "healed": trial.healed,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as a line, and one for where the time went."""
    said = f"status {facts['status']}" if facts["status"] else f"{facts['error']}: {facts['message']}"
    verdict = "Taken" if facts["success"] else "Not taken"
    lines = [f"{verdict}: {said}, in {facts['seconds']:.3f} s, {facts['bytes']} bytes, delivery {facts['delivery']}."]
    parts = {name: seconds for name, seconds in facts["timing"].items() if seconds is not None}
    if parts:
        lines.append("  " + ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in parts.items()))
    if facts["healed"]:
        lines.append("  The webhook is healed.")
    return "\n".join(lines)
