"""``manage.py webhooks_reencrypt``: encrypt the stored secrets with the newest key."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.progress import Progress
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.models.reencryption import key_use, number_of_values, reencrypt

UNREADABLE = (
    "Unreadable values are kept. Add the key that encrypted them to ENCRYPTION_KEYS, and run this again. If the key is lost, "
    "rotate the secrets, and enter headers and credentials again."
)


class Command(DatabaseCommand):
    """Re-encrypt until all is done or a signal arrives."""

    help = (
        "Encrypt the stored secrets, header values, credentials, access tokens and responses with the first key of "
        "ENCRYPTION_KEYS. Run it after you added a key, before you remove an old one. After SIGTERM or SIGINT it stops, and the next run continues. Exit "
        "status 0: done, or stopped. 1: some values can't be decrypted with any key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--dry-run", action="store_true", help="count only, and change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Re-encrypt or count, and print the numbers."""
        if dry_run:
            found = key_use()
        else:
            progress = Progress(sys.stderr, total=number_of_values() if sys.stderr.isatty() else 0)
            with stop_on_signal() as stop:
                found = reencrypt(stop=stop.is_set, progress=progress.show)
            progress.end()
        if as_json:
            self.stdout.write(json.dumps({"dry_run": dry_run, **asdict(found)}))
        else:
            self.stdout.write(
                f"{'To encrypt' if dry_run else 'Encrypted'} with the newest key: {found.depending} ({found.derived} from the "
                f"key derived from SECRET_KEY). Already encrypted with it: {found.newest}. Unreadable: {found.unreadable}."
            )
        if found.unreadable:
            self.stderr.write(UNREADABLE)
            sys.exit(1)
