"""The request of a delivery for display, without its secrets, and the body that was sent for a given message id."""

from __future__ import annotations

import base64
import copy
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils.datastructures import CaseInsensitiveMapping
from django.utils.translation import gettext as _

from tms_webhooks import catalogue
from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest, endpoint_of
from tms_webhooks.delivery.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.credentials import AUTHORIZATION
from tms_webhooks.models.webhook import HEAVY_COLUMNS
from tms_webhooks.net.urls import MASK
from tms_webhooks.payloads.envelope import is_test
from tms_webhooks.payloads.formats import tokens_without_value
from tms_webhooks.payloads.formats.check import names_in
from tms_webhooks.worker.send import Attempt

# Signs ID, STAMP and BODY with SECRET, in any POSIX shell.
SIGN = r"""KEY=$(printf %s "${SECRET#*_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
SIGNATURE=v1,$(printf %s "$ID.$STAMP.$BODY" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | openssl base64 -A)"""

# Signs a preview, which is never sent: the signature is masked, but its header is shown.
PLACEHOLDER_SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class RequestPreview:
    """A request for display. ``problem`` says why it can't be shown.

    ``empty_tokens`` are the tokens of the URL and the content that have no value in the event. ``unknown_tokens`` are those
    that no event of its type has.
    """

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    problem: str = ""
    empty_tokens: Sequence[str] = ()
    unknown_tokens: Sequence[str] = ()

    @property
    def content_type(self) -> str:
        """The content type of the body."""
        return CaseInsensitiveMapping(self.headers).get("content-type", "")

    @property
    def tokens_without_value(self) -> list[str]:
        """The empty tokens that events of this type have."""
        return [name for name in self.empty_tokens if name not in self.unknown_tokens]

    @property
    def pretty(self) -> str:
        """The body with indentation."""
        return pretty(self.body)

    @property
    def curl(self) -> str:
        """A shell script that signs and sends the same request, if the variable SECRET has the webhook's secret.

        It reads no file: ``--data-raw`` takes a leading ``@`` as it is. Other masked values have to be filled in.
        """
        computed = {TIMESTAMP_HEADER: "$STAMP", SIGNATURE_HEADER: "$SIGNATURE"}
        given = {name: value for name, value in self.headers.items() if name not in computed}
        lines = [f"curl --globoff --request {shlex.quote(self.method)} --url {shlex.quote(self.url)}"]
        lines += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in given.items()]
        lines += [f'--header "{name}: {value}"' for name, value in computed.items()]
        lines.append('--data-raw "$BODY"')
        notes = [_("First set SECRET to the signing secret of the webhook. Time and signature are computed again.")]
        if MASK in given.values():
            notes.append(_("Replace the dots with the values of your headers."))
        if MASK in self.url:
            notes.append(_("Replace the dots in the URL with the values that they hide."))
        return "\n".join(
            [
                *(f"# {note}" for note in notes),
                f"ID={shlex.quote(self.headers.get(ID_HEADER, ''))} STAMP=$(date +%s)",
                f"BODY={shlex.quote(self.body)}",
                SIGN,
                " \\\n  ".join(lines),
            ]
        )


def pretty(body: str) -> str:
    """Return a JSON body with indentation; any other body unchanged."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def preview_of(delivery: Delivery, *, now: datetime, masks_url: bool = False) -> RequestPreview:
    """Return the request of a delivery's next attempt.

    Writes nothing: a body that was not rendered yet is rendered for the preview alone. With ``masks_url``, the query values
    of the webhook that look like secrets are masked; those that the event fills in are not.
    """
    webhook, event = copy.copy(delivery.webhook), delivery.event
    if masks_url:
        webhook.url = webhook.masked_url
    if not event.body:
        problem = event.error or _("the payload is no longer kept")
        return RequestPreview(webhook.verb, webhook.url, problem=problem)
    endpoint = _endpoint_of(webhook)
    content = rendering.preview(delivery, endpoint.shape)
    return signed_preview(endpoint, event, content, number=delivery.attempts + 1, now=now)


def preview_of_event(webhook: Webhook, event: Event, *, now: datetime) -> RequestPreview:
    """Return the first request that a webhook would get for an event; neither has to be saved. Reads and writes nothing."""
    endpoint = _endpoint_of(webhook)
    shape = endpoint.shape
    preview = signed_preview(endpoint, event, rendering.request_content(shape, event.body), number=1, now=now)
    if preview.problem:
        return preview
    empty = tokens_without_value(rendering.event_for(shape, event.body), shape)
    known = names_in(shape, [catalogue.get(event.type)]) if empty else {}
    return replace(preview, empty_tokens=empty, unknown_tokens=[name for name in empty if name not in known])


def _endpoint_of(webhook: Webhook) -> Endpoint:
    """Return the endpoint of a webhook, with `PLACEHOLDER_SECRET` instead of its own secrets."""
    if deferred := webhook.get_deferred_fields().intersection(HEAVY_COLUMNS):
        # One query instead of one for each.
        webhook.refresh_from_db(fields=deferred)
    return replace(endpoint_of(webhook), secrets=[PLACEHOLDER_SECRET])


def signed_preview(
    endpoint: Endpoint, event: Event, content: rendering.Content, *, number: int, now: datetime
) -> RequestPreview:
    """Return the request of an attempt at this time. Own headers, authentication and each signature are masked."""
    webhook = endpoint.webhook
    if endpoint.problem is not None:
        return RequestPreview(webhook.verb, webhook.url, problem=_("the headers can't be read; enter them again"))
    values = {**content._asdict(), "endpoint": endpoint, "is_test": is_test(event.body)}
    request = OutgoingRequest(0, 0, event.public_id, number, 0, False, **values)
    try:
        signed = Attempt(request, now, token=MASK if endpoint.client_credentials else "").signed()
    except DeliveryError as error:
        return RequestPreview(webhook.verb, webhook.url, problem=str(error))
    secret = dict.fromkeys([*endpoint.headers, AUTHORIZATION, webhook.body_signature_header], MASK)
    secret[SIGNATURE_HEADER] = " ".join([MASK] * len(endpoint.secrets))
    headers = {name: secret.get(name, value) for name, value in signed.headers.items() if name}
    return RequestPreview(signed.method, signed.url, headers, signed.body.decode("utf-8", "replace"))
