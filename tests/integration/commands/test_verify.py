"""``manage.py webhooks_verify``: a right signature, a wrong one with its reason, and unreadable requests."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_event
from tms_webhooks.delivery import verification

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(receiver, drain):
    """A webhook, and the request that it was sent."""
    webhook = WebhookFactory(url=receiver.url, events=["*"])
    write_event(webhook.organization)
    drain()
    (request,) = receiver.received
    return SimpleNamespace(webhook=webhook, request=request)


@pytest.fixture
def verify(capsys, tmp_path):
    """Run the command on a request; return its exit status and what it printed."""

    def run(request, *arguments: str, body: bytes | None = None) -> tuple[int, str]:
        file = tmp_path / "request.http"
        file.write_bytes(
            verification.write(verification.CapturedRequest(request.headers, request.body if body is None else body))
        )
        with pytest.raises(SystemExit) as ended:
            call_command("webhooks_verify", str(file), *arguments)
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def test_a_request_of_a_webhook_is_right(sent, verify):
    assert verify(sent.request, "--webhook", str(sent.webhook.pk)) == (0, "The signature is right.\n")


def test_a_secret_in_the_environment_does_as_well(sent, verify, monkeypatch, clock):
    monkeypatch.setenv("CRM_SECRET", sent.webhook.signing_secrets(clock.now)[0])

    status, printed = verify(sent.request, "--secret-env", "CRM_SECRET", "--json")

    assert status == 0
    assert json.loads(printed) == {"right": True, "problems": []}


def test_a_body_that_a_proxy_changed_is_reported_with_its_place(sent, verify):
    body = sent.request.body.replace(b"Cancelled", b"Scheduled")

    status, printed = verify(sent.request, "--webhook", str(sent.webhook.pk), body=body)

    assert status == 1
    assert printed.startswith(f"The body was changed in transit: {len(body)} bytes were sent, {len(body)} arrived")
    assert f"byte {sent.request.body.index(b'Cancelled')}" in printed


def test_a_rotated_secret_is_reported(sent, verify):
    sent.webhook.rotate_secret(overlap=timedelta())

    status, printed = verify(sent.request, "--webhook", str(sent.webhook.pk))

    assert status == 1
    assert printed.startswith("The request is signed with a secret that is no longer valid")


def test_the_moment_at_which_it_came_in_can_be_named(sent, verify):
    status, printed = verify(sent.request, "--webhook", str(sent.webhook.pk), "--at", "2001-01-01T00:00:00Z")

    assert status == 1
    assert "the receiver's clock is slow" in printed


def test_standard_input_is_read(sent, monkeypatch, capsys):
    raw = verification.write(verification.CapturedRequest(sent.request.headers, sent.request.body))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw)))

    with pytest.raises(SystemExit) as ended:
        call_command("webhooks_verify", "-", "--webhook", str(sent.webhook.pk))

    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.http", "--webhook", "1"], "nowhere.http can't be read: No such file or directory."),
        (["{file}", "--webhook", "987654"], "Webhook 987654 does not exist."),
        (["{file}", "--secret-env", "NOT_SET"], "NOT_SET is not set; put the webhook's secret"),
        (["{file}", "--secret-env", "NOT_ONE"], "NOT_ONE: A signing secret starts with 'whsec_'; this one does not."),
        (["{file}", "--secret-env", "whsec_abc="], "that is not the name of an environment variable"),
        (["{other}"], "Header line 1 is not of the form name: value."),
    ],
)
def test_a_request_that_cant_be_read_is_bad_input(tmp_path, monkeypatch, arguments, expected):
    (tmp_path / "request.http").write_bytes(b"webhook-id: evt_1\n\n{}")
    (tmp_path / "other.http").write_bytes(b"just a body")
    monkeypatch.setenv("NOT_ONE", "hunter2")
    names = {"file": tmp_path / "request.http", "other": tmp_path / "other.http"}

    with pytest.raises(CommandError) as refused:
        call_command("webhooks_verify", *(text.format(**names) for text in arguments))

    assert expected in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "whsec_abc" not in str(refused.value)
