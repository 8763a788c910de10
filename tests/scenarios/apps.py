"""Sets the constants of the app that a scenario changes, which are no settings."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class ScenariosConfig(AppConfig):
    name = "tests.scenarios"

    def ready(self):
        for path, value in settings.CONSTANTS.items():
            module, _, name = path.rpartition(".")
            loaded = import_module(f"tms_webhooks.{module}")
            assert hasattr(loaded, name), path
            setattr(loaded, name, value)
