"""Prevent lost updates with ``ETag`` and ``If-Match``: a change is made only to the state that the caller has read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tms_webhooks.api.problems import ErrorItem, InvalidRequest, PreconditionFailed
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed

_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
# Weak tags too: a proxy that compresses a response makes its tag weak. Our tags identify a state, not bytes.
_ANY_TAG = rf"(?:W/)?{_TAG.pattern}"
_TAGS = re.compile(rf"\s*(?:\*|{_ANY_TAG}(?:\s*,\s*{_ANY_TAG})*)\s*")


def etag_of(webhook: Webhook) -> str:
    """Return the entity tag of a webhook with its subscriptions and secrets. It changes with each editable field.

    Fields that workers write, such as the failures, do not change it: they conflict with no edit.
    """
    rows = [webhook, *sorted(webhook.subscriptions.all(), key=lambda subscription: subscription.pk)]
    secrets = list(webhook.secrets.order_by("pk").values_list("pk", "expires_at"))
    text = json.dumps([[_editable_values(row) for row in rows], secrets], cls=DjangoJSONEncoder)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def require_match(request: Any, webhook: Webhook) -> None:
    """Raise `PreconditionFailed` if ``If-Match`` names another state of the webhook. The header is optional.

    Call it in the transaction of the change, with the webhook's row locked.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return
    if not _TAGS.fullmatch(header):
        item = ErrorItem(
            "header", "If-Match", "invalid", 'Use the ETag of a response unchanged, with its quotes, or "*".'
        )
        raise InvalidRequest("The header If-Match is invalid.", errors=[item])
    if header.strip() != "*" and etag_of(webhook) not in _TAG.findall(header):
        raise PreconditionFailed("The webhook has changed since you read it; read it again before you change it.")


def _editable_values(row: models.Model) -> Iterable[Any]:
    return [
        _comparable(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.primary_key or field.editable
    ]


def _comparable(value: Any) -> Any:
    return value.token if isinstance(value, Sealed) else value
