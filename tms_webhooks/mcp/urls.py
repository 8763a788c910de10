"""The endpoint of MCP. A host that has the API includes it: ``path("mcp/", include("tms_webhooks.mcp.urls"))``.

One request has one JSON-RPC message, and is answered immediately, without sessions and streams. Authentication and access policy
are those of the API. Versions, headers and envelopes are checked by the official SDK, whose server needs ASGI.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.urls import path
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_INFO_META_KEY,
    CallToolRequestParams,
    InitializeRequestParams,
    JSONRPCRequest,
    PaginatedRequestParams,
    RequestParams,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from rest_framework.response import Response

from tms_webhooks import __version__
from tms_webhooks.api.problems import URN
from tms_webhooks.api.views.webhooks import HookViewSet
from tms_webhooks.hooks import FORBIDDEN
from tms_webhooks.manage.tests import outside_transactions
from tms_webhooks.mcp import events, tools
from tms_webhooks.mcp.events import NOT_FOUND, RESOURCE_EXHAUSTED, RPCError

INFO = {"name": "tms-webhooks", "version": __version__}
INSTRUCTIONS = (
    "Events of a training management system. Subscribe a webhook to them with events/subscribe. The tools find deliveries, "
    "and explain why an event was not sent."
)
CAPABILITIES: dict[str, Any] = {
    "tools": {},
    # Where clients of the draft look for it, and where SEP-3415 has it.
    "events": {},
    "extensions": {"io.modelcontextprotocol/events": {}},
}
CACHED = ("server/discover", "tools/list")
"""The methods whose result a client may keep for five minutes."""

CODES = {
    "malformed-body": PARSE_ERROR,
    "invalid-request": INVALID_PARAMS,
    "not-found": NOT_FOUND,
    "forbidden": FORBIDDEN,
    "conflict": RESOURCE_EXHAUSTED,
    "too-many-requests": RESOURCE_EXHAUSTED,
}
"""The code of each type of problem that the API answers; of any other, it is an internal error."""
TRANSPORT = frozenset({"not-authenticated", "method-not-allowed", "not-acceptable", "body-too-large", "unavailable"})
"""The types of problems that keep their HTTP status, which clients and proxies act upon."""

KEPT = ("WWW-Authenticate", "Retry-After", "Allow")
"""The headers of a problem that its JSON-RPC error has, too."""

_POINTER = re.compile(r"#/(\w+)((?:/\w+)*)")
_PARAMETERS = {
    "target_url": "delivery.url",
    "secret": "delivery.secret",
    "event": "name",
    "filters": "arguments.filters",
    "organization": "arguments.organization",
}
"""The parameters of a subscription by the fields of a hook."""


class EndpointViewSet(HookViewSet):
    """Answers the messages of MCP."""

    # It is no part of the API's document.
    schema: Any = None
    # That of a tool belongs to its request, whose view knows the rights that a stored answer needs.
    takes_idempotency_keys = False
    _id: Any = None

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Return the view, which ignores ``ATOMIC_REQUESTS``, since it waits for receivers."""
        return outside_transactions(super().as_view(actions, **initkwargs))

    def serve(self, request: Any) -> Response:
        """Answer one message; a notification needs nothing but 202."""
        message = request.data
        self._id = message.get("id")
        if "id" not in message and isinstance(message.get("method"), str):
            return Response(status=202)
        try:
            JSONRPCRequest.model_validate(message)
        except ValidationError as error:
            raise RPCError(INVALID_REQUEST, f"Not a JSON-RPC 2.0 request: {words_of(error)}") from None
        version = request.headers.get("MCP-Protocol-Version")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            headers = {name.lower(): value for name, value in request.headers.items()}
            verdict = inbound().classify_inbound_request(message, headers=headers)
            if isinstance(verdict, inbound().InboundLadderRejection):
                raise RPCError(verdict.code, verdict.message, verdict.data)
        if message["method"] not in METHODS:
            known = ", ".join(METHODS)
            raise RPCError(METHOD_NOT_FOUND, f"Unknown method {message['method'][:80]!r}. Known: {known}.")
        model, method = METHODS[message["method"]]
        try:
            params = model.model_validate(message.get("params") or {}, by_name=False)
        except ValidationError as error:
            raise RPCError(INVALID_PARAMS, f"Invalid params: {words_of(error)}") from None
        result = {"resultType": "complete", "_meta": {SERVER_INFO_META_KEY: INFO}, **method(self, params)}
        if message["method"] in CACHED:
            result |= {"ttlMs": 300_000, "cacheScope": "private"}
        return Response({"jsonrpc": "2.0", "id": self._id, "result": result})

    def handle_exception(self, exc: Exception) -> Response:
        """Return a JSON-RPC error, also for each problem of the API."""
        if isinstance(exc, RPCError):
            error, status = exc, inbound().ERROR_CODE_HTTP_STATUS.get(exc.code, 200)
            headers: Mapping[str, str] = {}
        else:
            response = super().handle_exception(exc)
            # Its errors name fields of a hook.
            renamed = _POINTER.sub(
                lambda found: f"{_PARAMETERS.get(found[1], found[1])}{found[2].replace('/', '.')}",
                json.dumps(response.data),
            )
            problem, headers = json.loads(renamed), response.headers
            kind = problem["type"].removeprefix(URN)
            code = CODES.get(kind, FORBIDDEN if kind == "not-authenticated" else INTERNAL_ERROR)
            data = {"limit": "subscriptions"} if code == RESOURCE_EXHAUSTED else problem.get("errors")
            error = RPCError(code, problem["detail"], data)
            status = problem["status"] if kind in TRANSPORT else inbound().ERROR_CODE_HTTP_STATUS.get(code, 200)
        details = {} if error.data is None else {"data": error.data}
        body = {"jsonrpc": "2.0", "id": self._id, "error": {"code": error.code, "message": error.message, **details}}
        return Response(body, status=status, headers={name: value for name, value in headers.items() if name in KEPT})


def inbound() -> Any:
    """Return the SDK's rules for requests. With them, its client and server are imported, which other processes do without."""
    from mcp.shared import inbound

    return inbound


def words_of(error: ValidationError) -> str:
    """Return the places of wrong values and what belongs there; never a value, which may be a secret."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)[:5])


def initialize(_view: Any, params: InitializeRequestParams) -> dict[str, Any]:
    """Agree on the version that the client asks for, or else on the latest with a handshake."""
    asked = params.protocol_version
    version = asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
    return {
        "protocolVersion": version,
        "capabilities": CAPABILITIES,
        "serverInfo": INFO,
        "instructions": INSTRUCTIONS,
    }


def discover(_view: Any, _params: Any) -> dict[str, Any]:
    """Return what this server can do."""
    versions = list(MODERN_PROTOCOL_VERSIONS)
    return {"supportedVersions": versions, "capabilities": CAPABILITIES, "instructions": INSTRUCTIONS}


METHODS: Mapping[str, tuple[Any, Any]] = {
    "server/discover": (RequestParams, discover),
    "initialize": (InitializeRequestParams, initialize),
    "ping": (RequestParams, lambda _view, _params: {}),
    "tools/list": (PaginatedRequestParams, tools.list_tools),
    "tools/call": (CallToolRequestParams, tools.call_tool),
    "events/list": (PaginatedRequestParams, events.list_events),
    "events/subscribe": (events.SubscriptionParams, events.subscribe),
    "events/unsubscribe": (events.SubscriptionParams, events.unsubscribe),
}
"""The methods, each with the model of its parameters."""

urlpatterns = [path("", EndpointViewSet.as_view({"post": "serve"}), name="mcp")]
