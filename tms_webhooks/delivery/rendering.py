"""Render the bodies and URLs of deliveries whose webhook has a format or URL tokens of its own.

A body is rendered before the first attempt and stored in `DeliveryBody`; later attempts send the stored one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils.translation import gettext as _

from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import ErrorClass, PayloadDetail, PayloadFormat, Verb
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import insert_or_update, key_in
from tms_webhooks.delivery.outgoing import OutgoingRequest, shape_of
from tms_webhooks.digests import digested
from tms_webhooks.exceptions import DeliveryError, UnsafeURL, WebhooksError
from tms_webhooks.models import Delivery, DeliveryBody, Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.encryption import reveal
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.payloads.formats import JSON, RequestFormat, fill_url, presets, render, tailored
from tms_webhooks.payloads.formats.check import check, empty_tokens
from tms_webhooks.payloads.formats.template import has_tokens
from tms_webhooks.routing.budget import TimeSpent

# Event types that a warning names.
MOST_NAMED = 5

logger = logging.getLogger(__name__)


class Content(NamedTuple):
    """The body and URL of a request, or the ``problem`` that prevents it. Without ``url``, the webhook's is used."""

    body: bytes = b""
    content_type: str = JSON
    url: str | None = None
    problem: DeliveryError | None = None


def preset_values(preset: str, webhook: Webhook, patterns: Iterable[str]) -> dict[str, Any]:
    """Return the fields of a webhook that a preset fills in, for the events of these patterns.

    Its headers keep their values; a content type among them is removed, because a preset sends JSON. Raises `SecretError` if
    they can't be decrypted.
    """
    content, contents = presets.content_for(preset, patterns, detail=webhook.payload)
    before = reveal(webhook.headers).splitlines()
    lines = [line for line in before if not line.lower().startswith("content-type=")]
    values = {
        "format": PayloadFormat.CUSTOM.value,
        "verb": Verb.POST.value,
        "content": content,
        "contents": contents,
    }
    return values if lines == before else {**values, "headers": "\n".join(lines)}


def warnings_for(webhook: Webhook, patterns: Iterable[str]) -> list[str]:
    """Return a sentence for each token of content and URL that is empty in some of the events of these patterns."""
    if webhook.format != PayloadFormat.CUSTOM and not has_tokens(webhook.url):
        return []
    message = _('{%(token)s} is empty in %(types)s. Give it a default, such as {%(token)s|default:"-"}.')
    warnings = []
    for token, types in empty_tokens(shape_of(webhook, {}), _event_types(patterns)).items():
        rest = ["…"] if len(types) > MOST_NAMED else []
        warnings.append(message % {"token": token, "types": ", ".join([*types[:MOST_NAMED], *rest])})
    return warnings


def problems_of(webhook: Webhook, event_types: Sequence[EventType]) -> ValidationError | None:
    """Return the problems of a webhook's request format for these event types, by field; None if it is valid."""
    try:
        # Unreadable ones are reported by the validation of the headers.
        check(shape_of(webhook, known_headers(webhook.headers) or {}), event_types)
    except ValidationError as error:
        return error
    return None


def problems_for(webhook: Webhook, patterns: Iterable[str]) -> ValidationError | None:
    """Return the problems of a webhook's request format for the event types that match these patterns.

    Problems that occur with every event type come first.
    """
    problems, chosen = problems_of(webhook, registry.all_types()), _event_types(patterns)
    return problems_of(webhook, chosen) if chosen and not problems else problems


def _event_types(patterns: Iterable[str]) -> list[EventType]:
    return list(dict.fromkeys(event_type for pattern in patterns for event_type in registry.expand(pattern)))


def with_contents(requests: Sequence[OutgoingRequest], spent: TimeSpent) -> list[OutgoingRequest]:
    """Return unrendered requests with their contents; render and store the missing bodies, in one or two queries.

    Leaves out the requests of organizations that have used up their time of this turn. A delivery keeps the body of its
    first attempt; a change of the webhook's format applies to deliveries without an attempt. The URL is always the
    current one. A body that can't be rendered is a problem of its delivery alone.
    """
    stored = {row.pk: row for row in DeliveryBody.objects.filter(key_in(one.delivery_id for one in requests))}
    contents: dict[int, Content] = {}
    new: list[DeliveryBody] = []
    for request in requests:
        key, endpoint = request.delivery_id, request.endpoint
        if spent.is_over(endpoint.webhook.organization_id) or spent.is_over_for_all:
            continue
        start = spent.clock()
        contents[key], is_new = _content(
            endpoint.shape,
            request.unrendered or "",
            stored.get(key),
            attempts=request.number - 1,
            refusal="nothing is sent to its webhook" if endpoint.problem is not None else "",
        )
        if is_new:
            row, content = DeliveryBody(delivery_id=key), contents[key]
            is_rendered = content.problem is None or content.problem.error_class != ErrorClass.RENDER_FAILED
            if is_rendered and len(content.body) <= app_settings.BODY_LIMIT_BYTES:
                row.content_type, row.body = content.content_type, content.body.decode()
            # Empty if no body can be sent.
            new.append(row)
        spent.spend(endpoint.webhook.organization_id, spent.clock() - start)
    refused = _store(new)
    _store([DeliveryBody(delivery_id=pk) for pk in refused])
    contents.update(dict.fromkeys(refused, Content(problem=_failed("the database does not accept it"))))
    return [
        one._replace(unrendered=None, **contents[one.delivery_id]._asdict())
        for one in requests
        if one.delivery_id in contents
    ]


