"""A webhook that includes child organizations reads none that the caller's policy withholds, nor one that left the tree."""

import re
from datetime import timedelta
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from example_project.training.access import TrainingPolicy
from example_project.training.factories import OrganizationFactory, TrainingClassFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, url
from tests.integration.api.people import at, client_of
from tests.integration.delivery.rows import new_event
from tms_webhooks.choices import Action, DeliveryStatus
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    Job,
    Subscription,
    Webhook,
    WebhookSecret,
)

PERSONAL = "alice.larsen@example.com"

withheld = {}
"""Organizations in which callers may not do an action."""


class WithholdingPolicy(TrainingPolicy):
    """The example project's policy, without what is withheld."""

    def organizations(self, request, action):
        return super().organizations(request, action).exclude(pk__in=withheld.get(action, ()))


@pytest.fixture(autouse=True)
def policy(settings_of_app):
    settings_of_app(ACCESS_POLICY=f"{__name__}.WithholdingPolicy")
    yield
    withheld.clear()


@pytest.fixture
def parent():
    return OrganizationFactory(name="Parent")


@pytest.fixture
def child(parent):
    """An organization below another, between them."""
    return OrganizationFactory(name="Child", parent=OrganizationFactory(name="Between", parent=parent))


@pytest.fixture
def administrator(parent):
    user = UserFactory(organization=parent, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="tms_webhooks"))
    return user


@pytest.fixture
def client(administrator):
    return client_of(administrator)


@pytest.fixture
def pages(site, administrator):
    browser = Client()
    browser.force_login(administrator)
    return browser


@pytest.fixture
def webhook(parent, child):
    return WebhookFactory(organization=parent, include_children=True, events=["class.*"])


@pytest.fixture
def delivery(webhook, child):
    """A failed delivery of a child's event, with the receiver's response."""
    now = timezone.now()
    event = new_event(child, body=f'{{"email":"{PERSONAL}"}}')
    event.fanned_out_at, event.occurred_at = now, now - timedelta(hours=1)
    event.save()
    made = Delivery.objects.create(
        event=event, webhook=webhook, status=DeliveryStatus.FAILED, created_at=now, finished_at=now, attempts=1
    )
    DeliveryAttempt.objects.create(delivery=made, number=1, started_at=now, duration_ms=1, response_body=PERSONAL)
    return made


def body(parent, **values):
    return {"organization": parent.pk, "name": "Wide", "url": "https://receiver.example.com/", **values}


# At save


def test_the_api_creates_no_webhook_that_includes_a_withheld_child(client, parent, child, problem):
    withheld[Action.MANAGE] = {child.pk}
    wide = body(parent, include_children=True, subscriptions=[{"event_type": "class.*"}])

    details = problem(client.post("/api/webhooks/", wide), "forbidden")

    assert "Set include_children to false" in details["detail"]
    assert "Child" not in str(details)
    assert not Webhook.objects.exists()
    assert client.post("/api/webhooks/", body(parent)).status_code == 201
    withheld.clear()
    assert client.post("/api/webhooks/", wide).status_code == 201


def test_the_api_widens_no_webhook_to_a_withheld_child(client, webhook, child, problem):
    Webhook.objects.update(include_children=False)
    withheld[Action.MANAGE] = {child.pk}

    assert client.patch(at(webhook), {"audience": "both"}).status_code == 200
    problem(client.patch(at(webhook), {"include_children": True}), "forbidden")


def test_the_form_saves_no_webhook_that_includes_a_withheld_child(pages, webhook, child):
    withheld[Action.MANAGE] = {child.pk}
    address = url(Webhook, "change", webhook.public_id)

    refused = pages.post(address, form_of(webhook, include_children="on", url="https://other.example.com/"))

    message = "You may not manage the webhooks of each child organization. Leave this off."
    assert refused.context["adminform"].form.errors["include_children"] == [message]
    assert Webhook.objects.get().url == webhook.url
    assert pages.post(address, form_of(webhook)).status_code == 302
    assert Webhook.objects.get().include_children is False


