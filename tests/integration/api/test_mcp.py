"""MCP Events, SEP-3415: an agent lists, subscribes, receives signed events, refreshes and unsubscribes. And its tools."""

import json
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import pytest
from cryptography.fernet import Fernet
from django.core.cache import cache
from django.test import AsyncRequestFactory, RequestFactory
from django.utils import timezone
from jsonschema import Draft202012Validator
from rest_framework.authentication import SessionAuthentication
from rest_framework.throttling import UserRateThrottle

from example_project.training.authentication import ApiKeyAuthentication
from example_project.training.factories import OrganizationFactory
from example_project.training.models import ApiKey
from tests.each import each
from tests.factories import WebhookFactory
from tests.integration.api.people import Caller
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import new_event, write_delivery, write_event
from tests.integration.delivery.wire import answer, is_signed_by, verify
from tms_webhooks import catalogue, hooks
from tms_webhooks.access import get_policy
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action, DisabledReason, PayloadDetail, PayloadFormat
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.mcp import events
from tms_webhooks.mcp.tools import TOOLS
from tms_webhooks.mcp.urls import METHODS, EndpointViewSet
from tms_webhooks.models import Delivery, Webhook, webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.webhook import new_secret
from tms_webhooks.payloads.formats import RequestFormat, render, tailored
from tms_webhooks.worker.send import send

__all__ = ["run", "wire"]

TARGET = "https://receiver.example.com/agents/1"
NAME = "class.cancelled"
SECRET = new_secret()


def write(client, message, **headers):
    """Send a message, and return the response."""
    accepted = {"HTTP_ACCEPT": "application/json, text/event-stream", **headers}
    return client.generic("POST", "/mcp/", json.dumps(message), content_type="application/json", **accepted)


