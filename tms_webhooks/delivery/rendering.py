"""Render the bodies and URLs of deliveries whose webhook has a format, a version or URL tokens of its own.

A body is rendered before the first attempt and stored in `DeliveryBody`; later attempts send the stored one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, router
from django.utils.translation import gettext as _

from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import ErrorClass, PayloadFormat, Verb
from tms_webhooks.conf import app_settings
from tms_webhooks.db.lookups import key_in
from tms_webhooks.delivery.outgoing import OutgoingRequest
from tms_webhooks.exceptions import DeliveryError, UnsafeURL, WebhooksError
from tms_webhooks.models import DeliveryBody, Webhook
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


class RenderInput(NamedTuple):
    """A delivery to render. ``body`` is the body of its event, in the standard format."""

    delivery_id: int
    attempts: int
    body: str


class StoredBody(NamedTuple):
    """The stored body of a delivery. The content type is empty if the body could not be rendered, or is not yet.

    ``merged`` replaces the body of the event, if the delivery carries several events of a quiet period.
    """

    content_type: str
    body: str
    merged: str = ""


class Content(NamedTuple):
    """The body and URL of a request, or the ``problem`` that prevents it. Without ``url``, the webhook's is used."""

    body: bytes = b""
    content_type: str = JSON
    url: str | None = None
    problem: DeliveryError | None = None


def shape_of(webhook: Webhook, headers: Mapping[str, str]) -> RequestFormat:
    """Return the request format of a webhook that has these headers."""
    named = [value for name, value in headers.items() if name.lower() == "content-type"]
    is_custom = webhook.format == PayloadFormat.CUSTOM
    return RequestFormat(
        format=webhook.format,
        detail=webhook.payload,
        version=webhook.payload_version,
        url=webhook.url,
        content=webhook.content if is_custom else "",
        contents=webhook.contents if is_custom else {},
        content_type=named[0] if named and is_custom else "",
        api_url=app_settings.API_URL,
    )


def preset_values(preset: str, webhook: Webhook, patterns: Iterable[str]) -> dict[str, Any]:
    """Return the fields of a webhook that a preset fills in, for the events of these patterns.

    Its headers keep their values; a content type among them is replaced by that of the preset. Raises `SecretError` if
    they can't be decrypted.
    """
    made = presets.content_for(preset, patterns, detail=webhook.payload, version=webhook.payload_version)
    before = reveal(webhook.headers).splitlines()
    lines = [line for line in before if not line.lower().startswith("content-type=")]
    if made.content_type:
        lines.append(f"Content-Type={made.content_type}")
    values = {
        "format": PayloadFormat.CUSTOM.value,
        "verb": Verb.POST.value,
        "content": made.content,
        "contents": dict(made.contents),
    }
    return values if lines == before else {**values, "headers": "\n".join(lines)}


def warnings_for(webhook: Webhook, patterns: Iterable[str]) -> list[str]:
    """Return a sentence for each token of content and URL that is empty in some of the events of these patterns."""
    if webhook.format != PayloadFormat.CUSTOM and not has_tokens(webhook.url):
        return []
    chosen = dict.fromkeys(event_type for pattern in patterns for event_type in registry.expand(pattern))
    message = _('{%(token)s} is empty in %(types)s. Give it a default, such as {%(token)s|default:"-"}.')
    warnings = []
    for token, types in empty_tokens(shape_of(webhook, {}), chosen).items():
        more = len(types) - MOST_NAMED
        rest = _(" and %(count)d more") % {"count": more} if more > 0 else ""
        warnings.append(message % {"token": token, "types": ", ".join(types[:MOST_NAMED]) + rest})
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
    chosen = dict.fromkeys(event_type for pattern in patterns for event_type in registry.expand(pattern))
    problems = problems_of(webhook, registry.all_types())
    return problems_of(webhook, list(chosen)) if problems is None and chosen else problems


def contents_of(requests: Iterable[OutgoingRequest], spent: TimeSpent) -> dict[int, Content]:
    """Return the contents to send, by the key of the delivery; render and store the missing bodies.

    Leaves out the requests of organizations that have used up their time of this turn. A delivery keeps the body of its
    first attempt; a change of the webhook's format applies to deliveries without an attempt. The URL is always the
    current one. A body that can't be rendered is a problem of its delivery alone.
    """
    requests, limit, begun_at, rendering = list(requests), app_settings.BODY_LIMIT_BYTES, spent.clock(), 0.0
    if not requests:
        return {}
    stored = _stored_bodies(one.delivery_id for one in requests)
    contents: dict[int, Content] = {}
    new: list[DeliveryBody] = []
    for request in requests:
        endpoint = request.endpoint
        if spent.is_over(endpoint.organization_id) or spent.is_over_for_all:
            continue
        start = spent.clock()
        one = _with_merged(stored, RenderInput(request.delivery_id, request.number - 1, request.unrendered or ""))
        event = _event_of(one, endpoint.shape)
        content = _existing(one, stored.get(one.delivery_id), endpoint.shape, limit=limit)
        if content is None:
            blocked = Content(problem=_failed("nothing is sent to its webhook"))
            content = blocked if endpoint.problem is not None else _rendered(one, endpoint.shape, event, limit=limit)
            new.append(_row(one, content, limit=limit))
        contents[one.delivery_id] = _with_url(endpoint.shape, event, content)
        seconds = spent.clock() - start
        spent.spend(endpoint.organization_id, seconds)
        rendering += seconds
    refused = _store(new)
    _store([DeliveryBody(delivery_id=pk) for pk in refused])
    contents.update(dict.fromkeys(refused, Content(problem=_failed("the database does not accept it"))))
    # What it takes to read and write the bodies, by their sizes.
    each = (spent.clock() - begun_at - rendering) / (1 + sum(len(one.body) for one in contents.values()))
    for request in requests:
        if request.delivery_id in contents:
            spent.spend(request.endpoint.organization_id, each * len(contents[request.delivery_id].body))
    return contents


