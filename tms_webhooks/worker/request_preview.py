"""The request of a delivery as people may see it: all but its secrets."""

from __future__ import annotations

import base64
import json
import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest
from tms_webhooks.delivery.signing import ID_HEADER, SIGNATURE_HEADER
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Delivery, DeliveryBody, Webhook
from tms_webhooks.models.encryption import MASK, reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.validators import parse_headers
from tms_webhooks.worker.send import request_of

# Signs what nobody sends: the signature is masked, and only its place is wanted.
NOBODY = "whsec_" + base64.b64encode(bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class RequestPreview:
    """What is sent, or would be. ``problem`` says why there is nothing to show.

    The headers are those of the webhook today, as the URL is: neither is kept with an attempt.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    problem: str = ""

    @property
    def pretty(self) -> str:
        """The body with its lines broken."""
        return pretty(self.body)

    @property
    def curl(self) -> str:
        """A command that sends the same, for a shell; what is masked has to be filled in."""
        parts = ["curl", "--request", self.method, shlex.quote(self.url)]
        lines = [" ".join(parts)]
        lines += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"--data-binary {shlex.quote(self.body)}")
        return " \\\n  ".join(lines)


def pretty(body: str) -> str:
    """Return a body with its lines broken where it is JSON; as it is where it is not."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def preview_of(delivery: Delivery, *, now: datetime) -> RequestPreview:
    """Return the request of a delivery: that of its next attempt, or of its last one where there is no next.

    Nothing is written down: a body that was not rendered yet is rendered for the eye alone.
    """
    webhook, event = delivery.webhook, delivery.event
    bare = RequestPreview(webhook.verb, webhook.url)
    if not event.body:
        return replace(bare, problem=event.error or _("the payload is no longer kept"))
    try:
        headers = parse_headers(reveal(webhook.headers), custom_body=True)
    except (SecretError, ValidationError):
        return replace(bare, problem=_("the headers can't be read; enter them anew"))
    line = rendering.RenderInput(delivery.pk, webhook.pk, delivery.attempts, event.body)
    content = rendering.preview(line, rendering.shape_of(webhook, headers))
    others = {name: MASK for name in headers if name.lower() != "content-type"}
    route = Endpoint(
        webhook.pk, webhook.verb, webhook.url, others, [NOBODY], float(webhook.timeout_seconds), None, None
    )
    number = delivery.attempts + 1 if delivery.due_at is not None else max(delivery.attempts, 1)
    outgoing = OutgoingRequest(
        delivery_id=delivery.pk,
        event_id=event.public_id,
        number=number,
        charged=delivery.charged,
        single=False,
        route=route,
        **content._asdict(),
    )
    try:
        request = request_of(outgoing, now)
    except DeliveryError as error:
        return replace(bare, problem=str(error))
    return RequestPreview(
        request.method,
        request.url,
        {name: MASK if name == SIGNATURE_HEADER else value for name, value in request.headers.items()},
        request.body.decode("utf-8", "replace"),
    )


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
