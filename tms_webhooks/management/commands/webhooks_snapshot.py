"""``manage.py webhooks_snapshot``: send the current state of every object of some nouns to a webhook."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from tms_webhooks.choices import JobKind
from tms_webhooks.management.base import add_options, webhook_of
from tms_webhooks.management.commands.webhooks_replay import JobCommand


class Command(JobCommand):
    """Start a snapshot."""

    help = (
        "Send the current state of every object of the given nouns to a webhook, by its audience, filters, privacy and "
        "format. Workers do it with a lower priority than live events. Exit status 0: started. 2: an argument is invalid, and "
        "nothing was started."
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
            help="the noun of the objects, such as class; repeat it for more, or all",
        )
        add_options(parser, "--dry-run", "--json")

    def handle(self, *, webhook: str, nouns: list[str], **options: Any) -> None:
        """Start the job, and print the result."""
        self.run_job(JobKind.SNAPSHOT, webhook_of(webhook), {"nouns": nouns}, **options)
