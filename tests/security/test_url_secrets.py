"""Query values of a URL that look like secrets are for users who may manage the webhook."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from example_project.training.models import User
from tests.factories import WebhookFactory
from tests.integration.api.conftest import client
from tests.integration.api.people import at
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.models import Webhook
from tms_webhooks.net.urls import MASK, mask_query

__all__ = ["client"]

URL = "https://receiver.example.com/hook?team=hr&sig=t0k3n"
MASKED = f"https://receiver.example.com/hook?team=hr&sig={MASK}"


@pytest.mark.parametrize(
    "query, shown",
    [
        ("", ""),
        ("?team=hr&page=2", "?team=hr&page=2"),
        ("?sig=abc", "?sig=*"),
        ("?X-Api-Key=abc&a=b", "?X-Api-Key=*&a=b"),
        ("?access_token=abc", "?access_token=*"),
        ("?code=a%2Fb", "?code=*"),
        ("?v=1&x=9f86d081884c7d659a2feaa0c55ad015", "?v=1&x=*"),
        ("?9f86d081884c7d659a2feaa0c55ad015", "?*"),
        ("?x=dGhpcyBpcyBhIHNlY3JldA==", "?x=*"),
        ("?key={data.id}&n={data.name}", "?key={data.id}&n={data.name}"),
        ("?key=abc{data.id}", "?key=*"),
        ("?key=", "?key="),
        ("?name=a-rather-long-name-without-digits", "?name=a-rather-long-name-without-digits"),
    ],
)
def test_a_query_value_that_looks_like_a_secret_is_masked(query, shown):
    url = "https://receiver.example.com/hook"

    assert mask_query(url + query).replace(MASK, "*") == url + shown


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, name="HR", url=URL, events=["*"])


def test_the_api_masks_it_for_callers_who_may_view_only(webhook, client, restricted):
    viewer = restricted("manage")

    assert client.get(at(webhook)).json()["url"] == URL
    assert viewer.get(at(webhook)).json()["url"] == MASKED
    (row,) = viewer.get("/api/webhooks/").json()["results"]
    assert row["url"] == MASKED


@pytest.fixture
def viewer(webhook, staff):
    return staff("view_webhook", "view_delivery", "view_event")


def test_the_admin_masks_it_for_users_who_may_view_only(webhook, viewer):
    page = viewer.get(reverse("admin:tms_webhooks_webhook_change", args=[webhook.public_id])).content.decode()

    assert "t0k3n" not in page
    assert f"sig={MASK}" in page


@pytest.mark.parametrize("path", ["", "/{type}"])
def test_the_request_of_a_delivery_shows_it_to_users_who_may_manage_only(webhook, viewer, path):
    Webhook.objects.update(url=URL.replace("/hook", f"/hook{path}") + "&key={data.id}")
    delivery = write_delivery(webhook, now=timezone.now())
    page = reverse("admin:tms_webhooks_delivery_change", args=[delivery.public_id])
    shown = "hook/class.cancelled" if path else "hook"

    seen = viewer.get(page)

    preview = seen.context["request_preview"]
    assert preview.url == f"https://receiver.example.com/{shown}?team=hr&sig={MASK}&key=8840"
    assert "# Replace the dots in the URL with the values that they hide." in preview.curl
    assert "t0k3n" not in seen.content.decode()
    User.objects.get(username="staff").user_permissions.add(Permission.objects.get(codename="change_webhook"))
    assert "t0k3n" in viewer.get(page).content.decode()
