"""A form that is sent twice makes one webhook."""

from __future__ import annotations

import re
import uuid

import pytest
from django.urls import reverse

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import form_of, url
from tms_webhooks.models import Subscription, Webhook, WebhookSecret

pytestmark = pytest.mark.django_db


def secret_page() -> str:
    return reverse("admin:tms_webhooks_webhook_secret", args=[Webhook.objects.get().public_id])


def test_every_form_has_a_key_of_its_own(operator):
    OrganizationFactory()

    keys = [
        re.search(r'name="form_key" value="([0-9a-f]{32})"', operator.get(url(Webhook, "add")).content.decode())
        for _ in range(2)
    ]

    assert keys[0].group(1) != keys[1].group(1)


def test_a_second_click_leads_to_the_webhook_of_the_first(operator):
    form = form_of(organization=OrganizationFactory().pk, form_key=uuid.uuid4().hex)

    answers = [operator.post(url(Webhook, "add"), form) for _ in range(2)]

    assert [answer.url for answer in answers] == [secret_page()] * 2
    assert (Subscription.objects.count(), WebhookSecret.objects.count()) == (1, 1)


def test_a_second_click_that_overtakes_the_first_makes_none_either(operator, monkeypatch):
    form = form_of(organization=OrganizationFactory().pk, form_key=uuid.uuid4().hex)
    operator.post(url(Webhook, "add"), form)
    # It looked before the first one had committed, and saw nothing.
    from tms_webhooks.admin.webhooks import WebhookAdmin

    seen, created_by = [], WebhookAdmin._created_by
    monkeypatch.setattr(
        WebhookAdmin, "_created_by", lambda self, request: created_by(self, request) if seen else seen.append(True)
    )

    answer = operator.post(url(Webhook, "add"), form)

    assert answer.url == secret_page()
    assert (Subscription.objects.count(), WebhookSecret.objects.count()) == (1, 1)


def test_two_forms_make_two_webhooks(operator):
    organization = OrganizationFactory()

    for _ in range(2):
        operator.post(url(Webhook, "add"), form_of(organization=organization.pk, form_key=uuid.uuid4().hex))

    assert Webhook.objects.count() == 2


@pytest.mark.parametrize("key", ["", "nonsense"])
def test_a_form_without_a_key_makes_a_webhook_each_time(operator, key):
    form = form_of(organization=OrganizationFactory().pk, form_key=key)

    for _ in range(2):
        operator.post(url(Webhook, "add"), form)

    assert list(Webhook.objects.values_list("form_key", flat=True)) == [None, None]