ABOUT_CHILD = {"event_type": "class.updated", "subject": "class:{row}"}
CONDITION = {"subscriptions": [{"event_type": "class.*", "condition": {"data.name": PERSONAL}}]}


@pytest.mark.parametrize(
    "action, method, path, body",
    [
        (Action.MANAGE, "delete", "", {}),
        (Action.MANAGE, "patch", "", {"url": "https://other.example.com/"}),
        (Action.MANAGE, "post", "enable/", {}),
        (Action.MANAGE, "post", "test/", ABOUT_CHILD),
        (Action.MANAGE, "post", "rotate-secret/", {}),
        (Action.MANAGE, "post", "secrets/{secret}/expire/", {}),
        (Action.MANAGE, "post", "subscriptions/", {"event_type": "user.*"}),
        (Action.MANAGE, "patch", "subscriptions/{subscription}/", {"event_type": "user.*"}),
        (Action.REVEAL_SECRET, "get", "secret/", {}),
        (Action.VIEW_PAYLOAD, "get", "events/", {}),
        (Action.VIEW_PAYLOAD, "post", "preview/", ABOUT_CHILD),
        (Action.VIEW_PAYLOAD, "get", "explain/", ABOUT_CHILD),
        (Action.VIEW_PAYLOAD, "post", "dry-run/", CONDITION),
        (Action.REPLAY, "post", "snapshot/", {"nouns": ["class"]}),
        (Action.REPLAY, "post", "recover/", {"since": "{since}"}),
        (Action.REPLAY, "post", "replay-missed/", {}),
        (Action.REPLAY, "post", "../../deliveries/{delivery}/resend/", {}),
    ],
)
def test_the_api_uses_no_webhook_and_no_secret_of_a_withheld_child(
    client, webhook, delivery, child, problem, receiver, action, method, path, body
):
    rotate(webhook, now=timezone.now())
    AuditEntry.objects.all().delete()
    Webhook.objects.update(url=receiver.url, payload="thin")
    ids = {
        "secret": webhook.secrets.earliest("pk").public_id,
        "subscription": webhook.subscriptions.get().public_id,
        "delivery": delivery.public_id,
        "row": TrainingClassFactory(organization=child).pk,
        "since": (timezone.now() - timedelta(days=1)).isoformat(),
    }
    body = {name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()}
    address = urljoin(at(webhook), path.format(**ids))
    models = (Webhook, WebhookSecret, Subscription, Delivery, Job, AuditEntry)
    before = [list(model.objects.values()) for model in models]
    withheld[action] = {child.pk}

    details = problem(getattr(client, method)(address, body), "forbidden")

    assert "includes child organizations" in details["detail"]
    assert [list(model.objects.values()) for model in models] == before
    assert receiver.received == []
    withheld.clear()
    assert getattr(client, method)(address, body).status_code < 300


@pytest.mark.parametrize(
    "action, method, path, body",
    [
        (Action.MANAGE, "delete", "subscriptions/{subscription}/", {}),
        (Action.MANAGE, "patch", "", {"include_children": False}),
        (Action.REPLAY, "post", "cancel-pending/", {}),
        (Action.VIEW_PAYLOAD, "post", "preview/", {"event_type": "class.updated"}),
    ],
)
def test_the_api_allows_what_uses_no_event_of_a_withheld_child(client, webhook, child, action, method, path, body):
    withheld[action] = {child.pk}
    path = path.format(subscription=webhook.subscriptions.get().public_id)

    assert getattr(client, method)(f"{at(webhook)}{path}", body).status_code < 300


def test_a_stored_response_needs_the_right_in_each_child_again(client, webhook, child, problem):
    address = at(webhook, "disable")
    key = {"idempotency-key": "disable-once"}
    first = client.post(address, {}, headers=key)
    withheld[Action.MANAGE] = {child.pk}

    problem(client.post(address, {}, headers=key), "forbidden")

    withheld.clear()
    assert client.post(address, {}, headers=key).json() == first.json()


