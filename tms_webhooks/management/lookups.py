"""Find the objects that a command line names; raise a clear `CommandError` for an unknown one."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Q

from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Delivery, Webhook

BAD_INPUT = 2
"""The exit status of a command that can't start because of a wrong argument; the same as argparse's."""


def bad_input(text: str) -> CommandError:
    """Return the error that ends a command with `BAD_INPUT`."""
    return CommandError(text, returncode=BAD_INPUT)


def by_id(model: type[Webhook | Delivery], text: str) -> Q:
    """Return the filter for the row with this id, given as the public id or as the number in the logs."""
    return Q(pk=int(text)) if text.isdecimal() else model.by_public_id(text)


def webhook_of(key: str) -> Webhook:
    """Return a webhook; raise `CommandError` if it does not exist."""
    webhook = Webhook.objects.existing().filter(by_id(Webhook, key)).first()
    if webhook is None:
        raise bad_input(f"Webhook {key} does not exist. webhooks_status lists the webhooks with their ids.")
    return webhook


def key_of_organization(text: str) -> Any:
    """Return the key of an organization; raise `CommandError` if it does not exist."""
    model: Any = Webhook._meta.get_field("organization").related_model
    try:
        return model._base_manager.only("pk").get(pk=text).pk
    except (model.DoesNotExist, ValidationError, ValueError, OverflowError):
        raise bad_input(f"Organization {text} does not exist. Write its primary key.") from None


def secrets_of(webhook: Webhook, *, now: datetime) -> Sequence[str]:
    """Return the signing secrets of a webhook; raise `CommandError` if one can't be decrypted."""
    try:
        return webhook.signing_secrets(now)
    except SecretError as error:
        raise bad_input(str(error)) from error


def secret_from(variable: str) -> str:
    """Return the secret in an environment variable; raise `CommandError` without quoting a wrong one."""
    value = os.environ.get(variable, "")
    if not value:
        raise bad_input(
            f"{variable} is not set; put the webhook's secret (whsec_…) into it, name another variable with --secret-env, or "
            "give --webhook."
        )
    try:
        secret_key(value)
    except ValueError as error:
        raise bad_input(f"{variable}: {error}") from None
    return value


def config_files() -> Any:
    """Return the module for YAML documents; raise `CommandError` if PyYAML is not installed."""
    try:
        return importlib.import_module("tms_webhooks.config_files")
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise bad_input("This needs PyYAML: pip install 'tms-webhooks[yaml]'.") from error
