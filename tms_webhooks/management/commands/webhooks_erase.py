"""``manage.py webhooks_erase``: erase a person from stored payloads and deliveries."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from tms_webhooks.management.base import WebhooksCommand, add_options, stop_on_signal
from tms_webhooks.monitoring.words import counted
from tms_webhooks.outbox.erasure import Erased, erase

NOT_FOUND = "No stored event has this id: the events are erased already, or the id is not data.user.id of the payloads."


class Command(WebhooksCommand):
    """Erase in batches until all is erased or a signal arrives."""

    help = (
        "Blank the stored data of events about a person: payloads, rendered bodies, answers and errors. The "
        "metadata of the events is kept, and their queued deliveries are cancelled. Erase the person in your "
        "own tables first. Exit status 0: all is erased. 1: some deliveries were in flight, or a signal "
        "stopped the command; run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("person", help="the person's id in payloads, such as data.user.id")
        parser.add_argument(
            "--name", action="append", default=[], metavar="NAME", help="a user name or e-mail address to erase too"
        )
        add_options(parser, "--dry-run", "--json")

    def handle(self, *, person: str, name: list[str], dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Erase or count, and print the numbers."""
        with stop_on_signal() as stop:
            erased = erase(person, names=name, now=timezone.now(), dry_run=dry_run, stop=stop.is_set)
            left = erased.in_flight or stop.is_set()
        facts = {"dry_run": dry_run, **erased._asdict()}
        self.print(facts, in_words(erased, dry_run=dry_run), as_json=as_json)
        if left:
            raise SystemExit(1)


def in_words(erased: Erased, *, dry_run: bool) -> str:
    """Return the numbers as one or two sentences."""
    hint = "" if erased.events or erased.in_flight else f" {NOT_FOUND}"
    if dry_run:
        return f"{counted(erased.events, 'event is', 'events are')} about this person; nothing was changed.{hint}"
    text = (
        f"Blanked {counted(erased.events, 'event')}, cancelled {counted(erased.cancelled, 'delivery', 'deliveries')}, and "
        f"removed the name from {counted(erased.mentions, 'other row')}.{hint}"
    )
    if erased.in_flight:
        text += f" {counted(erased.in_flight, 'event is', 'events are')} in flight: run the command again."
    return text
