"""``webhooks_test --listen``: it listens where the webhook's URL leads."""

import http.client
import os
import re
import signal
import socket
import threading
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import WebhookFactory, write_values
from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.management.commands.webhooks_test import address_of

BODY = b'{"type":"class.cancelled","data":{"name":"Alice"}}'


def sends_to(url, **fields):
    """Return a webhook with this URL, whether or not the settings allow it."""
    webhook = WebhookFactory()
    write_values(webhook, url=url, **fields)
    return webhook


class Sender(StringIO):
    """The standard error of the command: as soon as it listens, these requests are sent, and then SIGTERM."""

    def __init__(self, port, requests):
        super().__init__()
        self.answers = []
        self._port = port
        self._requests = requests

    def write(self, text):
        if "Listening" in text:
            threading.Thread(target=self._send).start()
        return super().write(text)

    def _send(self):
        for headers in self._requests:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            connection.request("POST", "/hooks/tms?key=hidden", BODY, headers)
            self.answers.append(connection.getresponse().status)
            connection.close()
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def listen(settings_of_app):
    """Run the command for one signed request with each of these changes; return its status, lines and sender."""

    def listen(*changes):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = int(server.getsockname()[1])
        settings_of_app(ALLOWED_PORTS=[port])
        webhook = sends_to(f"http://127.0.0.1:{port}/hooks/tms?key=hidden")
        secrets = webhook.signing_secrets(timezone.now())
        signed = signature_headers(secrets=secrets, message_id="evt_1", timestamp=int(time.time()), body=BODY)
        out, sender, status = StringIO(), Sender(port, [{**signed, **change} for change in changes]), 0
        try:
            call_command("webhooks_test", str(webhook.pk), listen=True, stdout=out, stderr=sender)
        except SystemExit as ended:
            status = int(str(ended))
        return status, out.getvalue().splitlines(), sender

    return listen


def test_it_listens_where_the_url_leads_and_verifies(listen):
    status, lines, sender = listen({})

    assert (status, sender.answers) == (0, [204])
    assert re.fullmatch(r"[\d:.]{12}  class\.cancelled  evt_1  verified  -> 204", lines[0])
    assert "hidden" not in sender.getvalue()
    assert "No worker delivers now. Start one: webhooks_drain" in sender.getvalue()
    assert "Alice" not in str(lines)


def test_a_request_that_does_not_verify_is_refused_with_the_reason_and_makes_the_exit_status_1(listen):
    status, lines, sender = listen({"webhook-signature": "v1,AAAA", "webhook-id": "\x1b2J"})

    assert (status, sender.answers) == (1, [401])
    assert lines[0].endswith("class.cancelled  \ufffd2J  NOT VERIFIED  -> 401")
    assert lines[1].strip().startswith("webhook-id holds more than letters")


def test_where_no_request_came_the_commands_that_say_why_are_named(listen):
    status, lines, sender = listen()

    assert (status, lines) == (0, [])
    assert "No request came. webhooks_tail --webhook " in sender.getvalue()


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://localhost:9123/", ("127.0.0.1", 9123)),
        ("http://[::1]:9123/a", ("::1", 9123)),
        ("http://127.0.0.1:9123/{type}", ("127.0.0.1", 9123)),
    ],
)
def test_the_address_is_that_of_the_url(settings_of_app, url, expected):
    settings_of_app(ALLOWED_PORTS=[9123], UNCHECKED_HOSTS=["127.0.0.1", "localhost", "::1"])

    assert address_of(sends_to(url)) == expected


@pytest.mark.parametrize(
    "url, fields, expected",
    [
        (
            "https://crm.example.com/hook?token=hidden",
            {},
            r"sends to https://crm\.example\.com/hook, and not to this machine by http\. Change its URL to one such as "
            r"http://127\.0\.0\.1:9000/\.",
        ),
        ("https://localhost/hook", {}, r"sends to https://localhost/hook, and not to this machine by http\."),
        (
            "http://127.0.0.1:9/",
            {},
            r"sends nothing to this machine\. .*the port 9 is not allowed.* TMS_WEBHOOKS with ",
        ),
        ("", {"pull_only": True}, r"sends nothing to this machine\."),
    ],
)
def test_a_webhook_that_is_not_sent_here_is_refused_with_the_remedy(url, fields, expected):
    with pytest.raises(CommandError, match=expected) as raised:
        call_command("webhooks_test", "--listen", str(sends_to(url, **fields).pk))

    assert raised.value.returncode == 2
    assert "hidden" not in str(raised.value)


def test_a_taken_port_is_named(settings_of_app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings_of_app(ALLOWED_PORTS=[port])
        with pytest.raises(CommandError, match=f"Can't listen on 127.0.0.1:{port}: .*in use"):
            call_command("webhooks_test", "--listen", str(sends_to(f"http://127.0.0.1:{port}/").pk))


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "arguments are required: webhook"),
        (["987654", "--listen"], r"Webhook 987654 does not exist\. webhooks_health lists the webhooks"),
        (["1", "--listen", "--json"], "--listen sends nothing; leave out --event, --subject and --json."),
    ],
)
def test_bad_input_is_named(arguments, expected):
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_test", *arguments)
