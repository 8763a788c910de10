"""Connects the receivers of the host."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class HostConfig(AppConfig):
    """The app of the host."""

    name = "host"

    def ready(self) -> None:
        """Import the receivers, which connects them."""
        import_module("host.receivers")
