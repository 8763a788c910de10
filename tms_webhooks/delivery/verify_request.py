"""Verify a captured request with the secrets of a webhook, and find the delivery that it belongs to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tms_webhooks.delivery import verification
from tms_webhooks.delivery.signing import ID_HEADER, TIMESTAMP_HEADER
from tms_webhooks.delivery.verification import TOLERANCE, CapturedRequest, VerificationResult
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Delivery, DeliveryBody, Webhook, WebhookSecret
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.public_ids import uid_of


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """The result for a captured request, and the secret of the webhook that signed it; None if none of them did."""

    result: VerificationResult
    secret: WebhookSecret | None


def verify_request(
    webhook: Webhook,
    captured: CapturedRequest,
    *,
    now: datetime,
    arrived_at: datetime | None = None,
    tolerance: float = TOLERANCE,
    sent: bytes | None = None,
) -> VerifiedRequest:
    """Verify a request with the secrets of a webhook, as those are at ``now``.

    Without ``arrived_at``, the age of the signature is no problem: the request may have been captured long ago. ``sent`` is
    the body as it was sent, if the caller may know it; see `verification.verify`. Raise `SecretError` if a secret that signs
    can't be decrypted.
    """
    rows = list(webhook.secrets.order_by("-pk"))
    current = [row for row in rows if row.signs(now)]
    retired = {row.pk: value for row in rows if not row.signs(now) and (value := _readable(row)) is not None}
    result = verification.verify(
        secrets=[reveal(row.value) for row in current],
        headers=captured.headers,
        body=captured.body,
        now=stamp_of(captured.headers) if arrived_at is None else arrived_at.timestamp(),
        tolerance=tolerance,
        retired=list(retired.values()),
        sent=sent,
    )
    known = [*current, *(row for row in rows if row.pk in retired)]
    return VerifiedRequest(result, None if result.signer is None else known[result.signer])


def delivery_of(webhook: Webhook, headers: Mapping[str, str]) -> Delivery | None:
    """Return the delivery to a webhook whose event is named by the header ``webhook-id``; None without one."""
    event = event_uid(headers)
    if event is None:
        return None
    return Delivery.objects.filter(webhook=webhook, event__uid=event).select_related("event", "webhook").first()


def event_uid(headers: Mapping[str, str]) -> uuid.UUID | None:
    """Return the UUID of the event in the header ``webhook-id``; None if it is no such id."""
    return uid_of(headers.get(ID_HEADER, ""), PUBLIC_PREFIX)


def body_sent(delivery: Delivery | None) -> bytes | None:
    """Return the body that was sent for a delivery; None without one, or if it is no longer stored."""
    if delivery is None:
        return None
    own = DeliveryBody.objects.filter(pk=delivery.pk).first()
    body = (own.stored if own is not None else "") or delivery.event.body
    return body.encode() if body else None


def stamp_of(headers: Mapping[str, str]) -> float:
    """Return the time of the request's timestamp header, in seconds since 1970; 0.0 if it is not a number."""
    stamp = headers.get(TIMESTAMP_HEADER, "")
    return float(stamp) if stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12 else 0.0


def _readable(secret: WebhookSecret) -> str | None:
    try:
        return reveal(secret.value)
    except SecretError:
        return None
