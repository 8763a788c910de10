"""Secrets, header values and signatures are in the request, and nowhere else."""

import json
import logging
import traceback
from urllib.parse import quote_plus, urlencode

import pytest

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Wire, broken
from tests.receiver import Answer
from tms_webhooks.actors import SYSTEM
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.models.credentials import to_text
from tms_webhooks.models.encryption import reveal
from tms_webhooks.net.urls import MASK
from tms_webhooks.outbox.fanout import fan_out

PASSWORD = "dXNlcjpodW50ZXIy"
KEY = "k-7f3a9c"
TOKEN = "9f86/d081+884c7d"
HEADERS = f"Authorization=Basic {PASSWORD}\nX-Api-Key={KEY}"


@pytest.fixture(autouse=True)
def everything(caplog):
    """Log all there is, the libraries' lines included."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="tms_webhooks")
    return caplog


def secrets_of(webhook):
    whole = [reveal(secret.value) for secret in webhook.secrets.all()]
    assert whole
    return [PASSWORD, KEY, *(secret.removeprefix("whsec_") for secret in whole)]


def logged(caplog):
    """Every record in every way a handler may write it out."""
    formatter = logging.Formatter("%(name)s %(message)s")
    return "\n".join(f"{formatter.format(record)} {record.args!r} {vars(record)!r}" for record in caplog.records)


def assert_hidden(webhook, *texts):
    for private in secrets_of(webhook):
        assert not [text for text in texts if private in text]


@pytest.mark.parametrize(
    "problem",
    [
        broken("connection_reset"),
        RuntimeError(f"bad header Authorization: Basic {PASSWORD}"),
        ValueError(f"{KEY} {TOKEN}"),
        UnicodeEncodeError("latin-1", PASSWORD, 0, 1, "no"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_what_goes_wrong_is_kept_and_logged_without_them(run, caplog, problem):
    bearer = {"authentication": "bearer", "credentials": to_text({"token": TOKEN})}
    webhook = subscribed(headers=HEADERS, happened=1, **bearer)

    run(wire=Wire(problem))

    attempt = DeliveryAttempt.objects.get()
    assert attempt.error_class
    assert_hidden(webhook, attempt.message, logged(caplog))
    assert TOKEN not in f"{attempt.message} {logged(caplog)}"


@pytest.mark.parametrize(
    "headers",
    [f"Authorization: Basic {PASSWORD}", f"webhook-id={PASSWORD}", f"X-Key={KEY}\x01", f"X-Key={KEY}Ω", ""],
)
def test_stored_headers_and_secrets_that_cant_be_read_are_not_quoted(run, wire, caplog, headers):
    webhook = subscribed(headers=headers)
    if not headers:
        webhook.secrets.update(value=f"whsec_{PASSWORD}!")
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    attempt = DeliveryAttempt.objects.get()
    assert_hidden(webhook, attempt.message, logged(caplog))


CREDENTIALS = {
    "basic": {"username": "crm", "password": TOKEN},
    "bearer": {"token": TOKEN},
    "header": {"name": "X-Custom", "value": TOKEN},
}


def echoed(received):
    """Return all headers of a request and its query, as JSON and in a header, as httpbin.org does."""
    headers = {**received.headers, "password": TOKEN}
    body = json.dumps({"headers": headers, "url": f"https://receiver.example.com{received.path}"})
    return Answer(302, {"location": f"/?{urlencode(headers)}", "x-debug": " ".join(headers.values())}, body.encode())


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_secrets_that_a_receiver_sends_back_are_masked_before_they_are_stored(receiver, drain, kind):
    webhook = WebhookFactory(
        url=f"{receiver.url}?team=hr&sig={KEY}",
        events=["*"],
        headers=f"X-Team-Password={PASSWORD}",
        authentication=kind,
        credentials=to_text(CREDENTIALS[kind]),
    )
    write_event(webhook.organization)
    receiver.respond = echoed

    drain()

    attempt = DeliveryAttempt.objects.get()
    stored = f"{attempt.response_body} {attempt.response_headers} {attempt.message}"
    sent = receiver.received[0].headers.get("authorization", TOKEN).partition(" ")[2] or TOKEN
    for private in (PASSWORD, KEY, TOKEN, sent):
        assert private not in stored
        assert quote_plus(private) not in stored
    assert f"?team=hr&sig={MASK}" in attempt.response_body
    assert '"tms-attempt": "1"' in attempt.response_body


@pytest.mark.parametrize("limit", [16_384, 24])
def test_a_secret_is_masked_also_where_the_limit_of_the_answer_cuts_it(receiver, settings_of_app, limit):
    settings_of_app(RESPONSE_LIMIT_BYTES=limit)
    webhook = subscribed(url=receiver.url, headers=f"Authorization=Basic {PASSWORD}")
    receiver.respond = lambda request: Answer(200, {}, b"You sent " + request.headers["authorization"].encode())

    assert send_test(webhook, actor=SYSTEM).result.body == f"You sent {MASK}"


def test_nothing_that_the_worker_handles_shows_them(alice, clock):
    webhook = subscribed(headers=HEADERS, happened=1)
    fan_out(clock.now)
    alice.wire.answers = [500]

    (claimed,) = alice.claim()
    result = alice.send(claimed)

    (request,) = alice.wire.requests
    assert request.headers["Authorization"] == f"Basic {PASSWORD}"
    for shown in (repr([claimed, request, result]), *map(str, (claimed, request, result))):
        for private in [*secrets_of(webhook), request.headers["webhook-signature"], "Zoë"]:
            assert private not in shown


def test_a_traceback_through_the_sender_shows_none_of_them(run, caplog):
    webhook = subscribed(headers=HEADERS, happened=1)
    seen = []

    def refuse(request):
        try:
            raise RuntimeError("no")
        except RuntimeError as error:
            seen.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
            raise

    run(wire=Wire(refuse))

    assert_hidden(webhook, *seen)
    assert len(seen) == 1
