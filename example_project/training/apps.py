from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import router
from django.db.models.signals import post_migrate

WEBHOOK_ADMINISTRATORS = "Webhook administrators"
"""The group with all permissions of the webhook pages. The access policy limits its members to their organizations."""


class TrainingConfig(AppConfig):
    """The training system."""

    name = "example_project.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the group made after each migration, by which time the permissions exist."""
        sender = apps.get_app_config("tms_webhooks")
        post_migrate.connect(make_group, sender=sender, dispatch_uid="training.make_group")


def make_group(*, using: str, **_signal: Any) -> None:
    """Make the group of webhook administrators, unless it exists: its permissions may have been changed."""
    from django.contrib.auth.models import Group, Permission

    if not router.allow_migrate_model(using, Group):
        return
    group, is_new = Group.objects.using(using).get_or_create(name=WEBHOOK_ADMINISTRATORS)
    if is_new:
        group.permissions.set(Permission.objects.using(using).filter(content_type__app_label="tms_webhooks"))
