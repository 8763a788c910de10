"""Answers do not tell which names exist inside the operator's network."""

from datetime import timedelta

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from tests import sweeps
from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, text_of
from tests.integration.admin.pages import url as page_url
from tests.integration.api.conftest import client
from tests.integration.api.people import at, error_of
from tests.integration.delivery.rows import write_event
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.delivery import notices
from tms_webhooks.models import DeliveryAttempt, Notification, Webhook
from tms_webhooks.models.credentials import to_text
from tms_webhooks.outbox.fanout import fan_out

__all__ = ["client"]

REFUSAL = "has no address that webhooks may call; check its spelling, use a public host, or ask the operator"


@pytest.fixture(params=["curl", "threads"])
def transport(request, settings_of_app):
    """Each transport."""
    settings_of_app(TRANSPORT=request.param)


@pytest.fixture
def addresses(names):
    """URLs that must look alike in all that a customer sees: of an internal name, and of one that does not exist."""
    names["intranet.example.com"] = "10.1.2.3"
    return ["https://intranet.example.com/hook", "https://nowhere1.example.com/hook"]


def seen_of(webhook, url):
    """Return what the log, the feed and the notifications show of a webhook, without its own host, ids and durations."""
    webhook.refresh_from_db()
    attempts = [
        (
            attempt.error_class,
            attempt.message.replace(url.split("/")[2], "HOST"),
            (attempt.next_delay, attempt.delay_reason, attempt.charged),
            [part is None for part in attempt.parts],
        )
        for attempt in DeliveryAttempt.objects.filter(delivery__webhook=webhook).order_by("pk")
    ]
    deliveries = list(webhook.deliveries.order_by("pk").values_list("status", "error_class", "attempts", "charged"))
    return [
        attempts,
        deliveries,
        webhook.enabled,
        webhook.disabled_reason,
        webhook.state.failures,
        webhook.state.paused_until,
    ]


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize("part", ["url", "token_url"])
def test_deliveries_to_both_leave_the_same_log_and_health(addresses, acme, drain, clock, part):
    webhooks = [WebhookFactory(organization=acme, events=["*"], max_in_flight=1) for _ in addresses]
    for webhook, url in zip(webhooks, addresses, strict=True):
        token = {"token_url": url, "client_id": "crm", "client_secret": "s3cret"}
        values = {"url": url} if part == "url" else {"authentication": "oauth2", "credentials": to_text(token)}
        for name, value in values.items():
            setattr(webhook, name, value)
        webhook.save()
    for _ in range(6):
        write_event(acme)
        fan_out(clock.now)
        drain()
        clock.advance(minutes=10)

    internal, unknown = (seen_of(*pair) for pair in zip(webhooks, addresses, strict=True))

    assert internal == unknown
    error_class, message = internal[0][0][:2]
    assert (error_class, REFUSAL in message) == ("dns_error" if part == "url" else "token_error", True)
    assert {status for status, *_ in internal[1]} == {DeliveryStatus.WAITING, DeliveryStatus.PENDING}


@pytest.mark.parametrize("part", ["url", "token_url"])
def test_a_test_send_to_both_gets_the_same_answer(client, addresses, acme, part):
    answers = []
    for url in addresses:
        token = {"token_url": url, "client_id": "crm", "client_secret": "s3cret"}
        values = {"url": url} if part == "url" else {"authentication": "oauth2", "credentials": to_text(token)}
        webhook = WebhookFactory(organization=acme, **{"url": "https://receiver.example.com/", **values})
        answer = client.post(at(webhook, "test"), {}).json()
        answers.append(
            [
                answer["error_class"],
                answer["message"].replace(url.split("/")[2], "HOST"),
                [name for name, part in answer["timing_ms"].items() if part is None],
                seen_of(webhook, url),
            ]
        )

    assert answers[0] == answers[1]
    assert REFUSAL in answers[0][1]


def test_a_notification_to_both_fails_alike(addresses, acme, clock, monkeypatch):
    WebhookFactory(organization=acme, failing_since=clock.now - timedelta(minutes=10), failed_at=clock.now, failures=4)
    chats = {"slack": addresses[0], "teams": addresses[1]}
    monkeypatch.setattr(notices, "contacts_function", lambda: lambda _organization: chats)

    sweeps.notify(clock)

    (internal, one), (unknown, other) = Notification.objects.order_by("channel").values_list("status", "error")
    assert (internal, one.replace("intranet", "nowhere1")) == (unknown, other)


@pytest.mark.parametrize("host", ["LocalHost", "api.localhost"])
def test_localhost_is_refused_at_every_door(client, operator, acme, problem, settings_of_app, tmp_path, host):
    settings_of_app(UNCHECKED_HOSTS=[])
    address = f"https://{host}/"
    acme.external_id = "ACME"
    acme.save()
    document = {"organization": "ACME", "name": "CRM", "url": address, "subscriptions": []}
    path = tmp_path / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "webhooks": [document]}), encoding="utf-8")

    with pytest.raises(ValidationError, match="has no address that webhooks may call"):
        WebhookFactory.build(organization=acme, url=address).full_clean()
    with pytest.raises(CommandError, match="has no address that webhooks may call"):
        call_command("webhooks_import", str(path), "--keep-secrets")
    assert REFUSAL in text_of(
        operator.post(page_url(Webhook, "add"), {**form_of(url=address), "organization": acme.pk})
    )
    body = {"organization": acme.pk, "name": "CRM", "url": address}
    place, code, detail = error_of(client.post("/api/webhooks/", body))

    assert (place, code) == ("#/url", "unsafe_url")
    assert REFUSAL in detail

    assert Webhook.objects.count() == 0
