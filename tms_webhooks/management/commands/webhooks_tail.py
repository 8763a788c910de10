"""``manage.py webhooks_tail``: print the newest attempts, and follow new ones."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from tms_webhooks.db import clock
from tms_webhooks.management import base
from tms_webhooks.management.base import WebhooksCommand, add_options, add_scope, key_of_organization, webhook_of
from tms_webhooks.management.process import stop_on_signal
from tms_webhooks.management.reasons import no_worker
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.monitoring.recent_attempts import RecentAttempts

INTERVAL = 1.0


class Command(WebhooksCommand):
    """Print the newest attempts; with --follow, continue until SIGTERM or SIGINT."""

    help = (
        "Print the newest attempts, one per line, and with --follow later ones until SIGTERM or SIGINT. It "
        "prints no bodies, headers and answers. Exit status 0: it ended as requested. 2: it could not start."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_scope(parser)
        parser.add_argument(
            "--lines", type=base.count, default=10, metavar="N", help="number of attempts at first; default: 10"
        )
        parser.add_argument("--follow", action="store_true", help="continue with later attempts")
        parser.add_argument(
            "--interval",
            type=base.seconds,
            default=INTERVAL,
            metavar="SECONDS",
            help="polling interval; default: 1",
        )
        add_options(parser, "--json", help="print one JSON object per line")

    def handle(
        self,
        *,
        webhook: str | None,
        organization: str | None,
        lines: int,
        follow: bool,
        interval: float,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Print recent attempts and, with --follow, later ones."""
        attempts = RecentAttempts(
            webhook=None if webhook is None else webhook_of(webhook).pk,
            organization=None if organization is None else key_of_organization(organization),
        )
        with stop_on_signal() as stop:
            found = attempts.latest(lines)
            if lines and not found:
                self.stderr.write(f"No attempts yet. {no_worker(clock.measured_now())}".rstrip())
            while True:
                for attempt in found:
                    self.print(facts := facts_of(attempt), lambda: in_words(facts), as_json=as_json)
                self.stdout.flush()
                if not follow or stop.wait(interval):
                    return
                found = attempts.new()


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
