"""What the admin's tutorial names in bold is on the pages of the admin, by that very name."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from example_project.training.factories import UserFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "admin.md"
NOT_A_LABEL = {"once"}


@pytest.mark.django_db
def test_the_labels_are_there(client):
    client.force_login(UserFactory(username="boss", is_staff=True, is_superuser=True))
    webhook = WebhookFactory(events=["class.*"])
    delivery = write_delivery(webhook, now=timezone.now())
    addresses = [
        reverse("admin:index"),
        reverse("admin:tms_webhooks_webhook_add"),
        reverse("admin:tms_webhooks_webhook_changelist"),
        reverse("admin:tms_webhooks_webhook_change", args=[webhook.public_id]),
        reverse("admin:tms_webhooks_delivery_change", args=[delivery.public_id]),
    ]
    shown = "\n".join(html.unescape(strip_tags(client.get(address).content.decode())) for address in addresses)
    labels = set(re.findall(r"\*\*([^*]+)\*\*", PAGE.read_text(encoding="utf-8"))) - NOT_A_LABEL

    assert len(labels) > 10
    assert {label for label in labels if label not in shown} == set()
