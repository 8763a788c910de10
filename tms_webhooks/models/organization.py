"""The host's organization model, as its setting names it, and the migration that creates it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Model

from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.db.django_private import migration_classes
from tms_webhooks.exceptions import ConfigurationError, PayloadError


def organization_model() -> str:
    """Return the host's organization model as ``app_label.ModelName``.

    Raise `ConfigurationError` if the setting is missing or has another form: the models can't be imported without it.
    """
    name = getattr(settings, ORGANIZATION_MODEL_SETTING, None)
    if not isinstance(name, str) or name.count(".") != 1 or not all(name.split(".")):
        raise ConfigurationError(
            f"{ORGANIZATION_MODEL_SETTING} is {name!r}; set it to your organization model as "
            "'app_label.ModelName', for example 'training.Organization', before the first migrate."
        )
    return name


def has_whole_number_key() -> bool:
    """Return whether the primary key of the host's organizations is a whole number. Call it once the apps are loaded.

    False for a model that does not exist, which a check reports.
    """
    from django.apps import apps

    try:
        key: Any = apps.get_model(organization_model())._meta.pk
    except LookupError:
        return False
    return isinstance(_without_reference(key), IntegerField)


def _without_reference(key: Any) -> Any:
    """Return the column at the end of a primary key that refers to that of another model."""
    while key.remote_field is not None:
        key = key.target_field
    return key


def organization_key(organization: Any) -> Any:
    """Return the key of an organization, given as an object or as its key; raise `PayloadError` for anything else."""
    from django.apps import apps

    model = apps.get_model(organization_model())
    if isinstance(organization, model) and organization.pk is not None:
        return organization.pk
    try:
        if not isinstance(organization, Model):
            return _without_reference(model._meta.pk).to_python(organization)
    except ValidationError:
        pass
    raise PayloadError(f"A {type(organization).__name__} is no organization; pass a saved one or its key.")


def organization_dependency() -> tuple[str, str]:
    """Return the migration that creates the organization model, as a dependency of the migration that refers to it.

    Django's ``swappable_dependency`` names the app's first migration, which may create other models only. That is the
    result where the app has no migrations, or none of them creates the model by an operation.
    """
    app_label, name = organization_model().split(".")
    classes = migration_classes(app_label)
    creating = [one for one, migration in classes.items() if _creates(migration.operations, name.lower())]
    if not creating:
        return app_label, "__first__"
    # Django replaces a squashed migration in dependencies. The squashing one is named only if it alone is left.
    return app_label, next((one for one in reversed(creating) if not classes[one].replaces), creating[-1])


def _creates(operations: Any, name: str) -> bool:
    """Return whether one of these operations creates the model, or gives it this name."""
    from django.db.migrations.operations import CreateModel, RenameModel, SeparateDatabaseAndState

    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            if _creates(operation.state_operations, name):
                return True
        elif isinstance(operation, CreateModel):
            if operation.name_lower == name:
                return True
        elif isinstance(operation, RenameModel) and operation.new_name_lower == name:
            return True
    return False