def preview(delivery: Delivery, shape: RequestFormat) -> Content:
    """Return the content of a delivery as it was sent, or as it would be sent now. Nothing is stored."""
    stored = getattr(delivery, "own_body", None)
    return _content(shape, delivery.event.body, stored, attempts=delivery.attempts)[0]


def content_for(webhook: Webhook, event_body: str) -> Content:
    """Return an event as it would be sent to a webhook. Nothing is stored."""
    # Only the content type is needed.
    shape = shape_of(webhook, known_headers(webhook.headers) or {})
    return request_content(replace(shape, url=""), event_body)


def event_for(shape: RequestFormat, event_body: str) -> dict[str, Any]:
    """Return an event in the format ``standard`` as a webhook with these settings gets it: in its detail, with its digest."""
    return tailored(shape, from_text(digested(event_body, shape.detail)))


def request_content(shape: RequestFormat, event_body: str) -> Content:
    """Return an event as it would be sent in this format, with its URL. Nothing is read or stored."""
    return _content(shape, event_body, None)[0]


def _content(
    shape: RequestFormat, event_body: str, stored: DeliveryBody | None, *, attempts: int = 0, refusal: str = ""
) -> tuple[Content, bool]:
    """Return the content of a delivery with its URL, and whether its body is new.

    The body is the stored one, or the event's own if it is sent unchanged, or else a new one. A ``refusal`` prevents a new one.
    A merged event is always rendered, so that a retry sends the same bytes.
    """
    limit, merged = app_settings.BODY_LIMIT_BYTES, "" if stored is None else stored.merged
    # Body and URL share one event.
    event = cache(lambda: event_for(shape, merged or event_body))
    content = None
    if stored is not None and stored.content_type:
        content = Content(stored.body.encode(), stored.content_type)
    elif (shape.is_plain and not merged) or (stored is None and attempts):
        # A first attempt that stored no body had the plain format, whatever it is now.
        content = Content(digested(event_body, PayloadDetail.FULL).encode())
    is_new = content is None or len(content.body) > limit
    if is_new and refusal:
        content = Content(problem=_failed(refusal))
    elif content is None or is_new:
        try:
            rendered = render(shape, event(), limit=limit)
            content = Content(rendered.body.encode(), rendered.content_type)
        except Exception as error:
            # A standard body fails here only if it is too large; the worker reports that for the body itself.
            own = Content(digested(merged or event_body, shape.detail).encode())
            content = own if shape.is_plain else Content(problem=_failed(_reason(error)))
    if content.problem is not None or not has_tokens(shape.url):
        return content, is_new
    try:
        return content._replace(url=fill_url(shape.url, event())), is_new
    except Exception as error:
        text = str(error) if isinstance(error, UnsafeURL) else f"the URL can't be filled in: {_reason(error)}"
        problem = DeliveryError(text, error_class=ErrorClass.INVALID_URL, permanent=True)
        return content._replace(problem=problem), is_new


def _reason(error: Exception) -> str:
    # The messages of other exceptions may hold values of the event.
    return str(error) if isinstance(error, WebhooksError) else type(error).__name__


def _failed(reason: str) -> DeliveryError:
    message = f"the body can't be rendered: {reason}"
    return DeliveryError(message, error_class=ErrorClass.RENDER_FAILED, permanent=True)


def _store(rows: Sequence[DeliveryBody]) -> list[int]:
    """Store bodies; return the keys of the deliveries whose body the database never accepts."""
    if not rows:
        return []
    try:
        insert_or_update(DeliveryBody.objects.all(), rows, unique=["delivery"], fields=["content_type", "body"])
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        # Only the class: the message may quote the body.
        logger.error(
            "The database refused a body with %s: delivery=%s of %s", type(error).__name__, rows[0].pk, len(rows)
        )
        if len(rows) == 1:
            return [rows[0].pk]
        return [pk for row in rows for pk in _store([row])]
    return []
