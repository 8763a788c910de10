"""What was sent, looked up by what a request says of itself."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from tms_webhooks.delivery.signing import ID_HEADER
from tms_webhooks.models import Delivery, DeliveryBody, Webhook
from tms_webhooks.models.event import PUBLIC_PREFIX


def body_sent(webhook: Webhook, headers: Mapping[str, str]) -> bytes | None:
    """Return the body that a webhook was sent for the request with these headers; None where it is not known, or no longer."""
    try:
        uid = uuid.UUID(hex=headers.get(ID_HEADER, "").removeprefix(PUBLIC_PREFIX))
    except ValueError:
        return None
    delivery = Delivery.objects.filter(webhook=webhook, event__uid=uid).select_related("event").first()
    if delivery is None:
        return None
    rendered = DeliveryBody.objects.filter(pk=delivery.pk).exclude(content_type="").first()
    body = delivery.event.body if rendered is None else rendered.body
    return body.encode() if body else None
