"""``manage.py webhooks_tail``: print the newest attempts, and follow new ones."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from typing import Any

from tms_webhooks.db import clock
from tms_webhooks.management.base import (
    WebhooksCommand,
    add_options,
    add_scope,
    count,
    key_of_organization,
    no_worker,
    stop_on_signal,
    webhook_of,
)
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.models.webhook import heavy_columns

INTERVAL = 1.0
"""Seconds between two queries for later attempts."""
BATCH = 1_000
"""The newest attempts that are read each time. Of more in one second, the others are not printed."""
MOST_READ = 20_000
"""Of the newest attempts of all webhooks: attempts have no index by webhook."""


class Command(WebhooksCommand):
    """Print the newest attempts; with --follow, continue until SIGTERM or SIGINT."""

    help = (
        "Print the newest attempts, one per line, and with --follow later ones until SIGTERM or SIGINT. It reads the newest "
        f"{MOST_READ:,} attempts of all webhooks; the admin has those before. It prints no bodies, headers and answers. Exit "
        "status 0: it ended as requested. 2: it could not start."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_scope(parser)
        parser.add_argument(
            "--lines", type=count, default=10, metavar="N", help="number of attempts at first; default: 10"
        )
        parser.add_argument("--follow", action="store_true", help="continue with later attempts")
        add_options(parser, "--json", help="print one JSON object per line")

    def handle(
        self,
        *,
        webhook: str | None,
        organization: str | None,
        lines: int,
        follow: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Print recent attempts and, with --follow, later ones."""
        webhook_key = None if webhook is None else webhook_of(webhook).pk
        owner = None if organization is None else key_of_organization(organization)
        rows = (
            DeliveryAttempt.objects.select_related("delivery__event", "delivery__webhook")
            .defer("response_headers", "response_body", "delivery__event__body", *heavy_columns("delivery__webhook"))
            .order_by("-pk")
        )

        def is_chosen(attempt: DeliveryAttempt) -> bool:
            # Not in the query: a database might read all deliveries of the webhook.
            sent_to = attempt.delivery.webhook
            return webhook_key in (None, sent_to.pk) and owner in (None, sent_to.organization_id)

        with stop_on_signal() as stop:
            printed = set(rows.values_list("pk", flat=True)[:BATCH])
            found = list(islice(filter(is_chosen, rows[:MOST_READ].iterator(chunk_size=BATCH)), lines))
            printed.update(attempt.pk for attempt in found)
            if lines and not found:
                self.stderr.write(f"No attempts yet. {no_worker(clock.measured_now())}".rstrip())
            while True:
                for attempt in reversed(found):
                    self.print(facts := facts_of(attempt), in_words(facts), as_json=as_json)
                self.stdout.flush()
                if not follow or stop.wait(INTERVAL):
                    return
                # Not from the last key on: keys are assigned before the commit.
                newest = list(rows[:BATCH])
                found = [row for row in newest if row.pk not in printed and is_chosen(row)]
                printed = {row.pk for row in newest}


def facts_of(attempt: DeliveryAttempt) -> dict[str, Any]:
    """Return the facts of an attempt that are printed."""
    delivery = attempt.delivery
    return {
        "at": attempt.started_at.isoformat(timespec="milliseconds"),
        "webhook": delivery.webhook_id,
        "name": delivery.webhook.name,
        "delivery": delivery.pk,
        "event": delivery.event.public_id,
        "type": delivery.event.type,
        "attempt": attempt.number,
        "status": attempt.status_code,
        "error": attempt.error_class,
        "message": attempt.message,
        "ms": attempt.duration_ms,
        "next_delay": attempt.next_delay,
        "delay_reason": attempt.delay_reason,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line."""
    result = facts["status"] or facts["error"]
    number = "late" if facts["attempt"] is None else f"attempt {facts['attempt']}"
    text = (
        f"{facts['at'][11:23]}  {result}  {facts['ms']} ms  {facts['type']}  {facts['event']}  "
        f"-> {facts['name']} ({facts['webhook']})  {number}"
    )
    if facts["next_delay"] is not None:
        text += f", next in {facts['next_delay']:.0f} s ({facts['delay_reason']})"
    # The message of an answer repeats its status.
    return text if facts["status"] else f"{text}: {facts['message']}".removesuffix(": ")
