from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import router
from django.db.models.signals import post_migrate

WEBHOOK_ADMINISTRATORS = "Webhook administrators"
TRAINING_ADMINISTRATORS = "Training administrators"
GROUPS = {"tms_webhooks": WEBHOOK_ADMINISTRATORS, "training": TRAINING_ADMINISTRATORS}
"""Groups with all permissions of an app. Access policy and scoped pages limit the members to their organizations."""


class TrainingConfig(AppConfig):
    """The training system."""

    name = "example_project.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the groups made after each migration, by which time the permissions exist."""
        for label in GROUPS:
            sender = apps.get_app_config(label)
            post_migrate.connect(make_group, sender=sender, dispatch_uid=f"training.make_group.{label}")


def make_group(*, sender: AppConfig, using: str, **_signal: Any) -> None:
    """Make the group of an app's administrators, unless it exists: its permissions may have been changed."""
    from django.contrib.auth.models import Group, Permission

    if not router.allow_migrate_model(using, Group):
        return
    group, is_new = Group.objects.using(using).get_or_create(name=GROUPS[sender.label])
    if is_new:
        group.permissions.set(Permission.objects.using(using).filter(content_type__app_label=sender.label))
