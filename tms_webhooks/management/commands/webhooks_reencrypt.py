"""``manage.py webhooks_reencrypt``: encrypt the stored secrets with the newest key."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from tms_webhooks.management.base import WebhooksCommand, add_options, stop_on_signal
from tms_webhooks.models.reencryption import key_use, reencrypt

UNREADABLE = (
    "Unreadable values are kept. Add the key that encrypted them to ENCRYPTION_KEYS, and run this again. If the key is lost, "
    "rotate the secrets, and enter headers and credentials again."
)


class Command(WebhooksCommand):
    """Re-encrypt until all is done or a signal arrives."""

    help = (
        "Encrypt the stored secrets, header values, credentials and responses with the first key of "
        "ENCRYPTION_KEYS. Run it after you added a key, before you remove an old one. After SIGTERM or SIGINT it stops, and the next run continues. Exit "
        "status 0: done, or stopped. 1: some values can't be decrypted with any key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_options(parser, "--dry-run", "--json")

    def handle(self, *, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Re-encrypt or count, and print the numbers."""
        if dry_run:
            found = key_use()
        else:
            with stop_on_signal() as stop:
                found = reencrypt(stop=stop.is_set)
        text = (
            f"{'To encrypt' if dry_run else 'Encrypted'} with the newest key: {found.depending} ({found.derived} from the "
            f"key derived from SECRET_KEY). Already encrypted with it: {found.newest}. Unreadable: {found.unreadable}."
        )
        self.print({"dry_run": dry_run, **found._asdict()}, text, as_json=as_json)
        if found.unreadable:
            self.stderr.write(UNREADABLE)
            sys.exit(1)
