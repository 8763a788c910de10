"""``manage.py webhooks_replay``: send failed or missed events again, or try queued deliveries now."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import DisabledReason, JobKind, JobStatus
from tms_webhooks.db import clock
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.manage import deliveries
from tms_webhooks.management.base import add_options, bad_input, by_id, moment, row_id, webhook_of
from tms_webhooks.management.jobs import JobCommand
from tms_webhooks.models import Delivery, Webhook

KINDS: Mapping[str, JobKind] = {
    "failed": JobKind.RECOVER,
    "missed": JobKind.REPLAY_MISSED,
    "now": JobKind.SEND_NOW,
}


class Command(JobCommand):
    """Start a job, or resend one delivery."""

    help = (
        "Start a job for the deliveries of a webhook. The kind 'failed' sends failed and cancelled deliveries of a time range "
        "again. 'Missed' sends events that were never tried, because the webhook was disabled or new. 'Now' tries queued "
        "deliveries now. Workers do the first two with a lower priority than live events; --wait shows the "
        "progress. --delivery sends one delivery again immediately. Exit status 0: done or started. 1: the job failed, or "
        "the wait ended before the job. 2: an argument is invalid, and nothing was started."
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
        add_options(parser, "--dry-run", "--wait", "--json")

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
        facts: dict[str, Any] = {"dry_run": True, "deliveries": 1}
        try:
            if dry_run:
                deliveries.refuse_resend(delivery)
            else:
                deliveries.resend(delivery, actor=current_actor(), now=clock.measured_now())
                facts = {"delivery": delivery.pk, "deliveries": 1, "status": "pending"}
        except ReplayError as error:
            raise bad_input(str(error)) from error
        self.print(facts, lambda: self.in_words(facts), as_json=as_json)

    def explained(self, error: ReplayError | LimitReached, webhook: Webhook) -> str:
        """Return the text of an error, with the option that it names, or the ways to enable a disabled webhook."""
        text = str(error)
        if isinstance(error, LimitReached) or error.job:
            return text
        if error.field and text.startswith(error.field):
            return f"--{text}"
        return text if webhook.enabled or webhook.pull_only else f"{text} {how_to_enable(webhook)}"

    def in_words(self, facts: Mapping[str, Any]) -> str:
        """Return the facts as a sentence, and say why a finished job has done less than its deliveries."""
        if "delivery" in facts:
            return f"Delivery {facts['delivery']} is queued; the next worker sends it again."
        text, rest = super().in_words(facts), facts["deliveries"] - facts.get("done", facts["deliveries"])
        if rest <= 0 or facts["interrupted"] or facts["status"] != JobStatus.FINISHED:
            return text
        pronoun = "it" if rest == 1 else "them"
        return f"{text} {rest} no longer matched: before the job, a worker had sent {pronoun} as usual, or a user had changed {pronoun}."


def how_to_enable(webhook: Webhook) -> str:
    """Return the ways to enable a webhook. A successful test is one of them, unless a user disabled it."""
    ways = (
        f"Enable it in the admin, with POST webhooks/{webhook.public_id}/enable/ of the API, or with enabled: true and "
        "webhooks_import."
    )
    if webhook.disabled_reason == DisabledReason.ADMIN:
        return ways
    return f"{ways} A successful webhooks_test {webhook.pk} enables it, too."
