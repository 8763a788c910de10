"""MCP Events, SEP-3415, delivered by webhook: list the event types, subscribe a callback URL to one, refresh and unsubscribe.

A subscription is a hook whose requests have the header X-MCP-Subscription-Id and the body of an MCP event. A hook exists only
for a callback URL that has answered the challenge, so it stands for the verification, too.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from django.core.cache import cache
from django.db import router, transaction
from django.db.models import F
from django.utils import timezone
from mcp_types import INVALID_PARAMS, PaginatedRequestParams, RequestParams
from pydantic import BaseModel, ConfigDict

from tms_webhooks.api.filters import visible_webhooks
from tms_webhooks.api.serializers.base import OrganizationIDField
from tms_webhooks.api.serializers.webhooks import NewHookSerializer
from tms_webhooks.api.views.webhooks import refuse_unreachable
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.catalogue.values import instant
from tms_webhooks.choices import Action, PayloadDetail, PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.filters import criteria
from tms_webhooks.hooks import send_control
from tms_webhooks.manage import hooks, webhooks
from tms_webhooks.models import Webhook, limits
from tms_webhooks.models.idempotency import digest_of
from tms_webhooks.models.webhook import MCP_HEADER

# The other codes that SEP-3415 adds to those of JSON-RPC.
NOT_FOUND, RESOURCE_EXHAUSTED, UNSUPPORTED, CALLBACK_ENDPOINT_ERROR = -32023, -32025, -32026, -32027

PAGE, MOST_ORGANIZATIONS = 20, 50
"""Event types in a page, each of which has a whole schema; and the organizations that a schema names."""
DEFAULT_SECONDS, SHORTEST_SECONDS, LONGEST_SECONDS = 86_400, 300, int(hooks.LIFETIME.total_seconds())
"""The lifetime of a subscription, in seconds."""
OVERLAP = timedelta(minutes=5)
"""How long an old secret also signs, unless SECRET_OVERLAP_LIMIT_SECONDS is shorter."""
TIMEOUT_SECONDS = 10
MOST_CHALLENGES, MOST_OF_HOST = 20, 10
"""Challenges of an organization in a minute, each of which a web process waits for; and those to one host."""
KEYS = ("organization", "sequence", "actor", "data", "details", "changed", "previous")
"""The keys of an event that are the data of the MCP event. Others have their own place there, or are left out."""


class RPCError(Exception):
    """An error of JSON-RPC, with what its code calls for as ``data``."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Callback(BaseModel):
    """Where events are sent. Clients that unsubscribe have no secret."""

    url: str
    mode: str = "webhook"
    secret: str = ""


class Arguments(BaseModel):
    """The arguments of a subscription, as `input_schema` describes them. The serializer of hooks validates the first two."""

    model_config = ConfigDict(extra="forbid")

    organization: Any = None
    filters: Any = None
    payload: PayloadDetail = PayloadDetail.FULL

    @property
    def given(self) -> dict[str, Any]:
        """Those that the client gave."""
        return self.model_dump(exclude_unset=True)


class SubscriptionParams(RequestParams):
    """The parameters of ``events/subscribe`` and ``events/unsubscribe``. A cursor is ignored: events are not replayed."""

    name: str
    delivery: Callback
    arguments: Arguments = Arguments()
    ttl_ms: int | None = None


def list_events(view: Any, params: PaginatedRequestParams) -> dict[str, Any]:
    """Return a page of the event types that a webhook can subscribe to. A cursor is the last name of the page before."""
    types = [one for one in registry.all_types() if one.offered]
    names = [one.name for one in types]
    if params.cursor and params.cursor not in names:
        raise RPCError(
            INVALID_PARAMS, f"cursor: {params.cursor[:80]!r} is none of this list; leave it out for the first page."
        )
    start = names.index(params.cursor) + 1 if params.cursor else 0
    page = types[start : start + PAGE]
    keys = view.organizations(Action.MANAGE).order_by("pk").values_list("pk", flat=True)[: MOST_ORGANIZATIONS + 1]
    organizations = list(keys) if len(keys) <= MOST_ORGANIZATIONS else []
    return {
        "events": [
            {
                "name": one.name,
                "description": one.summary,
                "delivery": ["webhook"],
                "inputSchema": input_schema(one, organizations),
                "payloadSchema": payload_schema(one),
            }
            for one in page
        ],
        **({"nextCursor": page[-1].name} if start + PAGE < len(types) else {}),
    }


