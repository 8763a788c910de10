"""``manage.py issue_api_key``: create an API key of an organization."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from example_project.training.models import ApiKey, Organization


class Command(BaseCommand):
    """Issue a key, as the admin's page does."""

    help = "Create an API key of an organization and print it. It is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("organization", help="the organization's name")
        parser.add_argument("--name", default="API", help="what the key is for; default: API")

    def handle(self, *, organization: str, name: str, **_options: Any) -> None:
        """Create the key, and print only the key."""
        owner = Organization.objects.filter(name=organization).first()
        if owner is None:
            names = ", ".join(Organization.objects.values_list("name", flat=True)[:10]) or "none yet"
            raise CommandError(f"Unknown organization {organization!r}. Choose one of: {names}.")
        _key, clear = ApiKey.objects.create_key(name=name, organization=owner)
        self.stdout.write(clear)
