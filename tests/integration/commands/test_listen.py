"""``webhooks_test --listen``: it listens where the webhook's URL leads, and says why requests do not come."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.management.listening import ListenAddress, address_of, notes_on

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def sends_to(url: str, **fields):
    """Return a webhook with this URL, whether or not the settings allow it."""
    webhook = WebhookFactory(**fields)
    type(webhook).objects.filter(pk=webhook.pk).update(url=url)
    webhook.refresh_from_db()
    return webhook


class Sender(StringIO):
    """The standard error of the command, which sends requests as soon as the command says that it listens."""

    def __init__(self, send) -> None:
        super().__init__()
        self.answers: list[int] = []
        self._send = send

    def write(self, text: str) -> int:
        if "Listening" in text:
            threading.Thread(target=lambda: self.answers.extend(self._send())).start()
        return super().write(text)


def listen(webhook, *paths: str, secret: str, port: int, **options) -> tuple[list[dict], Sender]:
    """Run the command for one signed request to each path; return what it printed, and its standard error."""

    def send():
        for number, path in enumerate(paths):
            signed = signature_headers(
                secrets=[secret], message_id=f"evt_{number}", timestamp=int(time.time()), body=b"{}"
            )
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("POST", path, b"{}", signed)
            yield connection.getresponse().status
            connection.close()

    out, sender = StringIO(), Sender(send)
    call_command(
        "webhooks_test",
        str(webhook.pk),
        listen=True,
        requests=len(paths),
        as_json=True,
        stdout=out,
        stderr=sender,
        **options,
    )
    return [json.loads(line) for line in out.getvalue().splitlines()], sender


def test_it_listens_on_the_port_and_the_path_of_the_url_and_verifies_with_the_secret():
    port = free_port()
    webhook = sends_to(f"http://127.0.0.1:{port}/hooks/tms?key=hidden")
    (secret,) = webhook.signing_secrets(timezone.now())

    (first, second), sender = listen(webhook, "/hooks/tms?key=hidden", "/other", secret=secret, port=port)

    assert (first["verified"], first["answered"], first["problems"]) == (True, 204, [])
    assert second["answered"] == 404
    assert second["problems"] == ["The request is for /other, and the webhook's URL has the path /hooks/tms."]
    assert f"Listening on http://127.0.0.1:{port}/hooks/tms (stop with Ctrl-C)" in sender.getvalue()
    assert "hidden" not in sender.getvalue()


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("http://localhost:9123/", {}, ListenAddress("127.0.0.1", 9123, is_given_by_url=True, path="/")),
        ("http://localhost:9123/", {"port": 9123}, ListenAddress("127.0.0.1", 9123, is_given_by_url=True, path="/")),
        ("http://[::1]:9123/a", {}, ListenAddress("::1", 9123, is_given_by_url=True, path="/a")),
        ("http://127.0.0.1/{type}", {}, ListenAddress("127.0.0.1", 80, is_given_by_url=True, path=None)),
        ("http://127.0.0.1:9123/", {"host": "0.0.0.0"}, ListenAddress("0.0.0.0", 9123, is_given_by_url=True, path="/")),
        ("https://tunnel.example.com/hook", {"port": 9123}, ListenAddress("127.0.0.1", 9123)),
    ],
)
def test_the_place_is_that_of_the_url(url, options, expected):
    assert address_of(sends_to(url), **{"host": None, "port": None, **options}) == expected


def test_without_a_webhook_it_is_port_9000_of_this_machine():
    assert address_of(None, host=None, port=None) == ListenAddress("127.0.0.1", 9000)
    assert address_of(None, host="::1", port=0) == ListenAddress("::1", 0)
    assert ListenAddress("::1", 9000).url(9001) == "http://[::1]:9001/"


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        (
            "https://crm.example.com/hook?token=hidden",
            {},
            r"sends to https://crm\.example\.com/hook, and not to this machine by http\. Change its URL to one such as "
            r"http://127\.0\.0\.1:9000/\. Or give --port",
        ),
        ("https://localhost/hook", {}, r"sends to https://localhost/hook, and not to this machine by http\."),
        (
            "http://127.0.0.1:9123/",
            {"port": "9124"},
            r"sends to http://127\.0\.0\.1:9123/\. Leave out --host and --port",
        ),
        (
            "http://127.0.0.1:9123/",
            {"host": "::1"},
            r"sends to http://127\.0\.0\.1:9123/\. Leave out --host and --port",
        ),
    ],
)
def test_a_url_that_leads_elsewhere_is_named_with_the_remedy(url, options, expected):
    webhook = sends_to(url)

    with pytest.raises(CommandError, match=expected) as raised:
        call_command(
            "webhooks_test", "--listen", str(webhook.pk), *(f"--{name}={value}" for name, value in options.items())
        )

    assert raised.value.returncode == 2
    assert "hidden" not in str(raised.value)


def test_a_taken_port_of_a_url_is_named_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        webhook = sends_to(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        with pytest.raises(
            CommandError, match="address already in use. End the program that uses the port, or give the"
        ):
            call_command("webhooks_test", "--listen", str(webhook.pk))


def test_a_pull_only_webhook_is_refused():
    webhook = WebhookFactory(pull_only=True, url="")

    with pytest.raises(CommandError, match=rf"Webhook {webhook.pk} is pull-only: nothing is sent to it\."):
        call_command("webhooks_test", "--listen", str(webhook.pk))


def test_an_unknown_webhook_is_named_with_the_command_that_lists_them():
    with pytest.raises(CommandError, match=r"Webhook 987654 does not exist\. webhooks_health lists the webhooks"):
        call_command("webhooks_test", "--listen", "987654")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Give the id of a webhook. webhooks_health lists the webhooks with their ids."),
        (["1", "--port", "9000"], "--port needs --listen."),
        (["1", "--body"], "--body needs --listen."),
        (["1", "--listen", "--dry-run"], "--listen sends nothing; leave out --event, --subject and --dry-run."),
    ],
)
def test_options_of_listening_and_of_sending_are_not_mixed(arguments, expected):
    with pytest.raises(CommandError, match=expected):
        call_command("webhooks_test", *arguments)


# Why requests do not come


def test_nothing_is_noted_where_requests_come(worker, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}

    assert list(notes_on(sends_to("http://127.0.0.1:9123/"), now=timezone.now())) == []


def test_settings_that_refuse_the_url_are_noted(worker):
    (note,) = notes_on(sends_to("http://127.0.0.1:9123/"), now=timezone.now())

    assert note.endswith("TMS_WEBHOOKS with ALLOWED_SCHEMES, ALLOWED_PORTS, UNCHECKED_HOSTS and UNCHECKED_CIDRS.")
    assert note.startswith(
        "With the settings of this process, nothing is sent to this webhook. URL: the port 9123 is not allowed"
    )


def test_a_missing_worker_is_noted(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}

    assert list(notes_on(sends_to("http://127.0.0.1:9123/"), now=timezone.now())) == [
        "No worker delivers now. Start one: webhooks_drain"
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"enabled": False},
            "The webhook gets no new events. No reason was recorded. New events are kept as skipped. ",
        ),
        (
            {"paused_until": timedelta(hours=1), "failures": 4, "failing_since": timedelta(0), "failed_with": "500"},
            "The webhook gets no new events. 4 attempts in a row have failed since 2026-11-24 12:00:00 UTC, the last: HTTP 500. "
            "The webhook is paused: until 2026-11-24 13:00:00 UTC",
        ),
        (
            {"held_until": timedelta(hours=2)},
            "The webhook gets no new events. The webhook is held until 2026-11-24 14:00:00 UTC because the receiver asked for it",
        ),
    ],
)
def test_a_webhook_that_gets_no_requests_is_noted(worker, settings, fields, expected):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_PORTS": [9123]}
    values = {name: NOON + value if isinstance(value, timedelta) else value for name, value in fields.items()}

    notes = list(notes_on(sends_to("http://127.0.0.1:9123/", **values), now=NOON))

    assert [note for note in notes if note.startswith(expected)] != []
