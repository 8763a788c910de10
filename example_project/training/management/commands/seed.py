"""``manage.py seed``: fill the database with sample data to look around in."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from example_project.training.sample_data import fill
from example_project.training.seed import seed


class Command(BaseCommand):
    """Make organizations with people and training, and print the accounts."""

    help = "Make organizations with people and half a year of training, and print the accounts that can log in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--organizations", type=int, default=2, help="number of organizations; default: 2")
        parser.add_argument("--password", help="password of the printed accounts; default: a random one")

    def handle(self, *, organizations: int, password: str | None, **_options: Any) -> None:
        """Make the data, and print the accounts."""
        password = password or secrets.token_urlsafe(9)
        world = seed(organizations=organizations, password=password)
        for tenant in world.tenants:
            fill(tenant, now=world.now)
        self.stdout.write(f"Password of these accounts: {password}\n\n")
        for username, role, path in world.accounts():
            self.stdout.write(f"{username:<36}{role}: {path}")
