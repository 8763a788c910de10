"""From webhooks to a document. Secrets and header values are named, by the variables that are to hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from django.core.exceptions import ValidationError

from tms_webhooks.config_files.document import (
    EVENT,
    VERSION,
    DocumentError,
    Fields,
    organization_key,
    subscription_fields,
    variable_name,
    webhook_fields,
)
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.validators import parse_headers

INTRODUCTION = """\
# Webhooks of a training management system; python manage.py webhooks_import puts them into force.
# What is left out has its default. Secrets and header values are not here: {env: NAME} names the variable that holds one.
"""


def to_yaml(webhooks: Iterable[Webhook]) -> str:
    """Return the document of these webhooks, always the same for the same ones.

    Raises `DocumentError` for organizations without a name that other environments share, for two webhooks of one
    organization with the same name, and for headers that can't be decrypted.
    """
    rows = [_webhook(webhook) for webhook in webhooks]
    rows.sort(key=lambda row: (str(row["organization"]), row["name"]))
    names = [(str(row["organization"]), row["name"]) for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DocumentError(
            [f"{organization} has several webhooks named {name!r}; rename all but one." for organization, name in twice]
        )
    document = {"version": VERSION, "webhooks": rows}
    return INTRODUCTION + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _webhook(webhook: Webhook) -> dict[str, Any]:
    organization = name_of(webhook.organization)
    row: dict[str, Any] = {"organization": organization, "name": webhook.name, "enabled": webhook.enabled}
    row |= {name: value for name, value in _told(webhook, webhook_fields()).items() if name != "name"}
    row["secret"] = {"env": variable_name(str(organization), webhook.name, "secret")}
    headers = _headers(webhook)
    if headers:
        row["headers"] = {
            name: {"env": variable_name(str(organization), webhook.name, "header", name)} for name in headers
        }
    row["subscriptions"] = [_subscription(one) for one in webhook.subscriptions.order_by("event_type", "pk")]
    return row


def _subscription(subscription: Subscription) -> dict[str, Any]:
    told = _told(subscription, subscription_fields())
    return {EVENT: told.pop(EVENT, ""), **told}


def _told(instance: Any, fields: Fields) -> dict[str, Any]:
    values = {name: getattr(instance, field.attname) for name, field in fields.items()}
    return {name: value for name, value in values.items() if value != fields[name].get_default()}


def _headers(webhook: Webhook) -> Iterable[str]:
    try:
        return list(parse_headers(reveal(webhook.headers), custom_body=True))
    except (SecretError, ValidationError):
        raise DocumentError(
            [f"Webhook {webhook.pk} ({webhook.name}): its headers can't be read; enter them anew."]
        ) from None


def name_of(organization: Any) -> Any:
    """Return what names an organization in the document."""
    value = getattr(organization, organization_key())
    if value in (None, ""):
        raise DocumentError(
            [
                f"Organization {organization.pk} ({organization}) has no external id, by which it could be found elsewhere."
            ]
        )
    return value if isinstance(value, int | str) else str(value)
