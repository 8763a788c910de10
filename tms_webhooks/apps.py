"""The app's configuration: connects sources, checks, tasks and telemetry when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class TmsWebhooksConfig(AppConfig):
    """The app's configuration."""

    name = "tms_webhooks"
    verbose_name = _("Webhooks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the host's sources, connect to the signals of their models, and register the checks."""
        from tms_webhooks import checks, tasks, telemetry
        from tms_webhooks.capture import receivers
        from tms_webhooks.catalogue import types  # noqa: F401
        from tms_webhooks.delivery import notices
        from tms_webhooks.outbox import webhook_events
        from tms_webhooks.sources.registry import all_sources

        autodiscover_modules("webhooks")
        for source in all_sources():
            receivers.connect(source)
        webhook_events.connect()
        notices.connect()
        checks.register_all()
        post_migrate.connect(tasks.install_schedules, sender=self)
        tasks.watch_workers()
        telemetry.connect()
