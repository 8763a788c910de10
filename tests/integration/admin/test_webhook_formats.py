"""Content and URL are checked when a webhook is saved, against the events it is saved with."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.encryption import reveal

CONTENT = '{"grade": {data.grade}}'


@pytest.fixture
def post(operator):
    """Post the form of a new webhook, or of one that is there; return the page."""

    def post(webhook=None, **values):
        address = url(Webhook, "add") if webhook is None else url(Webhook, "change", webhook.public_id)
        if webhook is None:
            values = {"organization": str(OrganizationFactory().pk), **values}
        return operator.post(address, form_of(webhook, **values), follow=True)

    return post


def test_a_webhook_is_saved_with_its_format(post):
    post(
        format="custom",
        payload="no_personal",
        content=CONTENT,
        url="https://crm.example.com/{data.id}",
        headers="Content-Type=application/json",
        events=["enrollment.completed"],
    )

    webhook = Webhook.objects.get()
    assert (webhook.format, webhook.payload) == ("custom", "no_personal")
    assert (webhook.content, webhook.url) == (CONTENT, "https://crm.example.com/{data.id}")


def test_a_token_that_no_event_has_is_refused_at_its_field(post):
    response = post(format="custom", content="the {data.gradee}", events=["enrollment.*"])

    assert not Webhook.objects.exists()
    (message,) = response.context["adminform"].form.errors["content"]
    assert message.startswith("{data.gradee} is not a field of this webhook's events. Did you mean {data.grade}")


def test_the_events_of_a_webhook_can_not_be_changed_to_such_that_lack_a_token(post):
    webhook = WebhookFactory(format="custom", content=CONTENT, events=["enrollment.*"])
    (subscription,) = webhook.subscriptions.all()

    post(webhook, events=["class.*"])
    assert webhook.subscriptions.get().event_type == "enrollment.*"

    post(webhook, events=["enrollment.completed"])
    assert webhook.subscriptions.get().event_type == "enrollment.completed"


@pytest.mark.parametrize("format_", ["standard", "skillable", "cloudevents", "cloudevents_binary"])
def test_only_custom_content_may_have_a_content_type_of_its_own(post, format_):
    response = post(format=format_, headers="Content-Type=text/plain")

    assert not Webhook.objects.exists()
    (message,) = response.context["adminform"].form.errors["headers"]
    assert message == "Content-Type can be set only with a custom body. Remove it, or use a custom body."


@pytest.mark.parametrize(
    "contents, message",
    [
        ({"": "{data.id}"}, "A content has no event. Write an event such as class.cancelled, or class.*."),
        (
            {"class.cancelled": " "},
            "Contents by event: the content of class.cancelled is empty; write a body, or leave",
        ),
        ({"class.canceled": "{}"}, "Contents by event: 'class.canceled' is not an event type or pattern. Did you mean"),
        ({"class.*": "{data.nam}"}, "class.*: {data.nam} is not a field of this webhook's events."),
    ],
)
def test_a_wrong_content_of_an_event_is_reported(operator, contents, message):
    form = form_of(organization=OrganizationFactory().pk, format="custom", content="{data.id}", contents=contents)

    errors = errors_at(operator.post(url(Webhook, "add"), form))

    assert [(name, messages[0].startswith(message)) for name, messages in errors.items()] == [("contents", True)]


def test_a_preset_fills_in_the_contents_for_the_selected_events(post):
    post(preset="slack", events=["class.cancelled", "enrollment.*"])

    webhook = Webhook.objects.get()
    assert (webhook.format, set(webhook.contents)) == ("custom", {"class.cancelled", "enrollment.*"})


def test_a_preset_of_an_existing_webhook_replaces_its_contents_and_the_audit_names_them(post):
    webhook = WebhookFactory(events=["class.*"], headers="X-Key=1\nContent-Type=text/plain", format="custom")

    post(webhook, preset="slack")

    webhook.refresh_from_db()
    assert set(webhook.contents) == {"class.*"}
    assert reveal(webhook.headers) == "X-Key=1"
    entry = AuditEntry.objects.get(action="webhook.updated")
    assert {"contents", "headers"} <= entry.changes.keys()
    assert "X-Key=1" not in str(entry.changes)


def test_contents_by_event_are_kept_as_they_were_written_and_an_empty_field_removes_them(post):
    contents = {"class.*": '{"id": {data.id}}'}
    webhook = WebhookFactory(events=["class.*"], format="custom", content="{}", contents=contents)

    post(webhook, name="HR", contents=contents)
    webhook.refresh_from_db()
    assert (webhook.name, webhook.contents) == ("HR", contents)

    post(webhook, contents={})
    webhook.refresh_from_db()
    assert webhook.contents == {}


def test_a_token_that_is_empty_in_some_events_is_saved_with_a_warning(post):
    response = post(format="custom", content='"{data.name}"', events=["class.*", "voucher.redeemed"])

    assert Webhook.objects.exists()
    assert "{data.name} is empty in voucher.redeemed. Give it a default" in text_of(response)
