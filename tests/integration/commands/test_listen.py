"""``webhooks_test --listen``: it listens where the webhook's URL leads, and says why requests do not come."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import WebhookFactory, write_values
from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.management.commands.webhooks_test import address_of, notes_on

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BODY = b'{"type":"class.cancelled","data":{"name":"Alice"}}'


def sends_to(url: str, **fields):
    """Return a webhook with this URL, whether or not the settings allow it."""
    webhook = WebhookFactory()
    write_values(webhook, url=url, **fields)
    return webhook


class Sender(StringIO):
    """The standard error of the command: as soon as it listens, these requests are sent, and then SIGTERM."""

    def __init__(self, port: int, requests: list[dict[str, str]]) -> None:
        super().__init__()
        self.answers: list[int] = []
        self._port = port
        self._requests = requests

    def write(self, text: str) -> int:
        if "Listening" in text:
            threading.Thread(target=self._send).start()
        return super().write(text)

    def _send(self) -> None:
        for headers in self._requests:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            connection.request("POST", "/hooks/tms?key=hidden", BODY, headers)
            self.answers.append(connection.getresponse().status)
            connection.close()
        os.kill(os.getpid(), signal.SIGTERM)


def listen(*changes: dict[str, str], **options) -> tuple[int, list[str], Sender]:
    """Run the command for one signed request with each of these changes; return its status, lines and sender."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    webhook = sends_to(f"http://127.0.0.1:{port}/hooks/tms?key=hidden")
    secrets = webhook.signing_secrets(timezone.now())
    signed = signature_headers(secrets=secrets, message_id="evt_1", timestamp=int(time.time()), body=BODY)
    out, sender, status = StringIO(), Sender(port, [{**signed, **change} for change in changes]), 0
    try:
        call_command("webhooks_test", str(webhook.pk), listen=True, stdout=out, stderr=sender, **options)
    except SystemExit as ended:
        status = int(str(ended))
    return status, out.getvalue().splitlines(), sender


def test_it_listens_where_the_url_leads_verifies_and_fails_on_purpose():
    status, lines, sender = listen({}, {}, fail_first=1)

    assert (status, sender.answers) == (0, [503, 204])
    assert re.fullmatch(r"[\d:.]{12}  class\.cancelled  evt_1  verified  -> 503", lines[0])
    assert lines[1].endswith("  class.cancelled  evt_1  verified, seen 2 times  -> 204")
    assert "hidden" not in sender.getvalue()
    assert "Alice" not in str(lines)


def test_a_request_that_does_not_verify_is_refused_with_the_reason_and_makes_the_exit_status_1():
    status, lines, sender = listen({"webhook-signature": "v1,AAAA", "webhook-id": "\x1b2J"})

    assert (status, sender.answers) == (1, [401])
    assert lines[0].endswith("class.cancelled  \ufffd2J  NOT VERIFIED  -> 401")
    assert lines[1].strip().startswith("webhook-id holds more than letters")


def test_where_no_request_came_the_command_that_shows_the_attempts_is_named():
    status, lines, sender = listen()

    assert (status, lines) == (0, [])
    assert "No request came. The attempts of the webhook: webhooks_tail --webhook " in sender.getvalue()


@pytest.mark.parametrize(
    ("url", "port", "expected"),
    [
        ("http://localhost:9123/", None, ("127.0.0.1", 9123)),
        ("http://[::1]:9123/a", None, ("::1", 9123)),
        ("http://127.0.0.1/{type}", None, ("127.0.0.1", 80)),
        ("https://tunnel.example.com/hook", 9123, ("127.0.0.1", 9123)),
    ],
)
def test_the_address_is_that_of_the_url_or_of_a_tunnel(url, port, expected):
    assert address_of(sends_to(url), port) == expected


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (
            "https://crm.example.com/hook?token=hidden",
            {},
            r"sends to https://crm\.example\.com/hook, and not to this machine by http\. Change its URL to one such as "
            r"http://127\.0\.0\.1:9000/\. Or give --port",
        ),
        ("https://localhost/hook", {}, r"sends to https://localhost/hook, and not to this machine by http\."),
        ("", {"pull_only": True}, r"is pull-only: nothing is sent to it\."),
    ],
)
def test_a_webhook_that_is_not_sent_here_is_refused_with_the_remedy(url, fields, expected):
    with pytest.raises(CommandError, match=expected) as raised:
        call_command("webhooks_test", "--listen", str(sends_to(url, **fields).pk))

    assert raised.value.returncode == 2
    assert "hidden" not in str(raised.value)


def test_a_taken_port_is_named_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        webhook = sends_to(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        with pytest.raises(CommandError, match="address already in use. End the program that uses the port, or choose"):
            call_command("webhooks_test", "--listen", str(webhook.pk))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "arguments are required: webhook"),
        (["987654", "--listen"], r"Webhook 987654 does not exist\. webhooks_health lists the webhooks"),
        (["1", "--port", "9000"], "--port and --fail-first need --listen."),
        (["1", "--listen", "--port", "70000"], "'70000' is not a port from 0 to 65535"),
        (["1", "--listen", "--json"], "--listen sends nothing; leave out --event, --subject and --json."),
    ],
)
def test_bad_input_is_named(arguments, expected):
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_test", *arguments)


# Why requests do not come


@pytest.mark.parametrize(
    ("port", "fields", "expected"),
    [
        (
            9124,
            {},
            "With the settings of this process, nothing is sent to this webhook. URL: the port 9124 is not allowed",
        ),
        (
            9123,
            {"enabled": False},
            "The webhook gets no new events. No reason was recorded. New events are kept as skipped. ",
        ),
        (
            9123,
            {"held_until": timedelta(hours=2)},
            "The webhook gets no new events. The webhook is held until 2026-11-24 14:00:00 UTC because the receiver asked for it",
        ),
    ],
)
def test_the_reason_that_no_requests_come_is_noted(worker, settings, port, fields, expected):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}
    values = {name: NOON + value if isinstance(value, timedelta) else value for name, value in fields.items()}

    notes = list(notes_on(sends_to(f"http://127.0.0.1:{port}/", **values), now=NOON))

    assert [note for note in notes if note.startswith(expected)] != []


def test_nothing_is_noted_where_requests_come(worker, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}

    assert list(notes_on(sends_to("http://127.0.0.1:9123/"), now=timezone.now())) == []


def test_a_missing_worker_is_noted(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}

    assert list(notes_on(sends_to("http://127.0.0.1:9123/"), now=timezone.now())) == [
        "No worker delivers now. Start one: webhooks_drain"
    ]
