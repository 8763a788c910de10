"""Claimed deliveries, made up for threads that never touch the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from tms_webhooks.choices import ErrorClass
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.validators import parse_headers


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that it takes to send one delivery.

    ``cap`` is how many of its webhook's this worker may send at once. ``problem`` says why it can't be sent at all; its
    secrets and headers are empty then. ``repr`` shows neither.
    """

    delivery_id: int
    webhook_id: int
    event_id: str
    number: int
    charged: int
    created_at: datetime
    verb: str
    url: str
    headers: Mapping[str, str]
    secrets: Sequence[str]
    body: bytes
    timeout: float
    schedule: Any
    max_retries: int | None
    cap: int = 1
    problem: DeliveryError | None = None

    def __repr__(self) -> str:
        return f"<Parcel {self.event_id} delivery {self.delivery_id} webhook {self.webhook_id} attempt {self.number}>"


def pack(ids: Sequence[int], *, token: str, now: datetime, caps: Mapping[int, int]) -> list[Parcel]:
    """Read what ``token`` holds of these deliveries, in three queries: today's URL, headers and secrets go with them."""
    rows = Delivery.objects.held(token).among(ids).order_by("pk")
    found = list(
        rows.values_list("pk", "webhook_id", "attempts", "charged", "created_at", "event__uid", "event__body")
    )
    webhooks = Webhook.objects.prefetch_related("secrets").in_bulk({row[1] for row in found})
    private = {pk: _private_parts(webhook, now) for pk, webhook in webhooks.items()}
    parcels = []
    for pk, webhook_id, attempts, charged, created_at, uid, body in found:
        webhook, (headers, secrets, problem) = webhooks[webhook_id], private[webhook_id]
        parcels.append(
            Parcel(
                delivery_id=pk,
                webhook_id=webhook_id,
                event_id=PUBLIC_PREFIX + uid.hex,
                number=attempts + 1,
                charged=charged,
                created_at=created_at,
                verb=webhook.verb,
                url=webhook.url,
                headers=headers,
                secrets=secrets,
                body=body.encode(),
                timeout=float(webhook.timeout_seconds),
                schedule=webhook.schedule,
                max_retries=webhook.max_retries,
                cap=caps.get(webhook_id, 1),
                problem=problem,
            )
        )
    return parcels


def _private_parts(webhook: Webhook, now: datetime) -> tuple[Mapping[str, str], Sequence[str], DeliveryError | None]:
    try:
        secrets = webhook.signing_secrets(now)
        for secret in secrets:
            secret_key(secret)
        return parse_headers(reveal(webhook.headers)), secrets, None
    except SecretError as error:
        problem = str(error)
    except ValueError:
        problem = "a stored secret is not of the form whsec_…; rotate it"
    except ValidationError:
        # Never the error's own words: the lines hold passwords.
        problem = "the stored headers are not name=value lines; enter them anew"
    return {}, (), DeliveryError(problem, error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)