def preview(delivery: RenderInput, shape: RequestFormat) -> Content:
    """Return the content of a delivery as it was sent, or as it would be sent now. Nothing is stored."""
    stored = _stored_bodies([delivery.delivery_id])
    return _previewed(_with_merged(stored, delivery), stored.get(delivery.delivery_id), shape)


def content_for(webhook: Webhook, event_body: str) -> Content:
    """Return an event as it would be sent to a webhook. Nothing is stored."""
    # Only the content type is needed.
    shape = shape_of(webhook, known_headers(webhook.headers) or {})
    return request_content(replace(shape, url=""), event_body)


def request_content(shape: RequestFormat, event_body: str) -> Content:
    """Return an event as it would be sent in this format, with its URL. Nothing is read or stored."""
    return _previewed(RenderInput(0, 0, event_body), None, shape)


def _previewed(delivery: RenderInput, stored: StoredBody | None, shape: RequestFormat) -> Content:
    event, limit = _event_of(delivery, shape), app_settings.BODY_LIMIT_BYTES
    content = _existing(delivery, stored, shape, limit=limit) or _rendered(delivery, shape, event, limit=limit)
    return _with_url(shape, event, content)


def _event_of(delivery: RenderInput, shape: RequestFormat) -> Callable[[], Mapping[str, Any]]:
    """Return a function that returns the event of a delivery as its webhook gets it. Body and URL share one event."""
    return cache(lambda: tailored(shape, from_text(delivery.body)))


def _with_merged(stored: Mapping[int, StoredBody], delivery: RenderInput) -> RenderInput:
    """Return a delivery with the merged event as its body, if it carries several events."""
    found = stored.get(delivery.delivery_id)
    return delivery if found is None or not found.merged else delivery._replace(body=found.merged)


def _stored_bodies(ids: Iterable[int]) -> dict[int, StoredBody]:
    rows = DeliveryBody.objects.using(router.db_for_write(DeliveryBody)).filter(key_in(ids))
    found = rows.values_list("pk", "content_type", "body", "merged")
    return {pk: StoredBody(*columns) for pk, *columns in found}


def _existing(delivery: RenderInput, stored: StoredBody | None, shape: RequestFormat, *, limit: int) -> Content | None:
    """Return the stored body, or the event's own body if it is sent unchanged; None if a body has to be rendered.

    A merged event is always rendered and stored, so that a retry sends the same bytes.
    """
    is_merged = stored is not None and stored.merged != ""
    if stored is not None and stored.content_type:
        content = Content(stored.body.encode(), stored.content_type)
    elif (shape.is_plain and not is_merged) or (stored is None and delivery.attempts):
        content = Content(delivery.body.encode())
    else:
        return None
    return content if len(content.body) <= limit else None


def _rendered(
    delivery: RenderInput, shape: RequestFormat, event: Callable[[], Mapping[str, Any]], *, limit: int
) -> Content:
    try:
        rendered = render(shape, event(), limit=limit)
        return Content(rendered.body.encode(), rendered.content_type)
    except Exception as error:
        # A standard body fails here only if it is too large; the worker reports that for the body itself.
        return Content(delivery.body.encode()) if shape.is_plain else Content(problem=_failed(_reason(error)))


def _row(delivery: RenderInput, content: Content, *, limit: int) -> DeliveryBody:
    """Return the row to store: an empty one if the content can't be sent."""
    if content.problem is not None or len(content.body) > limit:
        return DeliveryBody(delivery_id=delivery.delivery_id)
    return DeliveryBody(delivery_id=delivery.delivery_id, content_type=content.content_type, body=content.body.decode())


def _with_url(shape: RequestFormat, event: Callable[[], Mapping[str, Any]], content: Content) -> Content:
    """Return the content with the URL of this delivery, if the webhook's URL has tokens."""
    if content.problem is not None or not shape.has_tokens:
        return content
    try:
        return content._replace(url=fill_url(shape.url, event()))
    except UnsafeURL as error:
        problem = DeliveryError(str(error), error_class=ErrorClass.INVALID_URL, permanent=True)
    except Exception as error:
        problem = DeliveryError(
            f"the URL can't be filled in: {_reason(error)}", error_class=ErrorClass.INVALID_URL, permanent=True
        )
    return content._replace(problem=problem)


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
        DeliveryBody.objects.store(rows)
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