def input_schema(event_type: EventType, organizations: Sequence[Any]) -> dict[str, Any]:
    """Return the JSON Schema of the arguments of a subscription. It names the caller's organizations unless they are many."""
    filters = {
        name: {
            "type": "array",
            "items": {"enum": [*values.values(), *values]} if values else {"type": ["integer", "string"]},
            "minItems": 1,
            "maxItems": criteria.VALUES_LIMIT,
            "description": f"Only events with one of these values of {criteria.path_in(event_type, name) or name}.",
        }
        for name in criteria.PATHS
        if criteria.has_field(event_type, name)
        for values in [criteria.values_by_name(name, [event_type])]
    }
    return {
        "type": "object",
        "properties": {
            "organization": {
                **OrganizationIDField.json_schema,
                "description": "Whose events. Needed by callers of several organizations.",
                **({"enum": organizations} if organizations else {}),
            },
            "filters": {"type": "object", "properties": filters, "additionalProperties": False},
            "payload": {
                "enum": PayloadDetail.values,
                "default": PayloadDetail.FULL,
                "description": "All fields, all but personal ones, or ids only.",
            },
        },
        "additionalProperties": False,
    }


def payload_schema(event_type: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the data of an MCP event: parts of that of the event. Details are null if none of them is sent."""
    parts = {key: event_type.schema()["properties"][key] for key in keys_of(event_type)}
    if "details" in parts:
        parts["details"] = {**parts["details"], "type": ["object", "null"]}
    return {"type": "object", "properties": parts, "required": list(parts)}


def keys_of(event_type: EventType) -> list[str]:
    """Return the keys of an event of this type that are the data of the MCP event."""
    return [key for key in KEYS if key in event_type.schema()["properties"]]


def content_of(event_type: EventType) -> str:
    """Return the content of a hook's requests: the MCP event, in tokens."""
    data = ",".join(f'"{key}":{{{key}}}' for key in keys_of(event_type))
    return f'{{"eventId":{{id}},"name":{{type}},"timestamp":{{timestamp}},"data":{{{data}}},"cursor":null}}'


def subscribe(view: Any, params: SubscriptionParams) -> dict[str, Any]:
    """Make the hook of a subscription once its URL has answered the challenge, or refresh it."""
    kind, url, secret, now = event_type_of(params), params.delivery.url, params.delivery.secret, timezone.now()
    if not secret:
        raise RPCError(INVALID_PARAMS, "delivery.secret: Missing; send whsec_ and the base64 of 24 to 64 random bytes.")
    if set("{}") & set(url):
        raise RPCError(INVALID_PARAMS, "delivery.url: Write it without {tokens}: events go to the URL that confirms.")
    given = {name: value for name, value in params.arguments.given.items() if name != "payload"}
    body = {**given, "target_url": url, "event": kind.name, "secret": secret}
    serializer: Any = NewHookSerializer(data=body, context=view.get_serializer_context())
    serializer.is_valid(raise_exception=True)
    made: dict[str, Any] = serializer.validated_data
    hook: Webhook = made["hook"]
    view.require(Action.MANAGE, hook.organization_id)
    refuse_unreachable({"target_url": url}, name="target_url")
    key = id_of(view, params)
    hook.format, hook.content, hook.timeout_seconds = PayloadFormat.CUSTOM, content_of(kind), TIMEOUT_SECONDS
    hook.headers, hook.payload = f"{MCP_HEADER}={key}", params.arguments.payload
    hook.expires_at = end_of(params, now)
    own = Webhook.objects.existing().filter(hook_of=hook.hook_of)
    of_mcp = {one.mcp_subscription: one for one in own.filter(url=url).select_related("state")}
    if not any(of_mcp):
        # Also checked when the hook is made, but nothing is sent for one that can't be.
        limits.refuse("HOOKS_LIMIT", own.count())
        using = router.db_for_write(Webhook)
        with transaction.atomic(using=using):
            hook.refuse_beyond_limit(using=using)
        challenge(hook, secret, now)
    status = {"deliveryStatus": status_of(of_mcp[key], now)} if key in of_mcp else {}
    overlap = min(OVERLAP, timedelta(seconds=app_settings.SECRET_OVERLAP_LIMIT_SECONDS))
    hooks.subscribe(**made, overlap=overlap, actor=view.actor, now=now)
    end = hook.expires_at and instant(hook.expires_at)
    return {"id": key, "refreshBefore": end, "cursor": None, "truncated": False, **status}


def unsubscribe(view: Any, params: SubscriptionParams) -> dict[str, Any]:
    """Delete the hook of a subscription. One that was deleted already can be deleted again."""
    rows = visible_webhooks(view).filter(hook_of=view.mark, url=params.delivery.url)
    key = id_of(view, params)
    # The existing hooks, then those that were deleted last: their headers are decrypted.
    latest = rows.order_by(F("deleted_at").desc(nulls_first=True), "-pk")[: 2 * app_settings.HOOKS_LIMIT]
    hook = next((one for one in latest if one.mcp_subscription == key), None)
    if hook is None:
        message = "No subscription has this name, arguments and delivery.url; repeat those that you subscribed with."
        raise RPCError(NOT_FOUND, message, {"kind": "subscription"})
    view.require(Action.MANAGE, hook.organization_id)
    webhooks.delete(hook, actor=view.actor, now=timezone.now())
    return {}


def id_of(view: Any, params: SubscriptionParams) -> str:
    """Return the id of a subscription: the same for the same caller, URL, event type and arguments."""
    arguments = json.dumps(params.arguments.given, sort_keys=True)
    return f"mcp_{digest_of(view.mark, params.delivery.url, params.name, arguments)[:32]}"


def event_type_of(params: SubscriptionParams) -> EventType:
    """Return the event type of a subscription; raise `RPCError` for an unknown one, and for another mode of delivery."""
    if params.delivery.mode != "webhook":
        data = {"feature": "deliveryMode", "value": params.delivery.mode}
        raise RPCError(UNSUPPORTED, "delivery.mode: Only 'webhook' is supported.", data)
    try:
        kind = registry.get(params.name)
    except UnknownEventType as error:
        raise RPCError(NOT_FOUND, f"name: {error}", {"kind": "event"}) from None
    if not kind.offered:
        raise RPCError(
            NOT_FOUND, f"name: {kind.name} can't be subscribed to; events/list has those that can.", {"kind": "event"}
        )
    return kind


def end_of(params: SubscriptionParams, now: datetime) -> datetime | None:
    """Return until when a subscription is granted, which is near to what the client suggests; None for an explicit null."""
    if params.ttl_ms is None and "ttl_ms" in params.model_fields_set:
        return None
    asked = DEFAULT_SECONDS if params.ttl_ms is None else params.ttl_ms // 1000
    return now + timedelta(seconds=min(max(asked, SHORTEST_SECONDS), LONGEST_SECONDS))


def challenge(hook: Webhook, secret: str, now: datetime) -> None:
    """Send the URL of a hook a signed nonce, which it has to echo; raise `RPCError` if it does not, and beyond the limits."""
    for host, most in ((str(urlsplit(hook.url).hostname), MOST_OF_HOST), ("", MOST_CHALLENGES)):
        # With the minute in its name: some caches prolong an entry by an increment.
        counter = f"tms_webhooks.mcp.{digest_of(str(hook.organization_id), host, f'{now:%d%H%M}')}"
        cache.add(counter, 0, 120)
        # A cache may have dropped the entry.
        with suppress(ValueError):
            if cache.incr(counter) > most:
                message = "delivery.url: Too many new URLs in a minute; subscribe again in a minute."
                raise RPCError(RESOURCE_EXHAUSTED, message, {"limit": "challenges", "max": most})
    nonce = token_urlsafe(32)
    result = send_control(hook, {"type": "verification", "challenge": nonce}, [secret])
    echo = ""
    with suppress(ValueError, AttributeError, RecursionError):
        echo = str(json.loads(result.body).get("challenge"))
    if not (result.outcome.success and hmac.compare_digest(echo.encode(errors="replace"), nonce.encode())):
        reason = reason_of(str(result.status or result.outcome.error_class))
        message = (
            f"delivery.url: The receiver did not confirm the subscription ({reason}). It has to verify the signature of a "
            'body {"type": "verification", "challenge": …} and to answer 200 with {"challenge": …}.'
        )
        raise RPCError(CALLBACK_ENDPOINT_ERROR, message, {"reason": reason})


def reason_of(result: str) -> str:
    """Return the category of a failed attempt, given its status code or error class. It says nothing of the answer itself."""
    if result.startswith(("4", "5")):
        return f"http_{result[0]}xx"
    if result.isdecimal():
        return "challenge_failed"
    return result if result in ("timeout", "tls_error") else "connection_refused"


def status_of(hook: Webhook, now: datetime) -> dict[str, Any]:
    """Return how the deliveries of a subscription went until now."""
    state = hook.state
    return {
        "active": hook.is_awake(now),
        "lastDeliveryAt": state.succeeded_at and instant(state.succeeded_at),
        "lastError": reason_of(state.failed_with) if state.failing_since else None,
        **({"failedSince": instant(state.failing_since)} if state.failing_since else {}),
    }
