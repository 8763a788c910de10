"""The authentication of a webhook in its requests, in previews and in the log; and the second signature."""

import hashlib
import hmac
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write, write_event
from tests.integration.delivery.wire import verify
from tms_webhooks.actors import SYSTEM
from tms_webhooks.documents.request_preview import preview_of
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.models.credentials import same_values, to_text, validate
from tms_webhooks.models.encryption import Sealed

CASES = [
    (
        "basic",
        {"username": "Aladdin", "password": "open sesame"},
        "authorization",
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    ),
    ("basic", {"username": "key"}, "authorization", "Basic a2V5Og=="),
    ("basic", {"username": "zoë", "password": "é"}, "authorization", "Basic em/DqzrDqQ=="),
    ("bearer", {"token": "t0ken=="}, "authorization", "Bearer t0ken=="),
    ("header", {"name": "X-Api-Key", "value": "k3y"}, "X-Api-Key", "k3y"),
]
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "authentication.md"
HUB = "X-Hub-Signature-256"


def webhook_with(kind, values, **fields):
    return subscribed(authentication=kind, credentials=to_text(values), **fields)


@pytest.mark.parametrize("kind, values, name, value", CASES)
def test_each_request_has_the_header_of_its_authentication(run, wire, clock, kind, values, name, value):
    webhook = webhook_with(kind, values, headers="X-Other=1")
    write_event(webhook.organization)
    run()

    (request,) = wire.requests
    assert (request.headers[name], request.headers["X-Other"]) == (value, "1")
    verify(request, *webhook.signing_secrets(clock()))


def test_the_authentication_replaces_an_own_header_of_its_name(run, wire):
    webhook = webhook_with("bearer", {"token": "t0ken"}, headers="AUTHORIZATION=Basic x\nX-Other=1")
    write_event(webhook.organization)
    run()

    headers = wire.requests[0].headers
    assert [value for name, value in headers.items() if name.lower() == "authorization"] == ["Bearer t0ken"]


@pytest.mark.parametrize(
    "kind, values, name, value", [*CASES, ("oauth2", {"client_secret": "k3y"}, "authorization", "")]
)
def test_a_preview_masks_the_authentication(kind, values, name, value, clock):
    webhook = webhook_with(kind, values, body_signature_header=HUB)
    send_event = write_event(webhook.organization)
    delivery = Delivery.objects.create(event=send_event, webhook=webhook, due_at=clock.now, created_at=clock.now)

    preview = preview_of(delivery, now=timezone.now())
    assert (preview.headers[name], preview.headers[HUB]) == ("••••", "••••")
    for secret in values.values():
        assert secret not in preview.curl or secret in ("key", "X-Api-Key")


def test_an_unknown_authentication_is_refused_by_its_name():
    with pytest.raises(ValidationError) as refusal:
        validate("kerberos", {"token": "t0ken"})
    assert refusal.value.message_dict == {
        "authentication": ["Unknown authentication: kerberos. Choose one of none, basic, bearer, header, oauth2."]
    }

    webhook = webhook_with("kerberos", {"token": "t0ken"})
    with pytest.raises(ValidationError) as refusal:
        webhook.full_clean()
    assert list(refusal.value.message_dict) == ["authentication"]
    assert same_values("kerberos", {"token": ""}, {})


@pytest.mark.parametrize("stored", ["[]", "no JSON", '{"token": 5}'])
def test_credentials_that_are_none_send_nothing_and_are_not_quoted(run, wire, stored):
    subscribed(authentication="bearer", credentials=stored, happened=1)
    run()

    assert wire.requests == []
    attempt = DeliveryAttempt.objects.get()
    assert attempt.error_class == "secret_unreadable"
    assert "the credentials can't be read; enter them again" in attempt.message
    assert stored not in attempt.message


def test_credentials_of_another_key_stop_their_webhook_alone(run, wire):
    broken, healthy = webhook_with("bearer", {"token": "t0ken"}), subscribed("/healthy")
    write(broken, credentials=Sealed("gAAAAA"))
    for webhook in (broken, healthy):
        write_event(webhook.organization)
    run()

    assert len(wire.requests) == len(wire.to("/healthy")) == 1


@pytest.mark.parametrize("has_prefix", [True, False])
def test_the_body_is_signed_as_github_does_with_the_text_of_the_newest_secret(run, wire, clock, has_prefix):
    webhook = subscribed(body_signature_header=HUB, body_signature_prefix=has_prefix)
    rotate(webhook, now=clock.now, overlap=timedelta(hours=1))
    newest, older = webhook.signing_secrets(clock())
    write_event(webhook.organization)
    run()

    (request,) = wire.requests
    expected = hmac.new(newest.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers[HUB] == ("sha256=" if has_prefix else "") + expected
    verify(request, newest)
    verify(request, older)


def test_the_code_of_the_page_accepts_the_signature_and_no_other(run, wire, clock):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    page = {}
    exec(code, page)
    webhook = subscribed(body_signature_header=HUB, happened=1)
    run()

    (request,), (secret,) = wire.requests, webhook.signing_secrets(clock())
    header = request.headers[HUB]
    assert page["is_valid"](secret, request.body, header)
    assert not page["is_valid"](secret, request.body + b" ", header)
    assert not page["is_valid"](secret.removeprefix("whsec_"), request.body, header)


def test_a_test_send_shows_both_signatures(receiver, clock):
    webhook = subscribed(url=receiver.url, body_signature_header=HUB)
    sent = send_test(webhook, actor=SYSTEM, clock=clock)

    assert sent.signed[HUB] == receiver.received[0].headers[HUB.lower()]
