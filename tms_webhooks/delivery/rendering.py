"""The bodies and URLs of deliveries whose webhook does not get the event as it is stored."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError

from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import ErrorClass, PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import numbers, read
from tms_webhooks.exceptions import DeliveryError, SecretError, UnsafeURL, WebhooksError
from tms_webhooks.models import DeliveryBody, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.payloads.formats import JSON, RequestFormat, fill_url, render, tailored
from tms_webhooks.payloads.formats.check import check
from tms_webhooks.validators import parse_headers

KEPT = "SELECT delivery_id, content_type, body FROM {deliverybody} WHERE delivery_id IN ({ids})"

logger = logging.getLogger(__name__)


class RenderInput(NamedTuple):
    """A delivery whose body may be another one than its event's, which is ``body``."""

    delivery_id: int
    webhook_id: int
    attempts: int
    body: str


class StoredBody(NamedTuple):
    """What was rendered for a delivery; of what could not be rendered the type is empty."""

    content_type: str
    body: str


class Content(NamedTuple):
    """What to send, or why nothing can be sent. Without a ``url`` it goes to the webhook's own."""

    body: bytes = b""
    content_type: str = JSON
    url: str | None = None
    problem: DeliveryError | None = None


def shape_of(webhook: Webhook, headers: Mapping[str, str]) -> RequestFormat:
    """Return what a webhook with these headers wants its requests to look like."""
    named = [value for name, value in headers.items() if name.lower() == "content-type"]
    is_custom = webhook.format == PayloadFormat.CUSTOM
    return RequestFormat(
        format=webhook.format,
        detail=webhook.payload,
        version=webhook.payload_version,
        url=webhook.url,
        content=webhook.content if is_custom else "",
        content_type=named[0] if named and is_custom else "",
        api_url=app_settings.API_URL,
    )


def problems_of(webhook: Webhook, event_types: Sequence[EventType]) -> ValidationError | None:
    """Return what is wrong, field by field, with how a webhook wants to be told of these event types."""
    try:
        headers = parse_headers(reveal(webhook.headers), custom_body=True)
    except (SecretError, ValidationError):
        headers = {}  # told elsewhere
    try:
        check(shape_of(webhook, headers), event_types)
    except ValidationError as error:
        return error
    return None


def problems_for(webhook: Webhook, patterns: Iterable[str]) -> ValidationError | None:
    """Return what is wrong with how a webhook wants to be told of the events that these patterns mean.

    What would be wrong for every event there is comes first.
    """
    chosen = dict.fromkeys(event_type for pattern in patterns for event_type in registry.expand(pattern))
    problems = problems_of(webhook, registry.all_types())
    return problems_of(webhook, list(chosen)) if problems is None and chosen else problems


def contents_of(
    lines: Iterable[RenderInput], shapes: Mapping[int, RequestFormat], *, blocked: Collection[int]
) -> dict[int, Content]:
    """Return what to send for each of these deliveries.

    A body is settled with the first attempt and never changes; the webhook's format counts for what was not tried yet.
    The URL is always today's. What can't be rendered becomes a problem of that delivery alone. Nothing is sent to the
    webhooks that are ``blocked``, so nothing is rendered for them.
    """
    lines, limit = list(lines), app_settings.BODY_LIMIT
    kept = _kept(line.delivery_id for line in lines)
    contents: dict[int, Content] = {}
    fresh: list[DeliveryBody] = []
    for line in lines:
        shape = shapes[line.webhook_id]
        content = _settled(line, kept.get(line.delivery_id), shape, limit=limit)
        if content is None and line.webhook_id in blocked:
            content = Content(problem=_failed("nothing is sent to its webhook"))
            fresh.append(_row(line, content, limit=limit))
        elif content is None:
            content = _rendered(line, shape, limit=limit)
            fresh.append(_row(line, content, limit=limit))
        contents[line.delivery_id] = _addressed(line, shape, content)
    refused = _keep(fresh)
    _keep([DeliveryBody(delivery_id=pk) for pk in refused])
    return {**contents, **dict.fromkeys(refused, Content(problem=_failed("the database does not take it")))}


def preview(line: RenderInput, shape: RequestFormat) -> Content:
    """Return what is sent for a delivery, or would be if it was tried now, and write nothing down."""
    limit = app_settings.BODY_LIMIT
    kept = _kept([line.delivery_id]).get(line.delivery_id)
    content = _settled(line, kept, shape, limit=limit) or _rendered(line, shape, limit=limit)
    return _addressed(line, shape, content)


def _kept(ids: Iterable[int]) -> dict[int, StoredBody]:
    return {pk: StoredBody(content_type, body) for pk, content_type, body in read(KEPT, ids=numbers(ids))}


def _settled(line: RenderInput, kept: StoredBody | None, shape: RequestFormat, *, limit: int) -> Content | None:
    """Return the body of a delivery that has one, or None where it has to be rendered."""
    if kept is not None and kept.content_type:
        content = Content(kept.body.encode(), kept.content_type)
    elif shape.is_plain or (kept is None and line.attempts):
        content = Content(line.body.encode())
    else:
        return None
    return content if len(content.body) <= limit else None


def _rendered(line: RenderInput, shape: RequestFormat, *, limit: int) -> Content:
    try:
        rendered = render(shape, tailored(shape, from_text(line.body)), limit=limit)
        return Content(rendered.body.encode(), rendered.content_type)
    except Exception as error:
        # Of a webhook that gets events as they are this one is too large, and that is what is wrong with it.
        return Content(line.body.encode()) if shape.is_plain else Content(problem=_failed(_reason(error)))


def _row(line: RenderInput, content: Content, *, limit: int) -> DeliveryBody:
    """Return what to keep: nothing but a mark where there is nothing that can be sent."""
    if content.problem is not None or len(content.body) > limit:
        return DeliveryBody(delivery_id=line.delivery_id)
    return DeliveryBody(delivery_id=line.delivery_id, content_type=content.content_type, body=content.body.decode())


def _addressed(line: RenderInput, shape: RequestFormat, content: Content) -> Content:
    """Fill in the URL, where it has tokens."""
    if content.problem is not None or not shape.has_tokens:
        return content
    try:
        return content._replace(url=fill_url(shape.url, tailored(shape, from_text(line.body))))
    except UnsafeURL as error:
        problem = DeliveryError(str(error), error_class=ErrorClass.INVALID_URL, permanent=True)
    except Exception as error:
        problem = DeliveryError(
            f"the URL can't be filled in: {_reason(error)}", error_class=ErrorClass.INVALID_URL, permanent=True
        )
    return content._replace(problem=problem)


def _reason(error: Exception) -> str:
    # Only our own messages are known to hold no value of the event.
    return str(error) if isinstance(error, WebhooksError) else type(error).__name__


def _failed(reason: str) -> DeliveryError:
    message = f"the body can't be rendered: {reason}"
    return DeliveryError(message, error_class=ErrorClass.RENDER_FAILED, permanent=True)


def _keep(rows: Sequence[DeliveryBody]) -> list[int]:
    """Write bodies down; return the deliveries whose body the database refuses for good."""
    if not rows:
        return []
    try:
        DeliveryBody.objects.store(rows)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        # The class alone: the message may quote the body.
        logger.error(
            "The database refused a body, by %s: delivery=%s of %s", type(error).__name__, rows[0].pk, len(rows)
        )
        if len(rows) == 1:
            return [rows[0].pk]
        return [pk for row in rows for pk in _keep([row])]
    return []
