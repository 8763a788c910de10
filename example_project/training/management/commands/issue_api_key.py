"""``manage.py issue_api_key``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from example_project.training.models import ApiKey, Organization


class Command(BaseCommand):
    """Issue a key, as the admin's page does."""

    help = "Make a key with which a system of an organization can call the API, and print it: it is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("organization", help="the organization's name")
        parser.add_argument("--name", default="API", help="what the key is for; default: API")

    def handle(self, *, organization: str, name: str, **_options: Any) -> None:
        """Make it and print it, and nothing else."""
        owner = Organization.objects.filter(name=organization).first()
        if owner is None:
            names = ", ".join(Organization.objects.values_list("name", flat=True)[:10]) or "none yet"
            raise CommandError(f"There is no organization {organization!r}; there are: {names}.")
        _key, clear = ApiKey.objects.create_key(name=name, organization=owner)
        self.stdout.write(clear)
