"""``manage.py webhooks_snapshot``: send the current state of every object of some nouns to a webhook."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from tms_webhooks.choices import JobKind
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.management.base import add_options, bad_input, webhook_of
from tms_webhooks.management.commands.webhooks_replay import JobCommand
from tms_webhooks.snapshot import Selection


def bucket(text: str) -> tuple[int, int]:
    """Read the number of a bucket, from 0, and of how many it is one, such as 7/64."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not int(found[1]) < int(found[2]) <= MOST_BUCKETS:
        raise ArgumentTypeError(f"{text!r} is not a bucket, such as 0/64 to 63/64; at most {MOST_BUCKETS} are possible")
    return int(found[1]), int(found[2])


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
        parts = parser.add_mutually_exclusive_group()
        parts.add_argument(
            "--id",
            action="append",
            default=[],
            dest="ids",
            metavar="ID",
            help="the id of an object; repeat it for more. These objects of one noun are sent alone",
        )
        parts.add_argument(
            "--bucket",
            action="append",
            default=[],
            dest="buckets",
            type=bucket,
            metavar="NUMBER/OF",
            help="a bucket that differs, such as 7/64; repeat it for more. Its objects are sent alone",
        )
        add_options(parser, "--dry-run", "--json")

    def handle(
        self, *, webhook: str, nouns: list[str], ids: list[str], buckets: Sequence[tuple[int, int]], **options: Any
    ) -> None:
        """Start the job, and print the result."""
        numbers, of = {number for number, _of in buckets}, {of for _number, of in buckets} or {1}
        if len(of) > 1:
            raise bad_input("The buckets must be of the same number, such as 3/64 and 7/64.")
        selection = {"nouns": nouns, "only": Selection(frozenset(ids), frozenset(numbers), *of)}
        self.run_job(JobKind.SNAPSHOT, webhook_of(webhook), selection, **options)