def test_the_admin_uses_no_webhook_and_no_secret_of_a_withheld_child(pages, webhook, child):
    withheld[Action.MANAGE] = withheld[Action.REVEAL_SECRET] = {child.pk}
    key = webhook.public_id
    actions = [url(Webhook, "action", key, slug) for slug in ("enable", "disable", "test")]
    others = [url(Webhook, name, key) for name in ("secret", "rotate", "delete")]
    before = Webhook.objects.values().get(), list(webhook.secrets.values())

    assert {pages.post(address, {"post": "yes"}).status_code for address in (*actions, *others)} == {403}
    for name in ("enable_selected", "disable_selected", "delete_selected"):
        pages.post(url(Webhook, "changelist"), {"action": name, "_selected_action": [webhook.pk], "post": "yes"})

    assert (Webhook.objects.values().get(), list(webhook.secrets.values())) == before
    assert not AuditEntry.objects.exists()


# In use


def test_the_payload_and_the_responses_of_a_withheld_child_are_not_shown(client, pages, delivery, child):
    address = f"/api/deliveries/{delivery.public_id}/"
    page = url(Delivery, "change", delivery.public_id)
    assert PERSONAL in client.get(address).content.decode()
    assert PERSONAL in pages.get(page).content.decode()
    withheld[Action.VIEW_PAYLOAD] = {child.pk}

    for shown in (client.get(address), client.get(f"{address}attempts/"), pages.get(page)):
        assert shown.status_code == 200
        assert PERSONAL not in shown.content.decode()


def test_the_admin_sends_no_events_of_a_withheld_child(pages, webhook, delivery, child):
    withheld[Action.REPLAY] = {child.pk}
    recover, snapshot = (url(Webhook, "action", webhook.public_id, slug) for slug in ("recover", "snapshot"))
    resend = url(Delivery, "resend", delivery.public_id)

    assert {pages.post(address).status_code for address in (snapshot, resend)} == {403}
    answer = pages.post(recover, {"kinds": ["recover", "replay_missed", "send_now"]}).content.decode()
    assert re.findall(r'name="kinds" value="(\w+)"', answer) == ["cancel_pending"]
    selected = {"action": "resend_selected", "_selected_action": [delivery.pk], "confirmed": "1"}
    pages.post(url(Delivery, "changelist"), selected)

    assert not Job.objects.exists()
    assert Delivery.objects.get().status == DeliveryStatus.FAILED


# After a child left


@pytest.fixture
def gone(child):
    """The child left the tree."""
    child.parent = None
    child.save()


def test_an_event_of_a_child_that_left_is_not_sent_again(delivery, gone):
    with pytest.raises(ReplayError, match="is of an organization that the webhook no longer includes"):
        resend(delivery, now=timezone.now())

    assert Delivery.objects.get().status == DeliveryStatus.FAILED


def test_a_recovery_leaves_out_the_events_of_a_child_that_left(client, webhook, delivery, child):
    address = at(webhook, "recover")
    asked = {"since": (timezone.now() - timedelta(days=1)).isoformat(), "dry_run": True}
    assert client.post(address, asked).json()["total"] == 1
    child.parent = None
    child.save()

    assert client.post(address, asked).json()["total"] == 0


def test_the_payload_of_a_child_that_left_is_not_shown(client, pages, delivery, gone):
    page = url(Delivery, "change", delivery.public_id)

    assert client.get(f"/api/deliveries/{delivery.public_id}/").json()["payload"] is None
    assert PERSONAL not in pages.get(page).content.decode()


def test_a_test_of_a_childs_object_shows_its_body_to_who_may_see_payloads_in_each_child(
    client, webhook, child, receiver
):
    Webhook.objects.update(url=receiver.url)
    subject = f"class:{TrainingClassFactory(organization=child).pk}"
    body = {"event_type": "class.updated", "subject": subject}

    withheld[Action.VIEW_PAYLOAD] = {child.pk}
    assert client.post(at(webhook, "test"), body).json()["request"]["body"] is None
    withheld.clear()
    assert client.post(at(webhook, "test"), body).json()["request"]["body"] is not None
