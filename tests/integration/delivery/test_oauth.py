"""OAuth 2 client credentials: one token for all requests of its lifetime, renewed after a 401, and no webhook waits for another's."""

import time
from collections import Counter

import pytest

from tests.factories import WebhookFactory
from tests.integration.delivery.oauth_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    TokenServer,
    accepting,
    json_answer,
    tokens_of,
)
from tests.integration.delivery.rows import distinct, stored, write, write_events
from tests.patience import PATIENCE
from tests.receiver import Answer
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import DisabledReason
from tms_webhooks.manage import webhooks as manage_webhooks
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, DeliveryAttempt, WebhookState
from tms_webhooks.worker import send


def webhook_of(receiver, **values):
    return WebhookFactory(**{"url": receiver.url, "events": ["*"], **values})


@pytest.fixture
def server(receiver, settings, settings_of_app):
    """A token server that webhooks may call."""
    server = TokenServer()
    ports = [*settings.TMS_WEBHOOKS["ALLOWED_PORTS"], server.server.port]
    settings_of_app(ALLOWED_PORTS=ports)
    send.tokens.clear()
    yield server
    server.server.close()


@pytest.fixture(params=["curl", "threads"])
def transport(request, settings_of_app):
    """Each transport."""
    settings_of_app(TRANSPORT=request.param)
    return str(request.param)


@pytest.fixture
def webhook(receiver, server):
    """A webhook that authenticates with a token."""
    webhook = webhook_of(receiver)
    server.give_to(webhook)
    return webhook


@pytest.fixture
def deliver(drain, webhook):
    """Write so many events, and have them delivered."""

    def deliver(number):
        write_events(webhook.organization, number)
        drain()

    return deliver


def failures():
    return distinct(DeliveryAttempt, "error_class", "message")


def statuses():
    return distinct(Delivery, "status")


def test_all_requests_of_a_tokens_lifetime_use_one_token(transport, receiver, server, clock, deliver):
    deliver(20)
    clock.advance(minutes=50)
    deliver(5)

    assert server.count == 1
    assert tokens_of(receiver) == ["token-1"] * 25
    clock.advance(minutes=10)
    deliver(2)
    assert server.count == 2
    assert tokens_of(receiver)[25:] == ["token-2"] * 2
    assert statuses() == {"delivered"}
    assert distinct(Delivery, "attempts") == {1}


def test_a_new_token_drops_those_that_have_expired_such_as_of_deleted_webhooks(
    receiver, server, webhook, clock, deliver
):
    deliver(1)
    manage_webhooks.delete(webhook, actor=SYSTEM, now=clock())
    other = webhook_of(receiver, organization=webhook.organization)
    server.give_to(other)
    deliver(1)
    assert set(send.tokens) == {webhook.pk, other.pk}
    clock.advance(hours=1)
    deliver(1)

    assert set(send.tokens) == {other.pk}
    assert tokens_of(receiver) == ["token-1", "token-2", "token-3"]


def test_the_request_for_a_token_is_that_of_the_standard(server, webhook, clock, deliver):
    server.give_to(webhook, scope="events.write events.read", audience="https://api.example.com")
    deliver(1)

    assert server.client() == (CLIENT_ID, CLIENT_SECRET)
    assert server.form() == {
        "grant_type": "client_credentials",
        "scope": "events.write events.read",
        "audience": "https://api.example.com",
    }
    server.give_to(webhook, client_authentication="body")
    deliver(1)
    assert "authorization" not in server.requests[-1].headers
    assert server.form() == {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }


@pytest.mark.parametrize("expires_in, used_for", [(None, 3600), ("600", 570), (100, 90), (10**9, 30 * 86_400 - 30)])
def test_a_token_is_used_until_shortly_before_it_expires_and_for_an_hour_without_that(
    server, clock, expires_in, used_for, deliver
):
    server.expires_in = expires_in
    deliver(1)
    clock.advance(seconds=used_for - 1)
    deliver(1)
    assert server.count == 1

    clock.advance(seconds=2)
    deliver(1)
    assert server.count == 2


def test_other_credentials_need_another_token(receiver, server, webhook, deliver):
    deliver(1)
    server.give_to(webhook, client_secret="another")
    deliver(1)

    assert tokens_of(receiver) == ["token-1", "token-2"]
    assert server.client() == (CLIENT_ID, "another")
    assert [one.value for one in send.tokens.values()] == ["token-2"]


def test_a_401_renews_the_token_once_and_is_no_attempt(transport, receiver, server, deliver):
    deliver(1)
    receiver.respond = accepting("token-2")
    deliver(10)

    assert server.count == 2
    assert statuses() == {"delivered"}
    assert distinct(Delivery, "attempts", "charged") == {(1, 1)}
    assert not failures() - {("", "HTTP 200 OK")}


