"""Changes that are made only to the state that their caller has seen: ``ETag`` and ``If-Match``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tms_webhooks.api.problems import Fault, InvalidRequest, PreconditionFailed
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed

_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
# Weak ones, too: a proxy that compresses an answer makes its tag weak, and ours is one of a state, not of bytes.
_ANY_TAG = rf"(?:W/)?{_TAG.pattern}"
_TAGS = re.compile(rf"\s*(?:\*|{_ANY_TAG}(?:\s*,\s*{_ANY_TAG})*)\s*")


def etag_of(webhook: Webhook) -> str:
    """Return the entity tag of a webhook with its subscriptions: another one after each change that a person makes.

    What workers write, such as its failures, leaves it alone: nobody's change is lost by that.
    """
    rows = [webhook, *sorted(webhook.subscriptions.all(), key=lambda subscription: subscription.pk)]
    text = json.dumps([_configuration(row) for row in rows], cls=DjangoJSONEncoder)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def require_match(request: Any, webhook: Webhook) -> None:
    """Raise `PreconditionFailed` unless the webhook is still as ``If-Match`` says; without the header there is nothing to fail.

    Call it in the transaction of the change, with the webhook's row locked.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return
    if not _TAGS.fullmatch(header):
        fault = Fault("header", "If-Match", "invalid", 'Give the ETag of an answer as it is, with its quotes, or "*".')
        raise InvalidRequest("The header If-Match is wrong.", faults=[fault])
    if header.strip() != "*" and etag_of(webhook) not in _TAG.findall(header):
        raise PreconditionFailed("The webhook was changed since; read it anew, and decide anew.")


def _configuration(row: models.Model) -> Iterable[Any]:
    return [
        _plain(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.primary_key or field.editable
    ]


def _plain(value: Any) -> Any:
    return value.token if isinstance(value, Sealed) else value
