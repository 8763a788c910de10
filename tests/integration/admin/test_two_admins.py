"""Two users edit one webhook: the second save reports the changes of the first."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client
from django.utils import timezone

from example_project.training.factories import UserFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Webhook, WebhookState
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook() -> Webhook:
    return subscribed(name="CRM", headers="X-Key=1", events=["class.*"])


@pytest.fixture
def carol() -> Client:
    """A second superuser."""
    client = Client()
    carol = UserFactory(
        username="carol", first_name="Carol", last_name="King", organization=None, is_staff=True, is_superuser=True
    )
    client.force_login(carol)
    return client


def seen_at(client: Client, webhook: Webhook) -> str:
    """Open the page, and return the marks that its form carries."""
    return carried(client.get(url(Webhook, "change", webhook.public_id)))


def carried(response) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', response.content.decode())
    assert found is not None
    return html.unescape(found.group(1))


def post(client: Client, webhook: Webhook, form: dict, seen: str, **options):
    """Submit a form that was opened earlier."""
    return client.post(url(Webhook, "change", webhook.public_id), {**form, "seen": seen}, **options)


def save(client: Client, webhook: Webhook, **values):
    return client.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))


def test_a_field_that_both_users_changed_is_a_conflict_and_keeps_the_input(operator, carol, webhook):
    seen, form = seen_at(operator, webhook), form_of(webhook, name="Our CRM", max_retries="3")
    save(carol, webhook, name="Carol's CRM", timeout_seconds="7", seen=seen_at(carol, webhook))

    response = post(operator, webhook, form, seen)

    errors = errors_at(response)
    assert errors["name"] == ["The current value is: Carol's CRM"]
    assert errors["__all__"] == [
        "Carol King changed this webhook while you edited it: Name. Nothing was saved yet, and your input is kept below. "
        "Save again to overwrite these changes."
    ]
    page = response.content.decode()
    assert 'value="Our CRM"' in page
    assert "Field Your value Value of Carol King Name Our CRM Carol's CRM" in text_of(response)
    # The other change is kept.
    assert response.context["adminform"].form["timeout_seconds"].value() == "7"
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, webhook.max_retries) == ("Carol's CRM", 7, None)


def test_fields_that_only_another_user_changed_are_kept(operator, carol, webhook):
    page = operator.get(url(Webhook, "change", webhook.public_id)).content.decode()
    form = {**untouched(page, form="webhook_form"), "name": "Our CRM"}
    changes = {
        "timeout_seconds": "7",
        "schedule": "5, 60",
        "headers": "X-Other=new",
        "ordered": "on",
        "enabled": "",
        "authentication": "bearer",
        "auth_token": "t0ken",
        "error_action": "disable",
    }
    save(carol, webhook, **changes, seen=seen_at(carol, webhook))

    response = operator.post(url(Webhook, "change", webhook.public_id), form, follow=True)

    assert "Carol King changed this webhook while you edited it. These changes were kept: " in text_of(response)
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, webhook.schedule) == ("Our CRM", 7, [5, 60])
    assert (webhook.ordered, webhook.enabled, webhook.error_action) == (True, False, "disable")
    assert reveal(webhook.headers) == "X-Other=new"
    assert (webhook.authentication, webhook.read_credentials()) == ("bearer", {"token": "t0ken"})


def test_subscriptions_of_both_users_are_kept(operator, carol, webhook):
    webhook.subscriptions.create(event_type="voucher.redeemed")
    webhook.subscriptions.create(event_type="user.created", filters={"actor_kind": ["api"]})
    keys = {one.event_type: one.public_id for one in webhook.subscriptions.all()}
    stored = [{"event_type": name, "key": key} for name, key in keys.items()]
    seen = seen_at(operator, webhook)
    changed = {"event_type": "user.created", "key": keys["user.created"], "actor_kind": "user", "condition": ""}
    theirs = [{"event_type": "class.*", "key": keys["class.*"]}, changed, {"event_type": "user.updated"}]
    save(carol, webhook, subscriptions=theirs, seen=seen_at(carol, webhook))

    response = save(operator, webhook, subscriptions=[*stored, {"event_type": "user.merged"}], seen=seen)

    assert response.status_code == 302
    assert dict(webhook.subscriptions.values_list("event_type", "filters")) == {
        "class.*": {},
        "user.created": {"actor_kind": ["user"]},
        "user.merged": {},
        "user.updated": {},
    }


def test_to_save_again_is_to_have_it_ones_own_way(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, name="Carol's CRM", seen=seen)
    response = save(operator, webhook, name="Our CRM", seen=seen)

    assert save(operator, webhook, name="Our CRM", seen=carried(response)).status_code == 302

    webhook.refresh_from_db()
    assert webhook.name == "Our CRM"


def test_a_subscription_that_both_users_changed_is_a_conflict(operator, carol, webhook):
    key = webhook.subscriptions.get().public_id
    seen = seen_at(operator, webhook)
    row = {"event_type": "class.*", "key": key, "condition": ""}
    save(carol, webhook, subscriptions=[{**row, "course": "7"}], seen=seen)

    for mine in ([{**row, "course": "8"}], []):
        response = save(operator, webhook, subscriptions=mine, seen=seen)
        assert "Carol King changed this webhook while you edited it: Events." in text_of(response)
    assert webhook.subscriptions.get().filters == {"course": [7]}


def test_changed_headers_are_reported_without_their_values(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, headers="X-Key=carols-secret", seen=seen)

    response = save(operator, webhook, headers="X-Key=mine", seen=seen)

    page = response.content.decode()
    assert "while you edited it: HTTP headers." in page
    assert "carols-secret" not in page
    assert "mine" not in page
    webhook.refresh_from_db()
    assert reveal(webhook.headers) == "X-Key=carols-secret"


def test_changes_by_a_worker_are_no_conflict(operator, webhook):
    seen = seen_at(operator, webhook)
    WebhookState.objects.filter(pk=webhook.pk).update(failures=3)

    assert save(operator, webhook, name="Our CRM", seen=seen).status_code == 302


def test_a_webhook_that_a_worker_has_disabled_is_not_enabled_by_accident(operator, webhook, clock):
    seen = seen_at(operator, webhook)
    lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=clock.now)

    response = operator.post(
        url(Webhook, "change", webhook.public_id),
        {**form_of(webhook, name="Our CRM", enabled="on"), "seen": seen},
        follow=True,
    )

    assert "Another user changed this webhook while you edited it. These changes were kept: Enabled." in text_of(
        response
    )
    assert not Webhook.objects.get().enabled


def test_a_deleted_webhook_keeps_the_text_and_can_be_added_again(operator, carol, webhook):
    seen, form = seen_at(operator, webhook), form_of(webhook, name="Our CRM", headers="X-Key=••••")
    carol.post(url(Webhook, "delete", webhook.public_id), {"post": "yes"})

    response = post(operator, webhook, form, seen)

    page = response.content.decode()
    assert "Another user deleted this webhook. Nothing was saved, and your input is kept below." in text_of(response)
    assert 'value="Our CRM"' in page
    assert f'action="{url(Webhook, "add")}"' in page
    assert Webhook.objects.existing().count() == 0
    again = {**form, "organization": webhook.organization_id, "headers": "X-Key=2"}
    assert operator.post(url(Webhook, "add"), again).status_code == 302
    added = Webhook.objects.existing().get()
    assert (added.name, reveal(added.headers)) == ("Our CRM", "X-Key=2")


def test_a_deleted_webhook_of_another_organization_is_not_found(alice, webhook):
    webhooks.delete(webhook, now=timezone.now())

    response = post(alice, webhook, form_of(webhook), "")

    assert response.status_code == 302
    assert webhook.name not in alice.get(response["Location"]).content.decode()


@pytest.mark.parametrize("seen", ["", "nonsense", "[1]", "{}"])
def test_a_form_that_carries_nothing_is_taken_as_it_is(operator, webhook, seen):
    assert save(operator, webhook, name="Our CRM", seen=seen).status_code == 302


def test_restored_input_names_a_conflict_and_no_other_error(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, name="by Carol")

    form = form_of(webhook, name="by me", url="ftp://crm.example.com/hook", restored="1")
    errors = errors_at(post(operator, webhook, form, seen))

    restored, conflict = errors.pop("__all__")
    assert restored.startswith("This is your unsaved input.")
    assert conflict.startswith("Carol King changed this webhook while you edited it: Name.")
    assert errors == {}