def test_a_second_401_is_an_ordinary_failure_after_one_new_token(drain, transport, receiver, server, clock, deliver):
    receiver.respond = accepting()
    deliver(1)

    # One token to begin with, and one after the first 401; a retry begins with the last one.
    assert tokens_of(receiver) == ["token-1", "token-2"]
    assert failures() == {("http_status", "HTTP 401 Unauthorized")}
    clock.advance(seconds=5)
    drain()
    assert tokens_of(receiver)[2:] == ["token-2", "token-3"]
    receiver.respond = accepting("token-3")
    clock.advance(seconds=60)
    drain()
    assert statuses() == {"delivered"}
    assert server.count == 3


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda: Answer(200, body=b"<html>Sign in</html>"), "answered HTTP 200 without JSON that has an access_token"),
        (lambda: json_answer({"error": "invalid_client"}, status=401), "answered HTTP 401 (invalid_client)"),
        (lambda: json_answer({"error": "s3cret"}, status=400), "answered HTTP 400"),
        (lambda: Answer(500, body=b"s3cret"), "answered HTTP 500"),
        (lambda: Answer(302, {"location": "http://127.0.0.1/"}), "answered HTTP 302; redirects are not followed"),
        (lambda: json_answer({"access_token": "a b"}), "issued a token that no header can carry"),
        (lambda: json_answer({"access_token": "a\r\nb"}), "issued a token that no header can carry"),
        (lambda: json_answer(["a"]), "answered HTTP 200 without JSON that has an access_token"),
    ],
)
def test_an_answer_without_a_token_fails_the_attempt_and_names_no_value(receiver, server, answer, message, deliver):
    server.otherwise = answer
    deliver(1)

    assert receiver.received == []
    assert failures() == {("token_error", f"no access token: 127.0.0.1: {message}")}
    assert statuses() == {"waiting"}


def test_a_failed_request_for_a_token_is_a_failed_attempt(drain, transport, receiver, server, clock, deliver):
    server.otherwise = lambda: Answer(503)
    deliver(1)

    assert server.count == 1
    assert DeliveryAttempt.objects.get().next_delay == 5.0
    server.otherwise = None
    clock.advance(seconds=5)
    drain()
    assert statuses() == {"delivered"}
    assert (server.count, len(receiver.received)) == (2, 1)


def test_a_webhook_whose_token_url_fails_is_paused(transport, receiver, server, clock, webhook, deliver):
    server.otherwise = lambda: Answer(503)
    deliver(20)

    assert server.count <= 6
    assert WebhookState.objects.get(pk=webhook.pk).paused_until > clock()


def test_a_token_url_at_a_blocked_address_is_never_called(transport, receiver, server, webhook, deliver):
    server.give_to(webhook, token_url=f"http://127.0.0.2:{server.server.port}/token")
    deliver(4)

    assert (server.count, receiver.received) == (0, [])
    ((error_class, message),) = failures()
    assert error_class == "blocked_address"
    assert message.startswith("no access token: 127.0.0.2: ")
    assert statuses() == {"failed"}
    assert stored(webhook, "disabled_reason") == DisabledReason.BLOCKED_TARGET


def test_a_token_that_the_receiver_sends_back_is_masked_before_it_is_stored(transport, receiver, deliver):
    receiver.respond = lambda request: Answer(
        401, {"www-authenticate": request.headers["authorization"]}, request.headers["authorization"].encode()
    )
    deliver(1)

    (attempt,) = DeliveryAttempt.objects.all()
    assert attempt.response_body == "Bearer ••••"
    assert "www-authenticate: Bearer ••••" in attempt.response_headers


def test_a_token_request_by_https_is_never_in_clear_where_the_same_port_is_called_by_http(
    transport, clock, receiver, server, webhook, deliver
):
    webhook_of(receiver, url=f"{receiver.url}/plain", organization=webhook.organization)
    server.give_to(webhook, token_url=receiver.url.replace("http://", "https://"))
    for _ in range(2):
        deliver(1)
        clock.advance(minutes=1)

    assert [received.path.rpartition("/")[2] for received in receiver.received] == ["plain", "plain"]
    assert failures() == {("", "HTTP 200 OK"), ("token_error", "no access token: 127.0.0.1: tls error")}


def test_a_silent_token_url_ends_with_the_timeout_of_the_webhook(drain, transport, receiver, server, webhook):
    server.delay = 2 * PATIENCE
    write(webhook, timeout_seconds=1)
    # Two are sent at a time at first: they wait for one answer.
    write_events(webhook.organization, 2)
    begun_at = time.monotonic()
    drain()

    assert 0.99 <= time.monotonic() - begun_at < PATIENCE
    assert receiver.received == []
    assert {error_class for error_class, _message in failures()} == {"token_error"}
    assert server.count == 1


def test_a_slow_token_url_delays_no_other_webhook(drain, transport, receiver, server, webhook):
    # The token comes when the others have their 80 events, or never.
    server.otherwise = lambda: receiver.wait_for(80) and json_answer({"access_token": "late"})
    healthy = webhook_of(receiver, organization=webhook.organization)
    others = [webhook_of(receiver) for _ in range(3)]
    write_events(webhook.organization, 20)
    for other in others:
        write_events(other.organization, 20)
    drain()

    ids = {delivery.public_id: delivery.webhook_id for delivery in Delivery.objects.select_related("event", "webhook")}
    order = [ids[request.headers["tms-delivery-id"]] for request in receiver.received]
    assert Counter(order[:80]) == {other.pk: 20 for other in (healthy, *others)}
    assert order[80:] == [webhook.pk] * 20
    assert statuses() == {"delivered"}


def test_a_test_send_uses_the_known_token_and_renews_it_after_a_401(receiver, server, webhook, clock):
    first = send_test(webhook, actor=SYSTEM, clock=clock)
    receiver.respond = accepting("token-2")
    second = send_test(webhook, actor=SYSTEM, clock=clock)

    assert first.result.outcome.success
    assert second.result.outcome.success
    assert tokens_of(receiver) == ["token-1", "token-1", "token-2"]
    assert second.delivery.attempts == 1


def test_no_log_line_holds_token_or_client_secret(server, caplog, deliver):
    caplog.set_level("DEBUG")
    deliver(2)

    text = "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)
    assert server.count == 1
    for private in ("token-1", CLIENT_SECRET):
        assert private not in text
