"""Render a stored event for one webhook: with its detail, in its format. No database access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import schema_id
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.envelope import from_text, to_text
from tms_webhooks.payloads.formats import custom, skillable
from tms_webhooks.payloads.formats.custom import fill_url, tokens_without_value
from tms_webhooks.payloads.formats.shape import JSON, Rendered, RequestFormat, tailored
from tms_webhooks.payloads.formats.template import TextTooLong

__all__ = [
    "JSON",
    "Rendered",
    "RequestFormat",
    "binary_headers",
    "fill_url",
    "render",
    "tailored",
    "tokens_without_value",
]

# The content type of the structured mode.
CLOUDEVENTS = "application/cloudevents+json"
# What headers of the binary mode leave as it is: printable ASCII, but no space, quotation mark or percent sign.
SAFE = "!#$&'()*+,/:;<=>?@[\\]^`{|}"


def render(shape: RequestFormat, event: Mapping[str, Any], *, limit: int) -> Rendered:
    """Return the body of a `tailored` event. If it exceeds ``limit`` bytes, return the thin form, marked as truncated.

    The limit of custom content is `LONGEST_TEXT`, if that is less.
    """
    with suppress(TextTooLong):
        rendered = _FORMATS[shape.format](event, shape)
        if len(rendered.body.encode()) <= limit:
            return rendered
    thin = tailored(replace(shape, detail=PayloadDetail.THIN), {**event, "truncated": True})
    return _FORMATS[shape.format](thin, shape)


def _attributes(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of CloudEvents 1.0. ``sequence`` and ``correlationid`` are extensions: strings.

    A test also has the extension ``test``, which is true.
    """
    subject = event["data"].get("id")
    whole = {
        "specversion": "1.0",
        "id": event["id"],
        "source": f"urn:tms-webhooks:organization:{quote(str(event['organization']['id']), safe='')}",
        "type": event["type"],
        "subject": None if subject is None else f"{catalogue.get(event['type']).noun.name}/{subject}",
        "time": event["timestamp"],
        "dataschema": schema_id(event["type"], event["version"]),
        "sequence": str(event["sequence"]),
        "test": event.get("test"),
        "correlationid": event.get("correlation_id"),
    }
    return {name: value for name, value in whole.items() if value is not None}


def binary_headers(body: str) -> dict[str, str]:
    """Return the headers of a standard event in binary mode: the attributes, percent-encoded as its HTTP binding says.

    A body of another format, which a first attempt has fixed, has none.
    """
    with suppress(LookupError, TypeError, ValueError):
        return {
            f"ce-{name}": quote("true" if value is True else value, safe=SAFE)
            for name, value in _attributes(from_text(body)).items()
        }
    return {}


_FORMATS: Mapping[str, Callable[[Mapping[str, Any], RequestFormat], Rendered]] = {
    PayloadFormat.STANDARD: lambda event, _shape: Rendered(JSON, to_text(event)),
    PayloadFormat.SKILLABLE: lambda event, _shape: Rendered(JSON, to_text(skillable.flat(event))),
    PayloadFormat.CLOUDEVENTS: lambda event, _shape: Rendered(
        CLOUDEVENTS, to_text({**_attributes(event), "datacontenttype": JSON, "data": dict(event)})
    ),
    PayloadFormat.CLOUDEVENTS_BINARY: lambda event, _shape: Rendered(JSON, to_text(event)),
    PayloadFormat.CUSTOM: custom.render,
}
