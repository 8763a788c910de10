"""No text that a user or a receiver enters becomes markup, and no page acts for a user without the user's token."""

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from example_project.training.factories import UserFactory
from tests.integration.api.test_scope import ROUTES, call
from tests.security.test_rights import ADMIN, address_of
from tms_webhooks.models import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    Event,
    Job,
    Notification,
    Webhook,
)

SCRIPT = '"><script>alert(1)</script>{{7*7}}'
GETS = sorted({(page, slug) for page, slug, method, *_rest in ADMIN if method == "GET"})
POSTS = sorted({(page, slug) for page, slug, method, *_rest in ADMIN if method == "POST"})


@pytest.fixture
def hostile(world):
    """The rows of a world, each text of which is markup."""
    Webhook.objects.update(
        name=SCRIPT, url=f"https://receiver.example.com/?a={SCRIPT}", content=SCRIPT, contacts=SCRIPT
    )
    Event.objects.update(subject_id=SCRIPT, external_id=SCRIPT, error=SCRIPT, actor_id=SCRIPT)
    Delivery.objects.update(due_at=timezone.now(), status="waiting", finished_at=None)
    DeliveryAttempt.objects.update(message=SCRIPT, response_body=SCRIPT)
    Job.objects.update(requested_by=SCRIPT, error=SCRIPT)
    AuditEntry.objects.update(actor_label=SCRIPT, target=SCRIPT, changes={"name": {"from": SCRIPT, "to": SCRIPT}})
    now = timezone.now()
    Notification.objects.create(webhook=world.webhook, since=now, created_at=now, recipients=SCRIPT, error=SCRIPT)
    type(world.webhook.organization).objects.update(name=SCRIPT)
    return world


@pytest.mark.parametrize("page, slug", GETS)
def test_no_text_becomes_markup(site, operator, hostile, page, slug):
    response = operator.get(address_of(page, slug, hostile), follow=True)

    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


@pytest.mark.parametrize("page, slug", POSTS)
def test_no_page_acts_without_the_token_of_the_user(site, world, page, slug):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))

    assert browser.post(address_of(page, slug, world)).status_code == 403


@pytest.mark.parametrize("route, method", [key for key in ROUTES if key[1] != "get"])
def test_the_api_acts_for_no_session_without_its_token(world, route, method):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))

    assert call(client, world, route, method).status_code == 403
    assert AuditEntry.objects.count() == 1
