"""Render a stored event for one webhook: in its version, with its detail, in its format. No database access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tms_webhooks.catalogue.versions import convert_down
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats import cloudevents, custom, skillable
from tms_webhooks.payloads.formats.custom import fill_url, tokens_without_value
from tms_webhooks.payloads.formats.detail import linked, reduced, truncated
from tms_webhooks.payloads.formats.shape import JSON, Rendered, RequestFormat
from tms_webhooks.payloads.formats.template import TextTooLong

__all__ = ["JSON", "Rendered", "RequestFormat", "fill_url", "render", "tailored", "tokens_without_value"]


def tailored(shape: RequestFormat, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the standard event in the webhook's version and detail. All formats are rendered from this."""
    event = dict(event) if shape.version is None else convert_down(dict(event), shape.version)
    if shape.detail == PayloadDetail.FULL:
        return event
    kept = reduced(event, shape.detail)
    return linked(kept, shape.api_url) if shape.detail == PayloadDetail.THIN else kept


def render(shape: RequestFormat, event: Mapping[str, Any], *, limit: int) -> Rendered:
    """Return the body of a `tailored` event. If it exceeds ``limit`` bytes, return the thin form, marked as truncated.

    The limit of custom content is `LONGEST_TEXT`, if that is less.
    """
    with suppress(TextTooLong):
        rendered = _FORMATS[shape.format](event, shape)
        if len(rendered.body.encode()) <= limit:
            return rendered
    return _FORMATS[shape.format](linked(truncated(event), shape.api_url), shape)


def _standard(event: Mapping[str, Any], _shape: RequestFormat) -> Rendered:
    return Rendered(JSON, to_text(event))


_FORMATS: Mapping[str, Callable[[Mapping[str, Any], RequestFormat], Rendered]] = {
    PayloadFormat.STANDARD: _standard,
    PayloadFormat.SKILLABLE: skillable.render,
    PayloadFormat.CLOUDEVENTS: cloudevents.render,
    PayloadFormat.CUSTOM: custom.render,
}
