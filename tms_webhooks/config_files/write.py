"""Write webhooks as a YAML document: what the API represents, with environment variables in place of secret values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from tms_webhooks.api.serializers.files import FileSerializer
from tms_webhooks.conf import app_settings
from tms_webhooks.config_files.parse import DocumentError
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.encryption import MASK
from tms_webhooks.sources.mapping import organization_value
from tms_webhooks.sources.paths import column_at

VERSION = 1
"""The version of the document's format that this release reads and writes."""
PK = "pk"
"""The lookup of organizations that have no external id."""
INTRODUCTION = """\
# Webhooks of a training management system. Import them with: python manage.py webhooks_import FILE
# Omitted keys have their defaults. {env: NAME} stands for a secret value in the environment variable NAME.
"""


def to_yaml(webhooks: Iterable[Webhook]) -> str:
    """Return the document of these webhooks; equal webhooks give equal text.

    Raises `DocumentError` for organizations without an external id, and for two webhooks of one organization with the
    same name. Also raises it for headers or credentials that can't be decrypted.
    """
    serializer = FileSerializer()
    rows = sorted(
        (_row(webhook, serializer) for webhook in webhooks), key=lambda row: (str(row["organization"]), row["name"])
    )
    names = [(str(row["organization"]), row["name"]) for row in rows]
    problems = [
        f"{organization} has several webhooks named {name!r}; rename all but one."
        for organization, name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise DocumentError(problems)
    document = {"version": VERSION, "webhooks": rows}
    return INTRODUCTION + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def organization_key() -> str:
    """Return the lookup that identifies an organization in documents: its external id, or ``pk`` if it has none."""
    model: Any = Webhook._meta.get_field("organization").related_model
    path = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    is_column = isinstance(path, str) and path and column_at(model, path) is not None
    return path.replace(".", "__") if is_column else PK


def _row(webhook: Webhook, serializer: FileSerializer) -> dict[str, Any]:
    owner, subject = webhook.organization, f"Webhook {webhook.pk} ({webhook.name})"
    organization = owner.pk if organization_key() == PK else organization_value(owner, "external_id")
    if organization in (None, ""):
        raise DocumentError(
            [f"Organization {owner.pk} ({owner}) has no external id, which identifies it in other environments."]
        )
    organization = organization if isinstance(organization, int | str) else str(organization)
    known = webhook.known_credentials()
    if known_headers(webhook.headers) is None:
        raise DocumentError([f"{subject}: its headers can't be decrypted; enter them again."])
    if known is None:
        raise DocumentError([f"{subject}: its credentials can't be decrypted; enter them again."])

    def variable(*parts: str) -> dict[str, str]:
        words = (
            re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_").upper() for part in (str(organization), webhook.name, *parts)
        )
        return {"env": f"WEBHOOK_{'_'.join(words)}"}

    standard = serializer.standard
    values = serializer.represent(webhook, webhook.subscriptions.order_by("event_type", "pk"))
    row: dict[str, Any] = {"organization": organization, "name": webhook.name, "enabled": webhook.enabled}
    row |= _changed(values, {**standard, "enabled": webhook.enabled, "name": webhook.name})
    row["secret"] = variable("secret")
    for group, part in (("headers", "header"), ("authentication", "authentication")):
        if group in row:
            row[group] = {
                name: variable(part, name) if value == MASK else str(value)
                for name, value in row.pop(group).items()
                if value == MASK or name in {"kind", *known}
            }
    row["subscriptions"] = [
        {"event": one["event_type"], **_changed(one, {**standard["subscriptions"][0], "event_type": one["event_type"]})}
        for one in values["subscriptions"]
    ]
    return row


def _changed(values: dict[str, Any], standard: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != standard[name]}
