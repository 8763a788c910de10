"""Verification of a request that a receiver captured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.api.filtersets import visible_webhooks
from tms_webhooks.api.problems import Conflict, ErrorItem, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.serializers.fields import format_utc
from tms_webhooks.api.serializers.verify import VerifySerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action
from tms_webhooks.delivery.verification import CapturedRequest
from tms_webhooks.delivery.verify_request import body_sent, delivery_of, event_uid, verify_request
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.public_ids import parts_of_delivery_id
from tms_webhooks.worker.send import DELIVERY_HEADER


class VerifyViewSet(ResourceViewSet):
    """Verifies captured requests. It changes nothing, so the caller needs no more than to view the webhook."""

    heading = "Verification"
    queryset = Webhook.objects.all()
    pagination_class = None
    needs = {"create": Action.VIEW}

    @extend_schema(request=VerifySerializer, responses={200: shapes.VERIFICATION})
    def create(self, request: Any) -> Response:
        """Verify the signature of a captured request: which secret signed it, how old it is, and which delivery it is of."""
        body = self.read(VerifySerializer)
        captured = CapturedRequest(body["headers"], body["body"])
        webhook = self._webhook(captured.headers, body.get("webhook"))
        self.require(self.needed, webhook.organization_id)
        delivery, now = delivery_of(webhook, captured.headers), timezone.now()
        # A comparison with the stored body reveals parts of it.
        shows_payload = delivery is not None and self.may_see_payload(delivery.webhook, delivery.event)
        try:
            verified = verify_request(
                webhook,
                captured,
                now=now,
                arrived_at=body.get("received_at"),
                sent=body_sent(delivery) if shows_payload else None,
            )
        except SecretError as error:
            raise Conflict("A secret of the webhook can't be decrypted; rotate it to get a new one.") from error
        signed_at = verified.result.signed_at
        return Response(
            {
                "valid": verified.result.valid,
                "problems": verified.result.problems,
                "webhook": webhook.public_id,
                "signed_with": None if verified.secret is None else verified.secret.public_id,
                "signed_at": _time_of(signed_at),
                "age_seconds": None if signed_at is None else (body.get("received_at") or now).timestamp() - signed_at,
                "delivery": None if delivery is None else delivery.public_id,
                "event": None if delivery is None else delivery.event.public_id,
            }
        )

    def _webhook(self, headers: Mapping[str, str], name: str | None) -> Webhook:
        """Return the webhook of this id or, without one, the webhook that sent the request by its headers."""
        rows = visible_webhooks(self.request)
        if name is not None:
            webhook: Webhook | None = rows.filter(Webhook.by_public_id(name)).first()
            if webhook is None:
                item = ErrorItem("pointer", "#/webhook", "unknown", "Unknown webhook; use the id of one of yours.")
                raise UnknownReference("The webhook does not exist.", errors=[item])
            return webhook
        parts, event = parts_of_delivery_id(headers.get(DELIVERY_HEADER, "")), event_uid(headers)
        if parts is None and event is None:
            raise _invalid_webhook("The headers name no delivery; give the id of the webhook.", code="required")
        sent_by = rows.filter(uid=parts[1]) if parts else rows.filter(pk__in=_receivers_of(event))
        found: list[Webhook] = list(sent_by.order_by("pk")[:2])
        if not found:
            item = ErrorItem(
                "pointer", "#/headers", "unknown", "No webhook of yours sent this; give its id in webhook."
            )
            raise UnknownReference("The headers name no delivery of yours.", errors=[item])
        if len(found) > 1:
            raise _invalid_webhook("Several webhooks received this event; give the id of one.", code="ambiguous")
        return found[0]


def _receivers_of(event: Any) -> Any:
    return Delivery.objects.filter(event__uid=event).values("webhook")


def _invalid_webhook(detail: str, *, code: str) -> ValidationError:
    return ValidationError({"webhook": [ErrorDetail(detail, code=code)]})


def _time_of(stamp: int | None) -> str | None:
    """Return a time in seconds since 1970 as the API writes it; None without one, or after the year 9999."""
    try:
        return None if stamp is None else format_utc(datetime.fromtimestamp(stamp, tz=UTC))
    except (OverflowError, OSError, ValueError):
        return None
