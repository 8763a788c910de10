"""No page holds a secret or a header's value: every page there is, searched as text."""

import pytest
from django.utils import timezone

from tests.integration.admin.pages import form_of, named, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.admin import webhooks
from tms_webhooks.admin.actions import WEBHOOK_ACTIONS
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, Event, Job, Webhook, WebhookSecret
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.usefixtures("site")

VALUE = "Basic aHVudGVyMg=="


@pytest.fixture
def webhook():
    """A webhook with headers, a rotated secret, and a row of everything."""
    now = timezone.now()
    webhook = subscribed(headers=f"Authorization={VALUE}")
    rotate(webhook, now=now)
    delivery = write_delivery(webhook, now=now)
    DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=1)
    Job.objects.create(kind="recover", webhook=webhook, created_at=now)
    return webhook


def hidden(webhook):
    """Return the texts that no page may contain: the secrets in clear text and as stored."""
    stored = [secret.value for secret in WebhookSecret.objects.all()]
    assert len(stored) == 2
    webhook = Webhook.objects.get(pk=webhook.pk)
    tokens = [value.token for value in (*stored, webhook.headers)]
    return [VALUE, "aHVudGVyMg", "whsec_", *map(reveal, stored), *tokens]


def pages():
    found = [named("index"), url(Webhook, "add")]
    for model in (Webhook, Delivery, Event, Job):
        found.append(url(model, "changelist"))
        for row in model.objects.all():
            found += [url(model, page, row.public_id) for page in ("change",)]
    return [*found, url(Webhook, "delete", Webhook.objects.get().public_id), *added_pages()]


def added_pages():
    """Return the pages that the app adds to Django's own."""
    key, event = Webhook.objects.get().public_id, Event.objects.get()
    acts = [url(Webhook, "action", key, act.slug) for act in WEBHOOK_ACTIONS]
    why, filters = url(Webhook, "explain", key), url(Webhook, "filters_of", key)
    return [
        named("tms_webhooks_dashboard"),
        url(Webhook, "overview", key),
        url(Delivery, "resend", Delivery.objects.get().public_id),
        f"{why}?event={event.public_id}",
        url(Webhook, "compare", key),
        *(f"{filters}?filters={one.public_id}" for one in Webhook.objects.get().subscriptions.all()),
        url(AuditEntry, "changelist"),
        url(AuditEntry, "change", AuditEntry.objects.latest("pk").public_id),
        *acts,
    ]


def test_no_page_shows_a_secret_or_a_headers_value(operator, webhook):
    operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, name="Renamed"))
    forbidden = hidden(webhook)

    addresses = pages()
    for address in addresses:
        response = operator.get(address, follow=True)
        assert response.status_code == 200, address
        page = response.content.decode()
        assert [text for text in forbidden if text in page] == [], address
    assert len(addresses) == 12 + 7 + len(WEBHOOK_ACTIONS)


def test_headers_are_not_searched(operator, webhook):
    for term in (VALUE, "Authorization", "whsec_"):
        response = operator.get(url(Webhook, "changelist"), {"q": term})
        assert list(response.context["cl"].result_list) == []
    assert set(webhooks.WebhookAdmin.search_fields) == {"name"}


def test_secrets_have_no_page_of_their_own(operator, webhook):
    index = operator.get(named("index")).content.decode()

    assert "webhooksecret" not in index.lower()
    assert "Drain slot" not in index
