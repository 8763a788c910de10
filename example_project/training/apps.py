from __future__ import annotations

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """The training system."""

    name = "example_project.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"
