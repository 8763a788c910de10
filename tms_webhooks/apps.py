"""The app's configuration: connects sources, checks, tasks and telemetry when Django starts.

Modules that a web process may never use, such as the checks and the worker, are imported by the first call that needs them.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.db.models.signals import post_migrate, post_save
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from tms_webhooks.conf import CHECKS_TAG, COMMAND_CHECKS, app_settings
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.signals import webhook_disabled


class TmsWebhooksConfig(AppConfig):
    """The app's configuration."""

    name = "tms_webhooks"
    verbose_name = _("Webhooks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the host's sources, connect to the signals of their models, and register the checks."""
        from tms_webhooks import queues
        from tms_webhooks.capture import receivers
        from tms_webhooks.models import Webhook
        from tms_webhooks.outbox.emit import connect_webhook_signals
        from tms_webhooks.sources.registry import all_sources

        autodiscover_modules("webhooks")
        for source in all_sources():
            receivers.connect(source)
        connect_webhook_signals()
        webhook_disabled.connect(_delete_gone_hook, dispatch_uid="tms_webhooks.hooks")
        post_save.connect(_add_recipients, sender=Webhook, dispatch_uid="tms_webhooks.notices")
        register_checks()
        post_migrate.connect(_install_schedules, sender=self)
        # A check reports a wrong QUEUE setting.
        with suppress(ConfigurationError):
            queues.get_queue().when_workers_start(_start_drains)
        if app_settings.TELEMETRY:
            from tms_webhooks import telemetry

            telemetry.connect()


def _run_checks(group: str, **options: Any) -> list[CheckMessage]:
    from tms_webhooks import checks

    return [message for check in checks.GROUPS[group] for message in check(**options)]


# Made once: Django runs each object that is registered, and an app may become ready again, with other apps installed.
_CHECKS = {group: partial(_run_checks, group) for group in ("work", "deploy", "rows")}


def register_checks() -> None:
    """Register the groups of `tms_webhooks.checks`, each as one check. Idempotent."""
    register(_CHECKS["work"], CHECKS_TAG, COMMAND_CHECKS)
    register(_CHECKS["deploy"], CHECKS_TAG, Tags.security, deploy=True)
    # Without the app's tag: Django 6.1 passes all databases to the checks of a tag that is asked for.
    register(_CHECKS["rows"], Tags.database)


def _add_recipients(**signal: Any) -> None:
    from tms_webhooks.delivery import notices

    notices.add_recipients(**signal)


def _delete_gone_hook(**signal: Any) -> None:
    from tms_webhooks import hooks

    hooks.delete_gone(**signal)


def _install_schedules(**signal: Any) -> None:
    from tms_webhooks import tasks

    tasks.install_schedules(**signal)


def _start_drains() -> None:
    from tms_webhooks import tasks

    tasks.start_drains()
