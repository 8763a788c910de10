"""Write webhooks as a YAML document. Environment variables stand for secrets and header values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from django.core.exceptions import ValidationError

from tms_webhooks.choices import AuthenticationKind
from tms_webhooks.config_files.document import (
    EVENT,
    PK,
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
from tms_webhooks.models.credentials import FIELDS, secret_names
from tms_webhooks.models.encryption import reveal
from tms_webhooks.sources.mapping import organization_external_id
from tms_webhooks.validators import parse_headers

INTRODUCTION = """\
# Webhooks of a training management system. Import them with: python manage.py webhooks_import FILE
# Omitted keys have their defaults. {env: NAME} stands for a secret value in the environment variable NAME.
"""


def to_yaml(webhooks: Iterable[Webhook]) -> str:
    """Return the document of these webhooks; equal webhooks give equal text.

    Raises `DocumentError` for organizations without an external id, and for two webhooks of one organization with the
    same name. Also raises it for headers or credentials that can't be decrypted.
    """
    rows = [_webhook(webhook) for webhook in webhooks]
    rows.sort(key=lambda row: (str(row["organization"]), row["name"]))
    names = [(str(row["organization"]), row["name"]) for row in rows]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise DocumentError(
            [
                f"{organization} has several webhooks named {name!r}; rename all but one."
                for organization, name in duplicates
            ]
        )
    document = {"version": VERSION, "webhooks": rows}
    return INTRODUCTION + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _webhook(webhook: Webhook) -> dict[str, Any]:
    organization = _identifier(webhook.organization)
    row: dict[str, Any] = {"organization": organization, "name": webhook.name, "enabled": webhook.enabled}
    row |= {name: value for name, value in _non_default(webhook, webhook_fields()).items() if name != "name"}
    row["secret"] = {"env": variable_name(str(organization), webhook.name, "secret")}
    headers = _header_names(webhook)
    if headers:
        row["headers"] = {
            name: {"env": variable_name(str(organization), webhook.name, "header", name)} for name in headers
        }
    if webhook.authentication != AuthenticationKind.NONE:
        row["authentication"] = _authentication(webhook, str(organization))
    row["subscriptions"] = [_subscription(one) for one in webhook.subscriptions.order_by("event_type", "pk")]
    return row


def _subscription(subscription: Subscription) -> dict[str, Any]:
    values = _non_default(subscription, subscription_fields())
    return {EVENT: values.pop(EVENT, ""), **values}


def _non_default(instance: Any, fields: Fields) -> dict[str, Any]:
    """Return the values that differ from their defaults, by their keys in the document."""
    values = {name: getattr(instance, field.attname) for name, field in fields.items()}
    return {name: value for name, value in values.items() if value != fields[name].get_default()}


def _header_names(webhook: Webhook) -> Iterable[str]:
    try:
        return list(parse_headers(reveal(webhook.headers), custom_body=True))
    except (SecretError, ValidationError):
        raise DocumentError(
            [f"Webhook {webhook.pk} ({webhook.name}): its headers can't be decrypted; enter them again."]
        ) from None


def _authentication(webhook: Webhook, organization: str) -> dict[str, Any]:
    kind = webhook.authentication
    values = webhook.known_credentials()
    if values is None:
        raise DocumentError(
            [f"Webhook {webhook.pk} ({webhook.name}): its credentials can't be decrypted; enter them again."]
        )
    shown: dict[str, Any] = {field.name: values[field.name] for field in FIELDS[kind] if field.name in values}
    shown |= {
        name: {"env": variable_name(organization, webhook.name, "authentication", name)}
        for name in secret_names(kind)
        if name in values
    }
    return {"kind": kind, **shown}


def _identifier(organization: Any) -> Any:
    """Return the value that identifies an organization in the document."""
    value = organization.pk if organization_key() == PK else organization_external_id(organization)
    if value in (None, ""):
        raise DocumentError(
            [
                f"Organization {organization.pk} ({organization}) has no external id, which identifies it in other environments."
            ]
        )
    return value if isinstance(value, int | str) else str(value)
