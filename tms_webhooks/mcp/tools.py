"""The tools of MCP: requests of the API for agents. The API decides what the caller may do, and hides what it may not see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from django.core.handlers.wsgi import WSGIRequest
from django.urls import resolve
from mcp_types import INVALID_PARAMS, CallToolRequestParams
from rest_framework.authentication import BaseAuthentication

from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.mcp.events import RPCError

API = "tms_webhooks.api.urls"
OF_BODY = ("_body", "_post", "_files")
"""The attributes of a Django request that has read its body. A tool has none."""
TEXT = {"type": "string"}
PAGES = {
    "cursor": {**TEXT, "description": "The next_cursor of the page before."},
    "page_size": {"type": "integer", "minimum": 1, "maximum": 100},
}
OF_EVENT = {
    "event_type": {**TEXT, "description": "Such as class.cancelled."},
    "subject": {**TEXT, "description": "The object that the event is about, such as class:8840."},
    "event": {**TEXT, "description": "The id of an event: evt_…"},
}
WEBHOOK = {"webhook": {**TEXT, "description": "The id of a webhook: whk_…"}}
ORGANIZATION = {"organization": {"type": ["integer", "string"], "description": "The id of an organization."}}
HEALTH = (
    *("id", "organization", "name", "enabled", "state", "health", "disabled_reason", "disabled_at", "failures"),
    *("failing_since", "succeeded_at", "paused_until", "held_until", "hold_reason"),
)
"""The fields of a webhook that say how it is."""


class Tool(NamedTuple):
    """A tool: the request of the API that it is, and its arguments.

    Those that the path names are part of it, the others are parameters. Of the rows of a list, ``keep`` has the fields.
    """

    description: str
    path: str
    arguments: Mapping[str, Any]
    method: str = "GET"
    keep: tuple[str, ...] = ()

    @property
    def in_path(self) -> list[str]:
        """The arguments that are part of the path."""
        return [name for name in self.arguments if f"{{{name}}}" in self.path]


TOOLS = {
    "find_deliveries": Tool(
        "Find deliveries of events to webhooks, newest first: delivered, failed, skipped and waiting ones.",
        "deliveries/",
        {
            **WEBHOOK,
            **ORGANIZATION,
            **OF_EVENT,
            "status": {"type": "array", "items": {"enum": DeliveryStatus.values}},
            "error_class": {**TEXT, "description": "Why the last attempt failed, such as timeout or http_status."},
            "created_after": {**TEXT, "format": "date-time"},
            "created_before": {**TEXT, "format": "date-time"},
            **PAGES,
        },
    ),
    "why_not_sent": Tool(
        "Explain, check by check, why a webhook gets an event or not. Name a recorded event, or the event_type of one that "
        "could happen, with the subject that it would be about.",
        "webhooks/{webhook}/explain/",
        {**WEBHOOK, **OF_EVENT},
    ),
    "resend_delivery": Tool(
        "Send a finished delivery to its webhook once more, now. The id of the event stays the same.",
        "deliveries/{delivery}/resend/",
        {"delivery": {**TEXT, "description": "The id of a delivery: dlv_…"}},
        method="POST",
    ),
    "webhook_health": Tool(
        "List webhooks with their health: whether they work, fail, are paused or disabled, since when, and why.",
        "webhooks/",
        {**ORGANIZATION, "name": TEXT, "enabled": {"enum": ["true", "false"]}, **PAGES},
        keep=HEALTH,
    ),
    "describe_event": Tool(
        "Return the JSON Schema of an event type, which says what the event means and what its fields are.",
        "event-types/{event_type}/schema/",
        {"event_type": OF_EVENT["event_type"]},
    ),
}


def list_tools(_view: Any, _params: Any) -> dict[str, Any]:
    """Return the tools."""
    return {
        "tools": [
            {
                "name": name,
                "description": tool.description,
                "inputSchema": {
                    "type": "object",
                    "properties": tool.arguments,
                    "required": tool.in_path,
                    "additionalProperties": False,
                },
                "annotations": {"readOnlyHint": tool.method == "GET", "destructiveHint": False, "openWorldHint": False},
            }
            for name, tool in TOOLS.items()
        ],
    }


class CallerOfMessage(BaseAuthentication):
    """Authenticates the request of a tool as the caller of its message. Another authentication could take a key for a session."""

    def authenticate(self, request: Any) -> Any:
        return request._request.user, request._request.auth


def call_tool(view: Any, params: CallToolRequestParams) -> dict[str, Any]:
    """Send the request of a tool to the API within this process, and return its answer; a problem is an error of the tool."""
    tool, given = TOOLS.get(params.name), params.arguments or {}
    if tool is None:
        raise RPCError(INVALID_PARAMS, f"name: Unknown tool {params.name[:80]!r}. Known: {', '.join(TOOLS)}.")
    if missing := [one for one in tool.in_path if not given.get(one)]:
        raise RPCError(INVALID_PARAMS, f"arguments.{missing[0]}: Missing; tools/list describes it.")
    path = "/" + tool.path.format(**{one: quote(str(given[one]), safe="") for one in tool.in_path})
    found: Any = resolve(path, API)
    query = {name: value for name, value in given.items() if name not in tool.in_path and value is not None}
    environ = {
        **view.request.META,
        "REQUEST_METHOD": tool.method,
        "SCRIPT_NAME": "",
        # By its path, an idempotency key knows a repetition.
        "PATH_INFO": path,
        "QUERY_STRING": urlencode(query, doseq=True),
        "CONTENT_LENGTH": "0",
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": view.request.scheme,
    }
    # It is about the message.
    environ.pop("HTTP_IF_MATCH", None)
    request = WSGIRequest(environ)
    # The URLs in an answer are those of the API.
    found.namespaces, request.resolver_match = ["tms_webhooks"], found
    # The user, the session, and all else that middleware and authentication have set.
    for name, value in vars(view.request._request).items():
        if not (name in OF_BODY or hasattr(request, name)):
            setattr(request, name, value)
    # The throttles of the host have counted the message.
    options = {**found.func.initkwargs, "authentication_classes": (CallerOfMessage,), "throttle_classes": ()}
    answer = found.func.cls.as_view(found.func.actions, **options)
    response = answer(request, *found.args, **found.kwargs)
    data = dict(response.data)
    if "results" in data:
        following = parse_qs(urlsplit(data.get("next") or "").query).get("cursor", [None])[0]
        rows = [{name: row[name] for name in tool.keep or row} for row in data["results"]]
        data = {"results": rows, "next_cursor": following}
    text = json.dumps(data, ensure_ascii=False, default=str)
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": json.loads(text),
        "isError": response.status_code >= 400,
    }
