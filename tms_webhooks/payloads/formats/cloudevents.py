"""The format ``cloudevents``: CloudEvents 1.0, structured mode, with the whole standard event as the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import schema_id
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats.shape import JSON, Rendered, RequestFormat

# The content type of the structured mode.
CLOUDEVENTS = "application/cloudevents+json"


def render(event: Mapping[str, Any], _shape: RequestFormat) -> Rendered:
    """Return the event in its CloudEvents envelope. ``sequence`` and ``correlationid`` are extensions: strings.

    A test also has the extension ``test``, which is true.
    """
    subject = event["data"].get("id")
    whole = {
        "specversion": "1.0",
        "id": event["id"],
        "source": f"urn:tms-webhooks:organization:{quote(str(event['organization']['id']), safe='')}",
        "type": event["type"],
        **({} if subject is None else {"subject": f"{catalogue.get(event['type']).noun.name}/{subject}"}),
        "time": event["timestamp"],
        "datacontenttype": JSON,
        "dataschema": schema_id(event["type"], event["version"]),
        "sequence": str(event["sequence"]),
        **({"test": True} if event.get("test") else {}),
        **({"correlationid": event["correlation_id"]} if "correlation_id" in event else {}),
        "data": dict(event),
    }
    return Rendered(CLOUDEVENTS, to_text(whole))
