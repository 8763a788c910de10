"""``manage.py webhooks_test``: send a test to a webhook now, and print the result."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.event_names import TEST, is_operational, matching
from tms_webhooks.exceptions import (
    LimitReached,
    PayloadError,
    PullOnlyWebhook,
    SubjectError,
    UnknownEventType,
    WebhooksError,
)
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.lookups import bad_input, webhook_of
from tms_webhooks.management.undelivered import ALLOWING, REFUSED
from tms_webhooks.models import AuditEntry
from tms_webhooks.outbox.example_events import example_event, first_type
from tms_webhooks.worker.test_send import TestSendResult, send_test


class Command(DatabaseCommand):
    """Send one request in the same way as any delivery."""

    help = (
        "Send a test to a webhook now, even if the webhook is paused or disabled. The test is the sample of an event, or the "
        "event of a real object. Print the receiver's answer and the time of each part. A success enables a webhook that "
        "was disabled because of failures. "
        "Exit status 0: the receiver accepted it. 1: it did not. 2: the webhook, the event or the object does not exist."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("webhook", type=row_id, help="the webhook's id")
        parser.add_argument(
            "--event",
            default="",
            metavar="NAME",
            help=f"the type whose sample is sent; default: the first that the webhook subscribes to, or {TEST}",
        )
        parser.add_argument(
            "--subject", default="", metavar="NOUN:ID", help="a real object instead of the sample, such as class:8840"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="check the event and the object, print the target, and send nothing"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, webhook: str, event: str, subject: str, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Send the test and print the result."""
        target, actor = webhook_of(webhook), current_actor()
        event = event or first_type(target)
        try:
            if dry_run:
                example_event(target, event, subject=subject, actor=actor, now=timezone.now())
                what = f"{event} about {subject}" if subject else event
                self.stdout.write(f"{what} would go to {target.name} (webhook {target.pk}); nothing was sent.")
                return
            sent = send_test(target, actor=actor, event_type=event, subject=subject)
        except (UnknownEventType, SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
            raise bad_input(explained(error, event, subject)) from error
        changes = {"event_type": event, "status_code": sent.result.status}
        AuditEntry.objects.record(
            AuditAction.WEBHOOK_TESTED,
            actor=actor,
            webhook=target,
            now=timezone.now(),
            target=f"delivery:{sent.delivery.public_id}",
            changes={**changes, "subject": subject} if subject else changes,
        )
        facts = facts_of(sent)
        self.stdout.write(json.dumps(facts) if as_json else in_words(facts))
        if not sent.result.outcome.success:
            raise SystemExit(1)


def explained(error: WebhooksError, event: str, subject: str) -> str:
    """Return the text of an error, with the options of this command where it names none."""
    if isinstance(error, UnknownEventType):
        return f"{error} webhooks_catalogue lists the event types."
    if isinstance(error, SubjectError) and is_operational(event) and error.code == "wrong_noun":
        noun = subject.partition(":")[0]
        names = [] if is_operational(f"{noun}.") else matching(f"{noun}.*")
        other = f", or name an event type of {noun}, such as --event {names[0]}" if names else ""
        return f"{event} has no object. Omit --subject{other}."
    return str(error)


def facts_of(sent: TestSendResult) -> dict[str, Any]:
    """Return the facts that are printed, without the bodies of the request and the answer."""
    result = sent.result
    return {
        "delivery": sent.delivery.pk,
        "success": result.outcome.success,
        "status": result.status,
        "error": result.outcome.error_class or None,
        "message": result.outcome.message,
        "seconds": round(result.seconds, 3),
        "timing": asdict(result.timing),
        "bytes": len(sent.body),
        "healed": sent.healed,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line, and a second line with the time of each part."""
    verdict = "Accepted" if facts["success"] else "Not accepted"
    seconds, size, delivery = f"{facts['seconds']:.3f} s", f"{facts['bytes']} bytes", facts["delivery"]
    if facts["status"]:
        lines = [f"{verdict}: status {facts['status']}, in {seconds}, {size}, delivery {delivery}."]
    else:
        # The message ends with its remedy, so the figures get a sentence of their own.
        message = facts["message"].rstrip(".")
        lines = [f"{verdict}: {facts['error']}: {message}. Delivery {delivery} took {seconds}, with a body of {size}."]
    parts = {name: seconds for name, seconds in facts["timing"].items() if seconds is not None}
    if parts:
        lines.append("  " + ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in parts.items()))
    if facts["error"] in REFUSED:
        lines.append(f"  {ALLOWING}")
    if facts["healed"]:
        lines.append("  The webhook is enabled again.")
    return "\n".join(lines)
