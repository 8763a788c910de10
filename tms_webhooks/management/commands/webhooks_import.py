"""``manage.py webhooks_import``: create and change webhooks as a YAML document describes them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.management.base import WebhooksCommand, add_options, bad_input, config_files
from tms_webhooks.monitoring.words import counted

STANDARD_INPUT = "-"
SIGNS = {AuditAction.WEBHOOK_CREATED: "+", AuditAction.WEBHOOK_UPDATED: "~", AuditAction.WEBHOOK_DELETED: "-"}
# More than a document may have, so that a larger one is refused and not cut.
MOST_CHARACTERS = 1_000_001


class Command(WebhooksCommand):
    """Import all of a document, or nothing."""

    help = (
        "Create and change webhooks and their subscriptions as a YAML document describes them, such as one of "
        "webhooks_export. The import is one transaction, and a second run changes nothing. Exit status 0: "
        "done; with --diff, no changes. 1: with --diff, there are changes. 2: the document has mistakes, "
        "which are listed, and nothing changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("file", help="the document; - for standard input")
        parser.add_argument(
            "--prune", action="store_true", help="delete webhooks of its organizations that it does not list"
        )
        parser.add_argument("--keep-secrets", action="store_true", help="keep secrets, headers and authentication")
        parser.add_argument("--diff", action="store_true", help="show the changes, and change nothing")
        add_options(parser, "--dry-run", help="like --diff, with exit status 0")
        add_options(parser, "--json")

    def handle(
        self,
        *,
        file: str,
        prune: bool,
        keep_secrets: bool,
        diff: bool,
        dry_run: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Apply the document and print the changes."""
        module = config_files()
        changes = module.synchronize(
            read(file),
            actor=current_actor(),
            now=timezone.now(),
            prune=prune,
            keep_secrets=keep_secrets,
            dry_run=dry_run or diff,
        )
        facts = [
            {"webhook": module.label_of(one.webhook), "action": one.action, "lines": one.details} for one in changes
        ]
        lines = [
            line
            for fact in facts
            for line in (f"{SIGNS[fact['action']]} {fact['webhook']}", *(f"    {detail}" for detail in fact["lines"]))
        ]
        verb = "would be changed" if dry_run or diff else "changed"
        self.print(
            {"dry_run": dry_run or diff, "changes": facts},
            "\n".join([*lines, f"{counted(len(changes), 'webhook')} {verb}."]),
            as_json=as_json,
        )
        if diff and changes:
            raise SystemExit(1)


def read(file: str) -> str:
    """Return the document's text; raise `CommandError` if it can't be read."""
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.read(MOST_CHARACTERS)
        with Path(file).open(encoding="utf-8") as stream:
            return stream.read(MOST_CHARACTERS)
    except OSError as error:
        raise bad_input(f"{file} can't be read: {error.strerror}.") from error
    except UnicodeError:
        raise bad_input(f"{file} is not UTF-8.") from None
