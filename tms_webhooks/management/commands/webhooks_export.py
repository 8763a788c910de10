"""``manage.py webhooks_export``: write webhooks as YAML, without their secrets."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from tms_webhooks.management.base import WebhooksCommand, add_options, config_files, key_of_organization
from tms_webhooks.models import Webhook


class Command(WebhooksCommand):
    """Write the document to a file or to standard output."""

    help = (
        "Write webhooks with their subscriptions as YAML. The document has no secrets, header values and credentials: "
        "{env: NAME} names the environment variable from which webhooks_import reads a value. Exit status 0: "
        "written. 2: it could not be written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add_options(parser, "--organization", "--output")

    def handle(self, *, organization: str | None, output: Path | None, **_options: Any) -> None:
        """Write the document."""
        to_yaml = config_files().to_yaml
        webhooks = (
            Webhook.objects.existing()
            .filter(hook_of="")
            .select_related("organization")
            .prefetch_related("subscriptions")
        )
        if organization is not None:
            webhooks = webhooks.filter(organization=key_of_organization(organization))
        self.write(to_yaml(webhooks), output)
