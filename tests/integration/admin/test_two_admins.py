"""Two users edit one webhook: the second sees which changes of the first the form would overwrite."""

import pytest
from django.test import Client

from example_project.training.factories import UserFactory
from tests import threads
from tests.integration.admin.pages import errors_at, form_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Webhook, WebhookState


@pytest.fixture
def webhook():
    return subscribed(name="CRM", headers="X-Key=1", events=["class.*"])


def save(client, webhook, **values):
    return client.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))


def seen_by(response):
    """Return the last change that a page names."""
    edit = response.context["adminform"].form.last_edit
    return "" if edit is None else str(edit.public_id)


def opened(client, webhook):
    response = client.get(url(Webhook, "change", webhook.public_id))
    assert f'name="seen" value="{seen_by(response)}"' in response.content.decode()
    return seen_by(response)


@pytest.mark.parametrize(
    "theirs, fields",
    [
        ({"name": "Carol's CRM", "timeout_seconds": "7"}, "name, timeout_seconds"),
        ({"events": ["user.updated"]}, "event_type"),
        ({"headers": "X-Key=carols-secret"}, "headers"),
    ],
)
def test_a_change_since_the_form_was_opened_is_not_overwritten_before_it_was_named(operator, webhook, theirs, fields):
    names = {"username": "carol", "first_name": "Carol", "last_name": "King"}
    carol = Client()
    carol.force_login(UserFactory(**names, organization=None, is_staff=True, is_superuser=True))
    seen = opened(operator, webhook)
    save(carol, webhook, **theirs)

    response = save(operator, webhook, name="Our CRM", seen=seen)

    (message,) = errors_at(response)["__all__"]
    assert message.startswith("Carol King changed this webhook while you edited it: ")
    assert fields in message
    assert message.endswith("your input is kept below. Save again to overwrite these changes.")
    page = response.content.decode()
    assert 'value="Our CRM"' in page
    assert "carols-secret" not in page
    assert Webhook.objects.get().name != "Our CRM"
    assert save(operator, webhook, name="Our CRM", seen=seen_by(response)).status_code == 302
    assert Webhook.objects.get().name == "Our CRM"


def test_a_webhook_that_a_worker_has_disabled_is_not_enabled_by_accident(operator, webhook, clock):
    seen = opened(operator, webhook)
    WebhookState.objects.filter(pk=webhook.pk).update(failures=3)
    assert save(operator, webhook, name="HR", seen=seen).status_code == 302
    seen = opened(operator, webhook)
    lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=clock.now)

    errors = errors_at(save(operator, webhook, enabled="on", seen=seen))

    assert errors["__all__"][0].startswith("Another user changed this webhook while you edited it: ")
    assert not Webhook.objects.get().enabled


@threads.several
@pytest.mark.django_db(transaction=True)
def test_of_two_users_who_save_at_the_same_moment_the_second_is_refused(operator, webhook, clock):
    seen, responses = opened(operator, webhook), []
    webhook.name = "Carol's CRM"

    threads.during(
        lambda: webhooks.update(webhook, ["name"], now=clock.now),
        lambda: responses.append(save(operator, webhook, name="Our CRM", seen=seen)),
    )

    assert errors_at(responses[0])["__all__"]
    assert Webhook.objects.get().name == "Carol's CRM"