def write_request(client, method, /, **params):
    """Send a request of a version with a handshake, and return the message of the answer."""
    return write(client, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()


class Agent(Caller):
    """An agent with an API key, which speaks the MCP of 2026."""

    def __init__(self, organization, name="Agent", **options):
        super().__init__(**options)
        self.key, clear = ApiKey.objects.create_key(name=name, organization=organization)
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {clear}")

    def ask(self, method, /, **params):
        version = "2026-07-28"
        meta = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": meta}}
        named = {"HTTP_MCP_NAME": params["name"]} if method == "tools/call" else {}
        return write(self, message, HTTP_MCP_PROTOCOL_VERSION=version, HTTP_MCP_METHOD=method, **named)

    def result(self, method, /, **params):
        response = self.ask(method, **params)
        body = response.json()
        assert (response.status_code, body["id"], body["result"]["resultType"]) == (200, 7, "complete"), body
        return body["result"]

    def error(self, method, /, **params):
        return self.ask(method, **params).json()["error"]

    def subscribe(self, *, url=TARGET, secret=SECRET, call=None, **params):
        delivery = {"mode": "webhook", "url": url, "secret": secret}
        return (call or self.result)(
            "events/subscribe", **{"name": NAME, "arguments": {}, "delivery": delivery, "cursor": None, **params}
        )

    def unsubscribe(self, *, url=TARGET, call=None, **params):
        return (call or self.result)(
            "events/unsubscribe", **{"name": NAME, "arguments": {}, "delivery": {"url": url}, **params}
        )

    def use(self, name, **arguments):
        return self.result("tools/call", name=name, arguments=arguments)


def receiver(request):
    """Answer as a receiver that wants the events."""
    body = json.loads(request.body)
    is_challenge = body.get("type") == "verification"
    return answer(body=json.dumps({"challenge": body["challenge"]}).encode()) if is_challenge else answer(204)


@pytest.fixture(autouse=True)
def challenges(wire, monkeypatch):
    """Challenges go by the faked wire, too."""
    wire.otherwise = receiver
    monkeypatch.setattr(hooks, "send", lambda request, **options: send(request, client=wire, **options))
    cache.clear()


@pytest.fixture
def agent(acme):
    return Agent(acme)


def existing():
    return list(Webhook.objects.existing().order_by("pk"))


def write_event_of(course, organization):
    """Write an event about a class of a course."""
    event, body = new_event(organization), catalogue.get(NAME).example()
    body["data"]["course"]["id"] = course
    event.body = json.dumps({**body, "id": event.public_id})
    event.save()


def test_an_agent_subscribes_receives_refreshes_and_unsubscribes(agent, acme, run, wire):
    listed = {one["name"]: one for one in agent.result("events/list")["events"]}
    subscribed = agent.subscribe(arguments={"filters": {"course": [301]}}, ttlMs=3_600_000)
    for course in (301, 302):
        write_event_of(course, acme)
    run()

    assert listed[NAME]["delivery"] == ["webhook"]
    challenge, request = wire.requests
    for one in wire.requests:
        verify(one, SECRET)
        assert (one.method, one.url, one.headers["content-type"]) == ("POST", TARGET, "application/json")
        assert one.headers["X-MCP-Subscription-Id"] == subscribed["id"]
    assert challenge.headers["webhook-id"].startswith("msg_verification_")
    event = json.loads(request.body)
    assert event.keys() == {"eventId", "name", "timestamp", "data", "cursor"}
    assert (event["eventId"], event["name"], event["cursor"]) == (request.headers["webhook-id"], NAME, None)
    assert event["data"]["data"]["course"]["id"] == 301
    Draft202012Validator(listed[NAME]["payloadSchema"]).validate(event["data"])
    ends = datetime.fromisoformat(subscribed["refreshBefore"]) - timezone.now()
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    assert (subscribed["cursor"], subscribed["truncated"]) == (None, False)

    again = agent.subscribe(arguments={"filters": {"course": [301]}})
    assert again["id"] == subscribed["id"]
    assert again["refreshBefore"] > subscribed["refreshBefore"]
    assert again["deliveryStatus"]["active"]
    assert again["deliveryStatus"]["lastDeliveryAt"]
    assert len(wire.requests) == 2
    assert len(existing()) == 1

    assert agent.unsubscribe(arguments={"filters": {"course": [301]}}).keys() == {"resultType", "_meta"}
    agent.unsubscribe(arguments={"filters": {"course": [301]}})
    assert existing() == []


@each(catalogue.all_types(), attrgetter("name"))
def test_the_events_of_each_type_are_valid_by_their_schema(kind):
    Draft202012Validator.check_schema(events.input_schema(kind, [1, 2]))
    for detail in PayloadDetail:
        shape = RequestFormat(format=PayloadFormat.CUSTOM, detail=detail, content=events.content_of(kind))
        body = json.loads(render(shape, tailored(shape, kind.example()), limit=100_000).body)
        Draft202012Validator(events.payload_schema(kind)).validate(body["data"])


def test_the_pages_of_the_list_have_each_event_type_once(agent):
    names, cursor = [], None
    while cursor or not names:
        page = agent.result("events/list", **({"cursor": cursor} if cursor else {}))
        names += [one["name"] for one in page["events"]]
        cursor = page.get("nextCursor")

    assert names == [one.name for one in catalogue.all_types() if one.offered]
    assert agent.error("events/list", cursor="nonsense")["code"] == -32602


def test_arguments_by_the_schema_are_accepted_and_others_are_not(agent, acme):
    (schema,) = [one["inputSchema"] for one in agent.result("events/list")["events"] if one["name"] == NAME]
    validator = Draft202012Validator(schema)
    good = {"organization": acme.pk, "filters": {"course": [301], "status_to": ["cancelled"]}}
    bad = {"filters": {"courses": [301]}}

    assert schema["properties"]["organization"]["enum"] == [acme.pk]
    assert validator.is_valid(good)
    agent.subscribe(arguments=good)
    assert not validator.is_valid(bad)
    error = agent.subscribe(arguments=bad, call=agent.error)
    assert error["code"] == -32602
    assert error["message"].startswith("arguments.filters.courses: Unknown filter: courses."), error


@pytest.mark.parametrize(
    "params, code, words, data",
    [
        ({"name": "class.canceled"}, -32023, "Did you mean", {"kind": "event"}),
        ({"name": "webhook.test"}, -32023, "events/list", {"kind": "event"}),
        ({"secret": "hunter2"}, -32602, "delivery.secret: A signing secret starts with 'whsec_'", None),
        ({"secret": ""}, -32602, "delivery.secret: Missing", None),
        ({"url": "ftp://receiver.example.com/"}, -32602, "delivery.url: ", None),
        ({"url": "https://nowhere.example.com/"}, -32602, "delivery.url: ", None),
        ({"url": "https://10.0.0.1/"}, -32602, "delivery.url: ", None),
        ({"url": "https://receiver.example.com/{id}"}, -32602, "delivery.url: Write it without {tokens}", None),
        ({"arguments": {"severity": "P1"}}, -32602, "arguments.severity: Extra inputs are not permitted", None),
        (
            {"arguments": {"payload": "some"}},
            -32602,
            "arguments.payload: Input should be 'full', 'no_personal' or 'thin'",
            None,
        ),
        ({"arguments": 7}, -32602, "arguments: Input should be a valid dictionary", None),
        ({"ttlMs": "long"}, -32602, "ttlMs: Input should be a valid integer", None),
        (
            {"delivery": {"mode": "push", "url": TARGET}},
            -32026,
            "Only 'webhook'",
            {"feature": "deliveryMode", "value": "push"},
        ),
        ({"delivery": None}, -32602, "delivery: ", None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and value else "",
)
def test_a_wrong_subscription_is_refused_with_the_field_and_the_remedy(agent, wire, params, code, words, data):
    error = agent.subscribe(call=agent.error, **params)

    assert (error["code"], existing(), wire.requests) == (code, [], [])
    assert words in error["message"], error
    assert data is None or error["data"] == data
    assert "hunter2" not in json.dumps(error)


@pytest.mark.parametrize(
    "says, reason",
    [
        (answer(body=b'{"challenge": "another"}'), "challenge_failed"),
        (answer(body=b'{"challenge": null}'), "challenge_failed"),
        (answer(body=b"OK"), "challenge_failed"),
        (302, "challenge_failed"),
        (401, "http_4xx"),
        (503, "http_5xx"),
        ("timeout", "timeout"),
        ("tls_error", "tls_error"),
        ("connection_refused", "connection_refused"),
        ("dns_error", "connection_refused"),
    ],
    ids=str,
)
def test_a_receiver_that_does_not_echo_the_challenge_gets_no_subscription(agent, wire, says, reason):
    wire.otherwise = says

    error = agent.subscribe(call=agent.error)

    assert (error["code"], error["data"]) == (-32027, {"reason": reason})
    assert len(wire.requests) == 1
    assert existing() == []


def test_a_url_is_challenged_once_for_each_caller(agent, acme, wire):
    agent.subscribe()
    agent.subscribe(name="class.updated")
    agent.subscribe(arguments={"filters": {"course": [1]}})
    assert len(wire.requests) == 1

    Agent(acme, "Other").subscribe()
    agent.subscribe(url="https://receiver.example.com/agents/2")
    assert len(wire.requests) == 3
    assert len({one.mcp_subscription for one in existing()}) == len(existing()) == 5


def test_a_rest_hook_to_the_same_url_and_event_is_another_one_and_verifies_nothing(agent, wire):
    body = {"target_url": TARGET, "event": NAME}
    assert agent.post("/api/hooks/", body).status_code == 201
    agent.subscribe()
    assert len(wire.requests) == 1
    assert agent.post("/api/hooks/", {**body, "filters": {"course": [7]}}).status_code == 200

    assert [(one.mcp_subscription != "", one.subscriptions.get().filters) for one in existing()] == [
        (False, {"course": [7]}),
        (True, {}),
    ]


def test_a_subscription_whose_headers_no_key_decrypts_is_no_rest_hook_and_verifies_nothing(
    agent, wire, settings_of_app
):
    agent.subscribe()
    settings_of_app(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    assert (
        agent.post("/api/hooks/", {"target_url": TARGET, "event": NAME, "filters": {"course": [7]}}).status_code == 201
    )
    agent.subscribe()

    assert [one.subscriptions.get().filters for one in existing()] == [{}, {"course": [7]}, {}]
    assert len(wire.requests) == 2


def test_one_of_the_hooks_for_a_url_is_decrypted_to_end_a_subscription_and_it_can_end_again(agent, monkeypatch):
    for _number in range(3):
        agent.subscribe()
        agent.unsubscribe()
    agent.subscribe()
    agent.subscribe(name="class.updated")
    agent.unsubscribe(name="class.updated")
    decrypted = []
    monkeypatch.setattr(webhook, "known_headers", lambda stored: decrypted.append(stored) or known_headers(stored))

    agent.unsubscribe()
    assert (len(decrypted), existing()) == (1, [])
    agent.unsubscribe()
    assert agent.unsubscribe(arguments={"payload": "thin"}, call=agent.error)["code"] == -32023


def test_the_challenges_of_an_organization_are_limited_for_one_host_and_for_all(agent, wire, names, monkeypatch):
    names |= dict.fromkeys(["crm.example.com", "lms.example.com"], names["receiver.example.com"])
    now = timezone.now().replace(second=59)
    monkeypatch.setattr(timezone, "now", lambda: now)
    monkeypatch.setattr(events, "MOST_OF_HOST", 2)
    monkeypatch.setattr(events, "MOST_CHALLENGES", 3)
    wire.otherwise = 200

    def challenged(host, *, by=agent):
        return by.subscribe(url=f"https://{host}.example.com/{len(wire.requests)}", call=by.error)["code"]

    assert [challenged("receiver") for _number in range(4)] == [-32027, -32027, -32025, -32025]
    assert [challenged(host) for host in ("crm", "lms", "receiver")] == [-32027, -32025, -32025]
    assert len(wire.requests) == 3
    assert challenged("receiver", by=Agent(OrganizationFactory(), "Other")) == -32027
    now += timedelta(seconds=2)
    assert challenged("receiver") == -32027


@pytest.mark.parametrize("limit", ["HOOKS_LIMIT", "WEBHOOKS_LIMIT"])
def test_nobody_is_challenged_for_a_subscription_beyond_the_limits(agent, wire, settings_of_app, limit):
    settings_of_app(**{limit: 1})
    agent.subscribe()
    error = agent.subscribe(url="https://receiver.example.com/agents/2", call=agent.error)

    assert (error["code"], error["data"]) == (-32025, {"limit": "subscriptions"})
    assert len(wire.requests) == 1
    agent.subscribe()


def test_a_subscription_that_failed_can_be_repeated_with_the_same_idempotency_key(agent, wire):
    params = {"name": NAME, "delivery": {"url": TARGET, "secret": SECRET}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "events/subscribe", "params": params}
    wire.otherwise = 503
    failed = write(agent, message, HTTP_IDEMPOTENCY_KEY="one")
    wire.otherwise = receiver
    repeated = write(agent, message, HTTP_IDEMPOTENCY_KEY="one")

    assert failed.json()["error"]["code"] == -32027
    assert repeated.json()["result"]["id"] == existing()[0].mcp_subscription


def test_a_new_secret_signs_at_once_and_the_old_one_for_five_minutes_more(agent, acme, run, wire, clock):
    secret = new_secret()
    agent.subscribe()
    agent.subscribe(secret=secret)
    write_event(acme)
    run()
    clock.advance(minutes=6)
    write_event(acme)
    run()

    _challenge, both, new = wire.requests
    assert [is_signed_by(both, one) for one in (secret, SECRET)] == [True, True]
    assert [is_signed_by(new, one) for one in (secret, SECRET)] == [True, False]


def test_a_new_secret_is_accepted_where_old_ones_sign_for_less_than_five_minutes(agent, settings_of_app):
    settings_of_app(SECRET_OVERLAP_LIMIT_SECONDS=60, SECRET_OVERLAP_SECONDS=0)
    agent.subscribe()
    agent.subscribe(secret=new_secret())

    old, _new = existing()[0].secrets.order_by("pk")
    assert old.expires_at < timezone.now() + timedelta(minutes=2)


def test_an_agent_asks_for_ids_only(agent, acme, run, wire):
    agent.subscribe(arguments={"payload": "thin"})
    write_event_of(301, acme)
    run()

    data = json.loads(wire.requests[-1].body)["data"]["data"]
    assert data["course"]["id"] == 301
    assert "name" not in data


def test_a_receiver_that_answers_410_loses_its_subscription_as_any_other_hook(agent, acme, run, wire):
    agent.subscribe()
    wire.answers = [410]
    write_event(acme)

    run()

    (hook,) = Webhook.objects.all()
    assert (hook.enabled, hook.disabled_reason, hook.deleted_at is None) == (False, DisabledReason.GONE, False)
    assert [*Delivery.objects.values_list("status", "attempts")] == [("failed", 1)]
    wire.answers = []
    agent.subscribe()
    assert len(existing()) == 1


def test_a_receiver_that_always_answers_413_is_paused_and_disabled_as_any_other(agent, acme, run, wire, clock):
    agent.subscribe(ttlMs=None)
    wire.otherwise = 413
    for _number in range(2):
        write_event(acme)
        run()
    assert {*Delivery.objects.values_list("status", "attempts")} == {("waiting", 1)}
    clock.advance(minutes=1)
    run()
    (hook,) = existing()
    assert (hook.state.failures, hook.status(clock.now)) == (4, "paused")

    days = 0
    while existing()[0].enabled:
        days += 1
        write_event(acme)
        clock.advance(days=1)
        run()

    (hook,) = existing()
    assert (hook.disabled_reason, days) == (DisabledReason.FAILING, 5)


@pytest.mark.parametrize(
    "ttl, granted",
    [
        ({}, timedelta(days=1)),
        ({"ttlMs": 1}, timedelta(minutes=5)),
        ({"ttlMs": -(10**18)}, timedelta(minutes=5)),
        ({"ttlMs": 10**18}, timedelta(days=30)),
        ({"ttlMs": None}, None),
    ],
    ids=str,
)
def test_the_lifetime_is_granted_within_limits_and_never_refused(agent, ttl, granted):
    end = agent.subscribe(**ttl)["refreshBefore"]

    (hook,) = existing()
    if granted is None:
        assert (end, hook.expires_at) == (None, None)
    else:
        assert abs(datetime.fromisoformat(end) - timezone.now() - granted) < timedelta(minutes=1)
        assert hook.expires_at.astimezone(UTC).isoformat(timespec="milliseconds") == end.replace("Z", "+00:00")


def test_a_refresh_revives_a_subscription_that_failed_or_expired_and_none_that_a_user_disabled(agent):
    key = agent.subscribe()["id"]
    (hook,) = existing()
    for reason in (DisabledReason.EXPIRED, DisabledReason.FAILING):
        lifecycle.disable(hook, reason=reason, now=timezone.now())
        again = agent.subscribe()
        hook.refresh_from_db()
        assert (again["id"], again["deliveryStatus"]["active"], hook.enabled) == (key, False, True)

    webhooks.disable(hook, now=timezone.now())
    assert agent.subscribe()["deliveryStatus"]["active"] is False
    hook.refresh_from_db()
    assert not hook.enabled


def test_a_failing_receiver_is_reported_by_its_category(agent, acme, run, wire):
    agent.subscribe()
    wire.answers = [503]
    write_event(acme)
    run()

    status = agent.subscribe()["deliveryStatus"]
    assert (status["lastError"], status["lastDeliveryAt"]) == ("http_5xx", None)
    assert status["failedSince"]


def test_a_subscription_that_is_not_refreshed_ends_and_one_ends_with_its_key(agent, acme, wire):
    key = agent.subscribe()["id"]
    Agent(acme, "Other").subscribe(url="https://receiver.example.com/agents/2")
    ApiKey.objects.filter(pk=agent.key.pk).update(revoked=True)

    hooks.end(get_policy().may_keep_hooks, now=timezone.now())
    assert len(existing()) == 1
    _first, _second, request = wire.requests
    verify(request, SECRET)
    assert (request.url, request.headers["X-MCP-Subscription-Id"]) == (TARGET, key)
    assert request.headers["webhook-id"].startswith("msg_terminated_")
    body = json.loads(request.body)
    assert (body["type"], body["error"]["code"]) == ("terminated", -32024)

    hooks.end(get_policy().may_keep_hooks, now=timezone.now() + timedelta(days=3))
    assert existing() == []
    assert wire.requests[3:] == []


def test_receivers_that_hang_keep_no_hook_of_a_revoked_key_and_a_sweep_notifies_those_that_it_has_time_for(
    agent, acme, monkeypatch
):
    agents = [agent, Agent(acme, "Other")]
    for number in range(4):
        agents[number % 2].subscribe(url=f"https://receiver.example.com/agents/{number}")
    Webhook.objects.update(timeout_seconds=10)
    webhooks.disable(existing()[0], now=timezone.now())
    disabled = existing()[0].url
    agents[0].subscribe(url="https://receiver.example.com/agents/4")
    ApiKey.objects.update(revoked=True)
    now, sent = [0.0], []

    def hang(request, **_options):
        now[0] += request.endpoint.webhook.timeout_seconds * 0.9
        sent.append((request.endpoint.webhook.url, len(existing())))

    monkeypatch.setattr(hooks, "send", hang)
    monkeypatch.setattr("tms_webhooks.batches.monotonic", lambda: now[0])

    hooks.end(get_policy().may_keep_hooks, now=timezone.now())

    assert [left for _url, left in sent] == [0, 0]
    assert disabled not in dict(sent)
    assert now[0] < 2 * hooks.TERMINATION_SECONDS


def test_another_callers_subscription_does_not_exist(agent, acme):
    agent.subscribe()

    for other in (Agent(acme, "Other"), Agent(OrganizationFactory(), "Stranger")):
        error = other.unsubscribe(call=other.error)
        assert (error["code"], error["data"]) == (-32023, {"kind": "subscription"})
    assert len(existing()) == 1


def test_a_caller_subscribes_to_no_other_organization_and_only_with_the_right(agent, acme, restricted):
    elsewhere = OrganizationFactory()
    error = agent.subscribe(arguments={"organization": elsewhere.pk}, call=agent.error)
    assert (error["code"], "arguments.organization" in error["message"]) == (-32023, True), error

    params = {"name": NAME, "delivery": {"url": TARGET, "secret": SECRET}, "arguments": {"organization": acme.pk}}
    assert write_request(restricted("manage"), "events/subscribe", **params)["error"]["code"] == -32024
    assert existing() == []


# The protocol


def test_who_is_not_known_gets_401_and_who_may_view_nothing_is_forbidden(agent, acme):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    stranger = Agent(acme)
    stranger.credentials(HTTP_AUTHORIZATION="Bearer wrong")
    response = write(stranger, message)
    assert (response.status_code, response.json()["error"]["code"]) == (401, -32024)
    assert response["WWW-Authenticate"]


def test_a_client_of_each_version_agrees_on_one_and_finds_events_where_it_looks(agent):
    for asked, agreed in [("2025-03-26", "2025-03-26"), ("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")]:
        params = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        response = write(agent, {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": params})
        result = response.json()["result"]
        assert (result["protocolVersion"], response.json()["id"]) == (agreed, "a")
    assert write(agent, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    discovered = agent.result("server/discover")
    assert discovered["supportedVersions"] == ["2026-07-28"]
    for capabilities in (result["capabilities"], discovered["capabilities"]):
        assert capabilities["events"] == capabilities["extensions"]["io.modelcontextprotocol/events"] == {}
    assert write(agent, {"jsonrpc": "2.0", "id": 1, "method": "ping"}).json()["result"]


@pytest.mark.parametrize(
    "message, headers, status, code",
    [
        ({"id": 1, "method": "ping"}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "events/poll"}, {}, 404, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "drop"}}, {}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, {}, 400, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"HTTP_MCP_PROTOCOL_VERSION": "2026-07-28"}, 400, -32602),
        ([], {}, 400, -32700),
    ],
    ids=str,
)
def test_a_message_that_is_none_is_an_error_of_json_rpc(agent, message, headers, status, code):
    response = write(agent, message, **headers)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response["Content-Type"] == "application/json"


def test_a_header_that_contradicts_the_message_and_an_unknown_version_are_refused(agent):
    meta = {"io.modelcontextprotocol/protocolVersion": "2030-01-01", "io.modelcontextprotocol/clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": meta}}

    unknown = write(agent, message, HTTP_MCP_PROTOCOL_VERSION="2030-01-01", HTTP_MCP_METHOD="ping")
    other = write(agent, message, HTTP_MCP_PROTOCOL_VERSION="2030-01-01", HTTP_MCP_METHOD="tools/list")

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)
    assert unknown.json()["error"]["data"]["supported"] == ["2026-07-28"]
    assert other.json()["error"]["code"] == -32020


JUNK = [None, True, 7, -(10**30), 1.5, "", "x", "\u200f", [], [{}], {}, {"a": {"b": [None]}}]


@pytest.mark.slow
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_no_parameter_makes_a_server_error(agent, acme, junk):
    whole = {
        "name": NAME,
        "arguments": {"organization": acme.pk, "filters": {"course": [1]}},
        "delivery": {"mode": "webhook", "url": TARGET, "secret": SECRET},
        "ttlMs": 1,
        "cursor": None,
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    for method in METHODS:
        for params in [junk, *({**whole, name: junk} for name in whole)]:
            assert_answered(write(agent, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    for part in ("arguments", "delivery"):
        for name in whole[part]:
            changed = {**whole, part: {**whole[part], name: junk}}
            for method in ("events/subscribe", "events/unsubscribe"):
                assert_answered(write(agent, {"jsonrpc": "2.0", "id": 1, "method": method, "params": changed}))
    for name, tool in TOOLS.items():
        for argument in tool.arguments:
            params = {"name": name, "arguments": {argument: junk}}
            assert_answered(write(agent, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))


def assert_answered(response):
    assert response.status_code in (200, 400), response.content
    assert {"result", "error"} & response.json().keys()


@pytest.mark.parametrize("method", ["get", "delete"])
def test_there_are_no_streams_and_no_sessions(agent, method):
    assert getattr(agent, method)("/mcp/").status_code == 405


# The tools


@pytest.fixture
def failed(acme):
    """A delivery that failed, of an event with a payload."""
    now = timezone.now()
    webhook = WebhookFactory(organization=acme, events=[NAME], headers="X-Key=top-secret")
    return write_delivery(webhook, now=now, status="failed", due_at=None, finished_at=now, attempts=1)


def test_an_agent_finds_a_failed_delivery_and_sends_it_again(agent, failed):
    (row,) = agent.use("find_deliveries", status=["failed"], webhook=failed.webhook.public_id)["structuredContent"][
        "results"
    ]
    assert row["id"] == failed.public_id

    sent = agent.use("resend_delivery", delivery=row["id"])
    assert not sent["isError"], sent
    assert json.loads(sent["content"][0]["text"]) == sent["structuredContent"]
    failed.refresh_from_db()
    assert failed.status == "pending"


def test_a_tool_changes_something_for_a_key_although_the_host_looks_for_sessions_first(acme, failed, monkeypatch):
    kinds = [SessionAuthentication, ApiKeyAuthentication]
    monkeypatch.setattr(ResourceViewSet, "authentication_classes", kinds, raising=False)
    agent = Agent(acme, enforce_csrf_checks=True)

    assert not agent.use("resend_delivery", delivery=failed.public_id)["isError"]


@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory])
def test_the_policy_sees_the_request_of_a_tool_with_all_that_the_host_has_set(agent, failed, monkeypatch, factory):
    policy, seen = type(get_policy()), []
    before = policy.organizations

    def organizations(self, request, action):
        seen.append(request)
        return before(self, request, action)

    monkeypatch.setattr(policy, "organizations", organizations)
    Webhook.objects.filter(pk=failed.webhook_id).update(name="Ü & co")
    params = {"name": "webhook_health", "arguments": {"name": "Ü & co"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {"Authorization": agent._credentials["HTTP_AUTHORIZATION"], "If-Match": "*", "Accept-Language": "es"}
    message = factory().post("/mcp/", body, content_type="application/json", headers=headers, secure=True)
    message.session, message.organization, message._tenant, message.LANGUAGE_CODE = {}, object(), object(), "es"
    # Middleware may have read them.
    assert (dict(message.GET), message.headers["If-Match"], message.body, dict(message.POST)) == (
        {},
        "*",
        body.encode(),
        {},
    )

    response = EndpointViewSet.as_view({"post": "serve"})(message)

    (row,) = response.data["result"]["structuredContent"]["results"]
    request = seen[-1]
    assert row["id"] == failed.webhook.public_id
    assert (request.method, request.path, dict(request.GET)) == ("GET", "/webhooks/", {"name": ["Ü & co"]})
    assert (request.body, request.data, request.headers.get("If-Match")) == (b"", {}, None)
    assert (request.headers["Accept-Language"], request.build_absolute_uri("/")) == ("es", "https://testserver/")
    assert request.auth.pk == agent.key.pk
    for name in ("user", "auth", "session", "organization", "_tenant", "LANGUAGE_CODE"):
        assert getattr(request, name) is getattr(message, name), name


def test_a_call_of_a_tool_counts_once_for_the_throttles_of_the_host(agent, failed, monkeypatch):
    class Throttle(UserRateThrottle):
        rate = "2/day"

    monkeypatch.setattr(ResourceViewSet, "throttle_classes", [Throttle], raising=False)

    assert [agent.use("webhook_health")["isError"] for _number in range(2)] == [False, False]
    assert agent.ask("tools/call", name="webhook_health", arguments={}).json()["error"]["code"] == -32025


def test_an_agent_learns_why_an_event_is_not_sent_and_how_webhooks_are(agent, acme, failed):
    explained = agent.use("why_not_sent", webhook=failed.webhook.public_id, event_type="class.updated")
    health = agent.use("webhook_health")["structuredContent"]["results"]
    described = agent.use("describe_event", event_type=NAME)["structuredContent"]

    assert explained["structuredContent"]["verdict"] == "no"
    assert [(one["id"], one["health"]) for one in health] == [(failed.webhook.public_id, "idle")]
    assert described["title"] == NAME


def test_pages_of_deliveries_follow_each_other(agent, failed):
    for _number in range(2):
        write_delivery(failed.webhook, now=timezone.now())
    first = agent.use("find_deliveries", page_size=2)["structuredContent"]
    second = agent.use("find_deliveries", page_size=2, cursor=first["next_cursor"])["structuredContent"]

    assert [len(first["results"]), len(second["results"]), second["next_cursor"]] == [2, 1, None]


def test_no_tool_shows_a_secret_or_a_header_and_a_stranger_sees_nothing(agent, failed):
    stranger = Agent(OrganizationFactory(), "Stranger")
    webhook, delivery = failed.webhook.public_id, failed.public_id
    calls = [
        ("find_deliveries", {}),
        ("webhook_health", {}),
        ("why_not_sent", {"webhook": webhook, "event_type": NAME}),
        ("resend_delivery", {"delivery": delivery}),
    ]
    shown = json.dumps([agent.use(name, **arguments) for name, arguments in calls])
    (secret,) = failed.webhook.signing_secrets(timezone.now())
    hidden = [stranger.use(name, **arguments) for name, arguments in calls]

    assert webhook in shown
    assert not any(text in shown for text in ("top-secret", secret, '"headers"'))
    assert [one["structuredContent"].get("results") for one in hidden[:2]] == [[], []]
    assert [one["isError"] for one in hidden] == [False, False, True, True]
    assert webhook not in json.dumps(hidden[:2])


def test_a_tool_needs_the_right_of_its_request(agent, acme, failed, restricted):
    for action, name, arguments in [
        ("replay", "resend_delivery", {"delivery": failed.public_id}),
        ("view_payload", "why_not_sent", {"webhook": failed.webhook.public_id, "event_type": NAME}),
    ]:
        result = write_request(restricted(action), "tools/call", name=name, arguments=arguments)["result"]
        assert result["isError"]
        assert repr(action) in result["structuredContent"]["detail"]


def test_an_idempotency_key_has_a_tool_send_once_and_answer_again_only_with_the_right(agent, failed, monkeypatch):
    now = timezone.now()
    other = write_delivery(failed.webhook, now=now, status="failed", due_at=None, finished_at=now, attempts=1)

    def use(name, **arguments):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        return write(agent, message, HTTP_IDEMPOTENCY_KEY="one").json()["result"]

    sent, again = [use("resend_delivery", delivery=failed.public_id) for _number in range(2)]
    assert not sent["isError"]
    assert again == sent
    assert "different request" in use("resend_delivery", delivery=other.public_id)["structuredContent"]["detail"]
    question = {"webhook": failed.webhook.public_id, "event_type": NAME}
    assert not use("why_not_sent", **question)["isError"]

    policy = type(get_policy())
    before = policy.organizations

    def organizations(self, request, action):
        found = before(self, request, action)
        return found.none() if action in (Action.REPLAY, Action.VIEW_PAYLOAD) else found

    monkeypatch.setattr(policy, "organizations", organizations)
    assert "'replay'" in use("resend_delivery", delivery=failed.public_id)["structuredContent"]["detail"]
    assert "'view_payload'" in use("why_not_sent", **question)["structuredContent"]["detail"]


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("find_deliveries", {"statsu": "failed"}, 'Did you mean "status"'),
        ("find_deliveries", {"status": ["lost"]}, "not a valid choice"),
        ("why_not_sent", {"webhook": "../deliveries"}, "No webhook has the id"),
        ("describe_event", {"event_type": "class.canceled"}, "Did you mean"),
    ],
)
def test_a_wrong_argument_is_an_error_of_the_tool_with_its_remedy(agent, name, arguments, words):
    used = agent.use(name, **arguments)

    assert used["isError"]
    assert words in used["structuredContent"]["detail"]


def test_a_missing_argument_is_named(agent):
    error = agent.error("tools/call", name="resend_delivery", arguments={})

    assert (error["code"], error["message"]) == (-32602, "arguments.delivery: Missing; tools/list describes it.")


def test_the_arguments_of_tools_are_those_of_the_api(agent):
    tools = agent.result("tools/list")["tools"]

    assert [one["name"] for one in tools] == [
        *("find_deliveries", "why_not_sent", "resend_delivery", "webhook_health", "describe_event"),
    ]
    for one in tools:
        Draft202012Validator.check_schema(one["inputSchema"])
    assert [one["annotations"]["readOnlyHint"] for one in tools] == [True, True, False, True, True]
